"""Run records: the documents of the jobs channel, one for each run."""

import os
import traceback
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

from ojobchannels.channels.acquire import this_host
from ojobchannels.channels.arguments import is_integer
from ojobchannels.channels.channel import Channel
from ojobchannels.channels.slots import MOST_SLOTS, is_lock
from ojobchannels.errors import InvalidOption, summary
from ojobchannels.hookspecs import LockInfo
from ojobchannels.host.clock import now_ms
from ojobchannels.host.process_identity import has_ended
from ojobchannels.masking import mask_text, masked
from ojobchannels.printable import storable

Record: TypeAlias = dict[str, Any]
"""A run's record: ``name, startTime, startDate, inError, runId, status, host, pid, fence, timeout,
args, locksId``; after its end also ``endTime, endDate, duration``; after an error also ``error,
traceback``; for a scheduled run ``fireTime, fireDate``; and for one that is launched at the fire
time of another job ``launchedBy, launchNumber``. Times are milliseconds since 1970, durations
milliseconds, dates ISO 8601 in UTC. A run of a job of which several may be active at a time has the
``slot`` of its lock, and one that is traced the ``traceparent`` of its span."""

STATUSES: Final = (
    "running",
    "completed",
    "failed",
    "skipped",
    "depsfail",
    "abandoned",
    "lost",
    "cancelled",
)
FIELDS: Final = (
    *("name", "startTime", "startDate", "endTime", "endDate", "inError", "error"),
    *("runId", "status", "host", "pid", "fence", "timeout", "args", "duration", "traceback"),
    *("fireTime", "fireDate", "launchedBy", "launchNumber", "locksId"),
    *("slot", "traceparent"),
)
PROCESS: Final = "process"
"""The field of the holder info of a run's lock with the identity of its process."""
_FAR = 10_000
_END_OF_DATES: Final = 253_370_764_800_000  # the year 9999; time zones and durations need some room
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  all times here are UTC, and written without offset


def iso(ms: int) -> str:
    """Format milliseconds since 1970 as ISO 8601 with Z."""
    return f"{_to_the_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(64)
def _to_the_second(seconds: int) -> str:
    """Format seconds since 1970; most times of a run are of the same second."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()


def is_record(document: object) -> bool:
    """Return whether a document is a run record; a channel may contain others."""
    return malformed(document) is None


def malformed(document: object, key: object = None) -> str | None:
    """Return why a document is not a run record, or None if it is one.

    Args:
        document: The document.
        key: The key under which it is stored, to compare.
    """
    if not isinstance(document, dict):
        return "it is not a map"
    if not is_lock(document.get("name")):
        return "it has no valid `name`"
    if not _is_time(document.get("startTime")):
        return "it has no valid `startTime`"
    if document.get("status") not in STATUSES:
        return "it has no valid `status`"
    is_open = document["status"] == "running" and "endTime" not in document
    if not is_open and not _is_time(document.get("endTime")):
        return "it has no valid `endTime`"
    if not is_integer(document.get("duration", 0)):
        return "its `duration` is not valid"
    if key is not None and key != key_of(document):
        return "its `name` and `startTime` are not those of its key"
    return None


def _is_time(value: object) -> bool:
    """Return whether a value is a time in milliseconds since 1970, which has a date."""
    return is_integer(value) and 0 <= cast("int", value) < _END_OF_DATES


def key_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the key of a record."""
    return {"name": record["name"], "startTime": record["startTime"]}


def begun(name: str, run_id: str, status: str, args: Mapping[str, Any]) -> Record:
    """Return a new record, without its start time; secrets in the args are masked."""
    return {
        "name": name,
        "inError": False,
        "runId": run_id,
        "status": status,
        "host": this_host(),
        "pid": os.getpid(),
        "args": masked(args),
    }


def due(fire_time: int) -> Record:
    """Return the fields for the fire time of a scheduled run."""
    return {"fireTime": fire_time, "fireDate": iso(fire_time)}


def add(jobs: Channel, record: Record, start: int) -> Record:
    """Store a new record at the first free start time from `start` on, and return it.

    A second call with the same `start` finds and returns the stored record.
    """
    while True:
        dated = {"name": record["name"], "startTime": start, "startDate": iso(start), **record}
        if record["status"] != "running":
            dated |= {"endTime": start, "endDate": iso(start), "duration": 0}
        key = key_of(dated)
        if jobs.add(key, dated):
            return dated
        there: Record | None = jobs.get(key)
        if there is not None and is_record(there) and there.get("runId") == record["runId"]:
            return there
        start += 1


def not_started(name: str, run_id: str, args: Mapping[str, Any], error: Exception) -> Record:
    """Return the record of a run that could not start, for notices only: it is not stored."""
    now = now_ms()
    started = {"startTime": now, "startDate": iso(now)}
    return begun(name, run_id, "failed", args) | started | ending(now, "failed", 0, error)


def ending(
    start: int,
    status: str,
    elapsed: int,
    error: BaseException | str | None,
    secrets: Collection[str] = (),
) -> Record:
    """Return the fields for the end of a run that took `elapsed` milliseconds.

    What looks like a secret, and the values `secrets`, are masked in the texts of the error.
    """
    elapsed = 0 if status == "skipped" else elapsed
    over: Record = {
        "status": status,
        "endTime": start + elapsed,
        "endDate": iso(start + elapsed),
        "duration": elapsed,
        "inError": status not in ("completed", "skipped"),
    }
    if isinstance(error, BaseException):
        over["error"] = storable(mask_text(summary(error), secrets))
        over["traceback"] = storable(mask_text(_traceback(error), secrets))
    elif error is not None:
        over["error"] = storable(mask_text(error, secrets))
    return over


def amend(
    jobs: Channel,
    seen: Record,
    changes: Mapping[str, Any],
    match: Mapping[str, Any] | None = None,
    fence: int | None = None,
) -> Record | None:
    """Write fields into the record of a run, and keep what others wrote since it was `seen`.

    A match compares parts of a record, so it does not show that a field was added meanwhile. The
    value that was replaced shows it; such fields are then written again beside the changes.

    Returns:
        The record as it is now; None, with nothing written, if it is missing or does not match.
    """
    mine = {field: seen[field] for field in ("runId",) if field in seen}
    wanted = {**mine, **(match or {})}
    expected, amended = seen, {**seen, **changes}
    while (before := jobs.get_set(wanted, key_of(seen), amended, fence=fence)) is not None:
        if before == expected:
            return amended
        expected, amended = amended, {**amended, **before, **changes}
        wanted = mine
    return None


def find(jobs: Channel, holder: Mapping[str, Any], fence: int) -> Record | None:
    """Return the record of the run that held a lock, from its holder info and its fence.

    If records before it have been removed, all records are searched.
    """
    name, run_id = holder.get("job"), holder.get("run")
    if not (isinstance(name, str) and isinstance(run_id, str)):
        return None
    there = look_up(jobs, name, run_id, fence)
    if there is not None:
        return there
    mine = {"name": name, "runId": run_id}
    for _key, found in jobs.items(mine, limit=1, newest_first=True):
        return found if is_record(found) else None
    return None


def look_up(jobs: Channel, name: str, run_id: str, fence: int) -> Record | None:
    """Return the record of a run; its start time is the millisecond of its fence, or follows it."""
    first = start_of(fence)
    for start in range(first, first + _FAR):
        record: Record | None = jobs.get({"name": name, "startTime": start})
        if record is None:
            break
        if is_record(record) and record.get("runId") == run_id:
            return record
    return None


def start_of(fence: int) -> int:
    """Return the start time that belongs to a fence.

    Fences always grow and follow the clock of the locks, in microseconds. So the start times of
    one job grow too, by one clock for all hosts.
    """
    return fence // 1000


def abandon(
    jobs: Channel, record: Record, fence: int | None, lock: LockInfo | None = None
) -> Record | None:
    """Mark a run as abandoned and return its record; None if the run has ended meanwhile.

    Args:
        jobs: The channel of the record.
        record: The record.
        fence: The fence of the next holder, if that marks it.
        lock: Its lock, if that is still held.
    """
    reason = _why_abandoned(record, is_held=is_live(record, lock))
    gone = ending(record["startTime"], "abandoned", _age(record), reason)
    if "runId" not in record:  # as in one of another program
        gone["runId"] = uuid.uuid4().hex
    return amend(jobs, record, gone, {"status": "running"}, fence)


def check_fields(fields: Mapping[str, Any]) -> None:
    """Raise InvalidOption if one of the fields belongs to the manager."""
    reserved = next((name for name in FIELDS if name in fields), None)
    if reserved is not None:
        raise InvalidOption("field", f"{reserved!r} is set by the manager", "use another name")


def slot_of(record: Mapping[str, Any]) -> tuple[str, int]:
    """Return the name and the slot of the lock of a run."""
    slot = record.get("slot", 1)
    return record["name"], slot if is_integer(slot) and 1 <= slot <= MOST_SLOTS else 1


def is_dead(record: Mapping[str, Any], lock: LockInfo | None, locks_id: str | None) -> bool:
    """Return whether the locks with this identifier show that a running run has died.

    They show nothing of a run that was started under other locks, or if they were never used. But
    locks in the memory of a process are gone when that has ended. A lock that expires later may
    still be held, while it is already known on this host that the process of its holder has ended.
    """
    own_id = record.get("locksId", locks_id)
    if own_id != locks_id:
        return isinstance(own_id, str) and has_ended(own_id)
    return locks_id is not None and (not is_live(record, lock) or has_dead_holder(lock))


def has_dead_holder(lock: LockInfo | None) -> bool:
    """Return whether it is known on this host that the process of the run with a lock has ended."""
    process = None if lock is None else lock.holder.get(PROCESS)
    return isinstance(process, str) and has_ended(process)


def is_live(record: Mapping[str, Any], lock: LockInfo | None) -> bool:
    """Return whether the run of a record still holds its lock."""
    return lock is not None and lock.fence == record.get("fence")


def _traceback(error: BaseException) -> str:
    try:
        parts = traceback.format_exception(error)
    except Exception:  # noqa: BLE001  code of the error itself, such as of its attributes
        parts = [*traceback.format_tb(error.__traceback__), summary(error)]
    return "".join(parts)


def _age(record: Record) -> int:
    return max(now_ms() - int(record["startTime"]), 0)


def _why_abandoned(record: Record, *, is_held: bool) -> str:
    if is_held:
        return (
            "its process ended without recording an end; its lock is held until its lease expires"
        )
    if isinstance(note := record.get("note"), str):
        return f"its lock was force-released while it was running ({note}); it may be active still"
    return "its lease expired and its process did not record an end; the process probably died"
