"""Fire times of schedules: each is taken once, by one of all who share the manager's channels.

One document for each job remembers which were taken lately and by which run, so nothing has to be
swept: what falls out of it moves a floor below which all count as taken. Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ojobchannels.channel import Channel
from ojobchannels.errors import ChannelError, FireTimeTaken, OutcomeUnknown
from ojobchannels.manager import records
from ojobchannels.manager.records import Record

if TYPE_CHECKING:
    from ojobchannels.manager.core import JobManager

_REMEMBERED: Final = 64
_Taken: TypeAlias = Mapping[str, Any]


def take(state: Channel, name: str, fire_time: int, run_id: str) -> None:
    """Takes a fire time of a job for a run.

    Raises:
        FireTimeTaken: It was taken before.
    """

    def taking(present: _Taken) -> _Taken:
        owner = _owner(present, fire_time)
        if owner == run_id:
            return present
        if owner is not None:
            raise FireTimeTaken(name, fire_time)
        taken = sorted([*present["taken"], [fire_time, run_id]])
        fallen, kept = taken[:-_REMEMBERED], taken[-_REMEMBERED:]
        return {"floor": max([present["floor"], *(at for at, _ in fallen)]), "taken": kept}

    _change(state, name, fire_time - 1, taking)


@contextmanager
def taking(manager: JobManager, name: str, fire_time: int | None, run_id: str) -> Iterator[None]:
    """Takes a fire time, if there is one, and gives it back if the block fails.

    Raises:
        FireTimeTaken: It was taken before.
    """
    if fire_time is None:
        yield
        return
    take(manager.state, name, fire_time, run_id)
    try:
        yield
    except BaseException:
        with suppress(ChannelError):
            _give_back(manager.state, name, fire_time, run_id)
        raise


def is_free(state: Channel, name: str, fire_time: int) -> bool:
    """Tells whether a fire time of a job is still to be taken."""
    present = state.get(_key(name))
    return present is None or _owner(present, fire_time) is None


def begin(state: Channel, name: str, now: int, *, back: bool) -> int:
    """Returns the last fire time of a job that was taken; a job that is new here begins now.

    Args:
        state: The channel.
        name: The job.
        now: The present time.
        back: Whether to go back to where none before was left out.
    """
    present = _change(state, name, now, lambda present: present)
    taken = [] if back else [at for at, _ in present["taken"]]
    return int(max([present["floor"], *taken]))


def add_missing(manager: JobManager, name: str, holder: Mapping[str, Any]) -> Record | None:
    """Writes the record of a run that died between taking the lock for a fire time and its record.

    Returns:
        The record, of a running run; None if another run has taken the fire time.
    """
    run_id, fire_time, fence = str(holder["run"]), int(holder["fireTime"]), int(holder["fence"])
    try:
        take(manager.state, name, fire_time, run_id)
    except FireTimeTaken:
        return None
    known = {key: holder[key] for key in ("host", "pid") if key in holder}
    begun = {**records.begun(name, run_id, "running", {}), **known, **records.due(fire_time)}
    return records.add(manager.jobs, begun | {"fence": fence}, records.start_of(fence))


def _give_back(state: Channel, name: str, fire_time: int, run_id: str) -> None:
    def giving(present: _Taken) -> _Taken:
        kept = [one for one in present["taken"] if one != [fire_time, run_id]]
        return {**present, "taken": kept}

    _change(state, name, fire_time - 1, giving)


def _change(
    state: Channel, name: str, floor: int, change: Callable[[_Taken], _Taken]
) -> Mapping[str, Any]:
    key = _key(name)
    while True:
        present = state.get(key)
        if present is None:
            state.add(key, {"floor": floor, "taken": []})
            continue
        changed = change(present)
        try:
            if changed is present or state.get_set(present, key, changed) is not None:
                return changed
        except OutcomeUnknown:
            continue  # looking again tells


def _owner(present: _Taken, fire_time: int) -> str | None:
    """Who took a fire time; an empty name if that is forgotten, None if nobody did."""
    if fire_time <= present["floor"]:
        return ""
    return next((run_id for at, run_id in present["taken"] if at == fire_time), None)


def _key(name: str) -> dict[str, str]:
    return {"schedule": name}
