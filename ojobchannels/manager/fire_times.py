"""Fire times of schedules: each is taken once, by one of all who share the manager's channels.

One document for each job remembers which were taken lately and by which run, so nothing has to be
swept: what falls out of it moves a floor below which all count as taken. Times are milliseconds.

A run that does not come about has no lock to tell of it if its process dies. So its record is owed
in that document, from the moment in which the time is taken, until it stands among the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError, FireTimeTaken, OutcomeUnknown
from ojobchannels.manager import records
from ojobchannels.manager.records import Record

if TYPE_CHECKING:
    from ojobchannels.manager.manager import JobManager

_REMEMBERED: Final = 64
_Taken: TypeAlias = Mapping[str, Any]


def claim(
    state: Channel, name: str, fire_time: int, run_id: str, owed: Mapping[str, Any] | None = None
) -> None:
    """Takes a fire time of a job for a run; what it owes is kept with that.

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
        floor = max([present["floor"], *(at for at, _ in fallen)])
        owing = {} if owed is None else {"owed": [*present.get("owed", ()), owed]}
        return {**present, "floor": floor, "taken": kept, **owing}

    _change(state, name, fire_time - 1, taking)


def record_not_run(manager: JobManager, record: Record, fire_time: int, start: int) -> Record:
    """Takes a fire time for a run that does not come about, and writes its record.

    Raises:
        FireTimeTaken: It was taken before; nothing is written.
    """
    owed = {"record": record | records.due(fire_time), "start": start}
    claim(manager.state, record["name"], fire_time, record["runId"], owed)
    return _write(manager, owed)


def release(state: Channel, name: str, fire_time: int, run_id: str) -> None:
    """Gives back a fire time that a run has, or may have, taken and that no record tells of."""

    def giving(present: _Taken) -> _Taken:
        kept = [one for one in present["taken"] if one != [fire_time, run_id]]
        return present if kept == present["taken"] else {**present, "taken": kept}

    with suppress(ChannelError):
        _change(state, name, fire_time - 1, giving)


def is_unclaimed(manager: JobManager, name: str, fire_time: int) -> bool:
    """Tells whether a fire time of a job is still to be taken; writes the records that are owed."""
    present = manager.state.get(_key(name))
    if present is None:
        return True
    for owed in present.get("owed", ()):
        _write(manager, owed)
    return _owner(present, fire_time) is None


def last_claimed(state: Channel, name: str, now: int, *, back: bool) -> int:
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
        claim(manager.state, name, fire_time, run_id)
    except FireTimeTaken:
        return None
    known = {key: holder[key] for key in ("host", "pid") if key in holder}
    begun = {**records.begun(name, run_id, "running", {}), **known, **records.due(fire_time)}
    return records.add(manager.jobs, begun | {"fence": fence}, records.start_of(fence))


def _write(manager: JobManager, owed: Mapping[str, Any]) -> Record:
    """Writes a record that is owed, unless somebody else has, and notes that it is paid."""
    record: Record = owed["record"]

    def paying(present: _Taken) -> _Taken:
        if "owed" not in present:
            return present
        rest = [one for one in present.get("owed", ()) if one["record"]["runId"] != record["runId"]]
        kept = {key: value for key, value in present.items() if key != "owed"}
        return kept | {"owed": rest} if rest else kept

    written = records.add(manager.jobs, record, owed["start"])
    with suppress(ChannelError):  # whoever comes next finds it written
        _change(manager.state, record["name"], record["fireTime"] - 1, paying)
    return written


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
