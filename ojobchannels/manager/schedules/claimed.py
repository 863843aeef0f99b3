"""Which fire times of a schedule have led to a run, as their claims show."""

from __future__ import annotations

from ojobchannels.manager.schedules import fire_times, launch_claims
from ojobchannels.manager.schedules.launch_claims import LaunchTime
from ojobchannels.manager.schedules.lists import Documents
from ojobchannels.manager.schedules.published import Published, is_time


def begun(state: Documents, published: Published, now: int) -> tuple[int | None, int | None]:
    """Return what the claims of a schedule show.

    Returns:
        The time from which its fire times count, and the latest one for which a run began; None if
        it is not known.
    """
    if published.claims is None:
        return None, None
    if published.launched_by is None:
        floor, last = fire_times.begun(state, published.claims)
        return floor if is_time(floor) else None, last if is_time(last) else None
    timetable = published.timetable()
    fire_time = timetable.latest(now) if timetable is not None else None
    for _ in range(2):
        if timetable is None or fire_time is None:
            break
        launch = LaunchTime(fire_time, published.launched_by)
        if not launch_claims.is_unclaimed(state, published.claims, launch):
            return None, fire_time
        fire_time = timetable.latest(timetable.due(fire_time) - 1)
    return None, None
