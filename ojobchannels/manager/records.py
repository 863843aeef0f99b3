"""Run records: the documents that tell of runs, and where they stand in the jobs channel."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from ojobchannels.channels.acquire import this_host
from ojobchannels.channels.channel import Channel
from ojobchannels.errors import InvalidOption
from ojobchannels.hookspecs import LockInfo
from ojobchannels.host.clock import now_ms, utc

Record: TypeAlias = dict[str, Any]
"""A run's record: ``name, startTime, startDate, inError, runId, status, host, pid, fence, timeout,
args``, and once it is over ``endTime, endDate, duration``, with ``error`` and ``traceback`` if it
went wrong, and ``fireTime, fireDate`` if it was due by a schedule. Times and durations are
milliseconds, dates ISO 8601 in UTC."""

STATUSES: Final = (
    "running",
    "completed",
    "failed",
    "skipped",
    "depsfail",
    "abandoned",
    "lost",
)
FIELDS: Final = (
    *("name", "startTime", "startDate", "endTime", "endDate", "inError", "error"),
    *("runId", "status", "host", "pid", "fence", "timeout", "args", "duration", "traceback"),
    *("fireTime", "fireDate"),
)
_LONGEST_TRACEBACK = 20_000
_FAR = 10_000


def iso(ms: int) -> str:
    """Format milliseconds since 1970 as ISO 8601 with Z."""
    return utc(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms))


def is_record(document: object) -> bool:
    """Tells whether a document of the jobs channel tells of a run; others may write there too."""
    return (
        isinstance(document, dict)
        and document.get("status") in STATUSES
        and isinstance(document.get("name"), str)
        and isinstance(document.get("startTime"), int)
    )


def key_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the key under which a record stands."""
    return {"name": record["name"], "startTime": record["startTime"]}


def begun(name: str, run_id: str, status: str, args: Mapping[str, Any]) -> Record:
    """Returns the record of a run that begins, without its start time."""
    return {
        "name": name,
        "inError": False,
        "runId": run_id,
        "status": status,
        "host": this_host(),
        "pid": os.getpid(),
        "args": dict(args),
    }


def due(fire_time: int) -> Record:
    """Returns the fields that tell when a schedule said that a run was due."""
    return {"fireTime": fire_time, "fireDate": iso(fire_time)}


def add(jobs: Channel, record: Record, start: int) -> Record:
    """Stores a new record at the first free start time from `start` on, and returns it so.

    Asked again from the same `start`, it finds the record that it has stored.
    """
    while True:
        dated = {"name": record["name"], "startTime": start, "startDate": iso(start)} | record
        if record["status"] != "running":
            dated |= {"endTime": start, "endDate": iso(start), "duration": 0}
        if jobs.add(key_of(dated), dated):
            return dated
        there: Record | None = jobs.get(key_of(dated))
        if there is not None and is_record(there) and there.get("runId") == record["runId"]:
            return there
        start += 1


def ending(start: int, status: str, elapsed: int, error: BaseException | str | None) -> Record:
    """Returns the fields that a run's record gets when it is over, after `elapsed` milliseconds."""
    elapsed = 0 if status == "skipped" else elapsed
    over: Record = {
        "status": status,
        "endTime": start + elapsed,
        "endDate": iso(start + elapsed),
        "duration": elapsed,
        "inError": status not in ("completed", "skipped"),
    }
    if isinstance(error, BaseException):
        over["error"] = _storable(f"{type(error).__name__}: {error}".removesuffix(": "))
        over["traceback"] = _traceback(error)
    elif error is not None:
        over["error"] = _storable(error)
    return over


def amend(
    jobs: Channel,
    seen: Record,
    changes: Mapping[str, Any],
    match: Mapping[str, Any] | None = None,
    fence: int | None = None,
) -> Record | None:
    """Writes fields into the record of a run, and keeps what others wrote since it was `seen`.

    A match compares parts of a record, so it cannot tell that a field was added meanwhile. What
    stood there when ours was stored tells it; then that is put back beside ours.

    Returns:
        The record as it stands now, or None, with nothing written, if it is gone or does not match.
    """
    mine = {"runId": seen["runId"]}
    wanted = {**mine, **(match or {})}
    expected, amended = seen, {**seen, **changes}
    while (before := jobs.get_set(wanted, key_of(seen), amended, fence=fence)) is not None:
        if before == expected:
            return amended
        expected, amended = amended, {**amended, **before, **changes}
        wanted = mine
    return None


def find(jobs: Channel, holder: Mapping[str, Any], fence: int) -> Record | None:
    """Finds the record of the run that held a lock, from what it told of itself and its fence.

    Where others have been removed from between, all records are searched.
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
    """Returns the record of a run from where it was put: at its fence's millisecond, or behind."""
    first = start_of(fence)
    for start in range(first, first + _FAR):
        record: Record | None = jobs.get({"name": name, "startTime": start})
        if record is None:
            break
        if is_record(record) and record.get("runId") == run_id:
            return record
    return None


def start_of(fence: int) -> int:
    """Returns the start time that a lease's fence means.

    Fences grow for ever and follow the clock of the locks in microseconds, so start times of one
    job grow too, on one clock for all servers.
    """
    return fence // 1000


def abandon(jobs: Channel, record: Record, fence: int | None) -> bool:
    """Marks a run as abandoned if it is still told as running; tells whether it was."""
    start = record["startTime"]
    reason = "its lease is over and its owner was not heard of"
    gone = ending(start, "abandoned", max(now_ms() - start, 0), reason)
    return amend(jobs, record, gone, {"status": "running"}, fence) is not None


def check_fields(fields: Mapping[str, Any]) -> None:
    """Refuses fields that a record has of its own."""
    reserved = next((one for one in FIELDS if one in fields), None)
    if reserved is not None:
        raise InvalidOption("field", f"{reserved!r} is the record's own", "use another name")


def is_live(record: Mapping[str, Any], lock: LockInfo | None) -> bool:
    """Tells whether the run that a record tells of still holds its lock."""
    return lock is not None and lock.fence == record.get("fence")


def _traceback(error: BaseException) -> str:
    text = _storable("".join(traceback.format_exception(error)))
    return text if len(text) <= _LONGEST_TRACEBACK else f"…{text[-_LONGEST_TRACEBACK:]}"


def _storable(text: str) -> str:
    """Returns the text with what UTF-8 cannot carry (parts of odd file names) as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
