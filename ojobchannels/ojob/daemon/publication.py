"""How a schedule of a job file is published."""

from collections.abc import Sequence
from datetime import tzinfo

from ojobchannels.host.terminal import local_time
from ojobchannels.manager.schedules.published import LONGEST_MS, OVERDUE_AFTER_MS, Published
from ojobchannels.manager.schedules.zones import key_of_zone
from ojobchannels.ojob.load.job_file import ScheduleSpec
from ojobchannels.printable import storable


def published(
    spec: ScheduleSpec,
    *,
    name: str,
    job: str,
    run: str | None,
    label: str,
    shares_run: bool,
    zone: tzinfo,
    since: int,
    ended: bool,
) -> Published:
    """Return what other processes know of a schedule.

    Args:
        spec: Its fire times.
        name: The name by which operators know it.
        job: The name of its job.
        run: The name of its runs, if they have records.
        label: The name of its entry in the todo.
        shares_run: Whether an earlier entry has runs of the same name.
        zone: Its time zone.
        since: The moment from which its fire times count.
        ended: Whether it has ended.
    """
    return Published(
        name=storable(name),
        job=storable(job),
        run=run,
        claims=run or (f"job {label}" if spec.once else None),
        launched_by=label if shares_run else None,
        cron=spec.cron,
        interval=min(spec.interval, LONGEST_MS),
        timezone=key_of_zone(zone),
        misfire=spec.misfire,
        jitter=min(spec.jitter, LONGEST_MS),
        overdue_after=min(spec.overdue_after or OVERDUE_AFTER_MS, LONGEST_MS),
        since=since,
        ended=ended,
    )


def described(fire_times: Sequence[int]) -> str:
    """Return fire times as a text: one time, or their number and the first and the last."""
    first, last = local_time(fire_times[0]), local_time(fire_times[-1])
    return first if len(fire_times) == 1 else f"{len(fire_times)} fire times from {first} to {last}"
