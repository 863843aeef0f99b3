"""Fire times of schedules: each is claimed once, by one of the processes that share the channels.

One document for each job has the latest claims and the runs that made them. Older claims move its
floor, below which all fire times count as claimed, so no cleanup is needed. Times are
milliseconds since 1970.

A run that is skipped has no lock that leads to its record if its process dies. The document
therefore keeps the record as pending, from the claim until the record is written.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError, FireTimeTaken, LockBusy, OutcomeUnknown
from ojobchannels.manager import records
from ojobchannels.manager.records import Record
from ojobchannels.manager.schedules import launch_claims
from ojobchannels.manager.schedules.launch_claims import LaunchTime
from ojobchannels.manager.schedules.lists import Documents

FireTime: TypeAlias = int | LaunchTime
"""A fire time of the job, in milliseconds since 1970, or of another job that launches it."""

_REMEMBERED: Final = 64
_Claims: TypeAlias = Mapping[str, Any]


class Channels(Protocol):
    """The channels that claims need; a job manager has them."""

    jobs: Channel

    @property
    def state(self) -> Channel:
        """The channel of claims."""


def moment(fire_time: FireTime) -> int:
    """Return a fire time in milliseconds since 1970."""
    return fire_time.time if isinstance(fire_time, LaunchTime) else fire_time


def fields(fire_time: FireTime | None) -> Record:
    """Return the fields that describe a fire time, in a record and in the holder info of a lock."""
    if fire_time is None:
        return {}
    return fire_time.fields if isinstance(fire_time, LaunchTime) else records.due(fire_time)


def of_holder(holder: Mapping[str, Any]) -> FireTime | None:
    """Return the fire time for which the holder of a lock works, if there is one."""
    launch, fire_time = LaunchTime.of(holder), holder.get("fireTime")
    return launch or (fire_time if isinstance(fire_time, int) else None)


def has_holder(locks: Channel, fire_time: FireTime, busy: LockBusy) -> bool:
    """Return whether the holder of a lock, or of one of its slots, works for a fire time."""
    if busy.slots == 1:
        return of_holder(busy.holder) == fire_time
    slots = (locks.lock_info(busy.name, slot=slot + 1) for slot in range(busy.slots))
    return any(of_holder(info.holder) == fire_time for info in slots if info)


def claim(
    state: Channel,
    name: str,
    fire_time: FireTime,
    run_id: str,
    pending: Mapping[str, Any] | None = None,
) -> None:
    """Claim a fire time of a job for a run, and keep its `pending` record with the claim.

    Raises:
        FireTimeTaken: Another run has claimed it.
    """
    if isinstance(fire_time, LaunchTime):
        launch_claims.claim(state, name, fire_time, run_id)
        return

    def add(present: _Claims) -> _Claims:
        owner = _owner(present, fire_time)
        if owner == run_id:
            return present
        if owner is not None:
            raise FireTimeTaken(name, fire_time)
        taken = sorted([*present["taken"], [fire_time, run_id]])
        dropped, kept = taken[:-_REMEMBERED], taken[-_REMEMBERED:]
        floor = max([present["floor"], *(at for at, _ in dropped)])
        more = {} if pending is None else _not_run(present, pending, kept[0][0])
        return {**present, "floor": floor, "taken": kept, **more}

    _change(state, name, fire_time - 1, add)


def _not_run(present: _Claims, pending: Mapping[str, Any], first: int) -> _Claims:
    """Return the fields of a claim for which no run begins."""
    others = [time for time in present.get("notRun", ()) if time >= first]
    return {
        "owed": [*present.get("owed", ()), pending],
        "notRun": [*others, pending["record"]["fireTime"]],
    }


def begun(state: Documents, name: str) -> tuple[int | None, int | None]:
    """Return what the claims of a job show.

    Returns:
        The time up to which all fire times count as claimed, and the latest one for which a run
        began; None if it is not known.
    """
    match state.get(_key(name)):
        case {"floor": int(floor), "taken": list(taken)} as present:
            skipped = present.get("notRun")
            not_run = skipped if isinstance(skipped, list) else ()
            claimed = [each[0] for each in taken if isinstance(each, list) and each]
            began = [each for each in claimed if isinstance(each, int) and each not in not_run]
            return floor, max(began, default=None)
    return None, None


def record_not_run(channels: Channels, record: Record, fire_time: FireTime, start: int) -> Record:
    """Claim a fire time for a run that does not start, and write its record.

    A launch is not claimed: another process may still run it.

    Raises:
        FireTimeTaken: Another run has claimed it; nothing is written.
    """
    if isinstance(fire_time, LaunchTime):
        return records.add(channels.state, record | fields(fire_time), start)
    pending = {"record": record | records.due(fire_time), "start": start}
    claim(channels.state, record["name"], fire_time, record["runId"], pending)
    return _write(channels, pending)


def release(state: Channel, name: str, fire_time: FireTime, run_id: str) -> None:
    """Withdraw the claim of a run, if it was made; the run has no record."""
    if isinstance(fire_time, LaunchTime):
        launch_claims.release(state, name, fire_time, run_id)
        return

    def remove(present: _Claims) -> _Claims:
        kept = [claim for claim in present["taken"] if claim != [fire_time, run_id]]
        return present if kept == present["taken"] else {**present, "taken": kept}

    with suppress(ChannelError):
        _change(state, name, fire_time - 1, remove)


def is_unclaimed(channels: Channels, name: str, fire_time: FireTime) -> bool:
    """Return whether no run has claimed a fire time of a job; write pending records first."""
    if isinstance(fire_time, LaunchTime):
        return launch_claims.is_unclaimed(channels.state, name, fire_time)
    present = channels.state.get(_key(name))
    if present is None:
        return True
    for pending in present.get("owed", ()):
        _write(channels, pending)
    return _owner(present, fire_time) is None


def last_claimed(state: Channel, name: str, now: int, *, back: bool) -> int:
    """Return the latest claimed fire time of a job; for a new job, remember and return `now`.

    Args:
        state: The channel of claims.
        name: The job.
        now: The present time, in milliseconds since 1970.
        back: Whether to return the time up to which all fire times are claimed instead.
    """
    present = _change(state, name, now, lambda present: present)
    taken = [] if back else [at for at, _ in present["taken"]]
    return int(max([present["floor"], *taken]))


def add_missing(channels: Channels, name: str, holder: Mapping[str, Any]) -> Record | None:
    """Write the record of a run that died after it acquired the lock but before it wrote one.

    Returns:
        The record, with status running; None if another run has claimed the fire time, or if the
        run was for none.
    """
    run_id, fire_time, fence = str(holder["run"]), of_holder(holder), int(holder["fence"])
    if fire_time is None:
        return None
    try:
        claim(channels.state, name, fire_time, run_id)
    except FireTimeTaken:
        return None
    known = {key: holder[key] for key in ("host", "pid") if key in holder}
    begun = {**records.begun(name, run_id, "running", {}), **known, **fields(fire_time)}
    return records.add(channels.jobs, begun | {"fence": fence}, records.start_of(fence))


def _write(channels: Channels, pending: Mapping[str, Any]) -> Record:
    """Write a pending record, unless another process has, and remove it from the pending ones."""
    record: Record = pending["record"]

    def remove(present: _Claims) -> _Claims:
        if "owed" not in present:
            return present
        rest = [other for other in present["owed"] if other["record"]["runId"] != record["runId"]]
        kept = {key: value for key, value in present.items() if key != "owed"}
        return kept | {"owed": rest} if rest else kept

    written = records.add(channels.state, record, pending["start"])
    with suppress(ChannelError):  # the next process finds the record written
        _change(channels.state, record["name"], record["fireTime"] - 1, remove)
    return written


def _change(
    state: Channel, name: str, floor: int, change: Callable[[_Claims], _Claims]
) -> Mapping[str, Any]:
    key = _key(name)
    while True:
        present = state.get(key)
        if present is None:
            present = {"floor": floor, "taken": []}
            if not state.add(key, present):
                continue
        changed = change(present)
        try:
            if changed is present or state.get_set(present, key, changed) is not None:
                return changed
        except OutcomeUnknown:
            continue  # reading again shows whether it was stored


def _owner(present: _Claims, fire_time: int) -> str | None:
    """Return the run that claimed a fire time: "" if it is forgotten, None if there is none."""
    if fire_time <= present["floor"]:
        return ""
    return next((run_id for at, run_id in present["taken"] if at == fire_time), None)


def _key(name: str) -> dict[str, str]:
    return {"schedule": name}
