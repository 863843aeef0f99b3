"""Run records: the documents that tell of runs, and where they stand in the jobs channel."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from ojobchannels.channel import Channel
from ojobchannels.hookspecs import LockInfo

Record: TypeAlias = dict[str, Any]
"""A run's record: ``name, startTime, startDate, inError, runId, status, host, pid, fence, timeout,
args``, and once it is over ``endTime, endDate, duration``, with ``error`` and ``traceback`` if it
went wrong. Times and durations are milliseconds, dates ISO 8601 in UTC."""

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
)
_LONGEST_TRACEBACK = 20_000
_FAR = 10_000


def now_ms() -> int:
    """Returns the wall clock in milliseconds, UTC."""
    return time.time_ns() // 1_000_000


def iso(ms: int) -> str:
    """Writes milliseconds since 1970 as ISO 8601 with Z."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "args": dict(args),
    }


def add(jobs: Channel, record: Record, start: int) -> Record:
    """Stores a new record at the first free start time from `start` on, and returns it so."""
    while True:
        dated = {"name": record["name"], "startTime": start, "startDate": iso(start)} | record
        if record["status"] != "running":
            dated |= {"endTime": start, "endDate": iso(start), "duration": 0}
        if jobs.add(key_of(dated), dated):
            return dated
        start += 1


def ended(record: Record, status: str, elapsed: int, error: BaseException | str | None) -> Record:
    """Returns the record of a run that is over after `elapsed` milliseconds."""
    elapsed = 0 if status == "skipped" else elapsed
    end = record["startTime"] + elapsed
    over = {
        **record,
        "status": status,
        "endTime": end,
        "endDate": iso(end),
        "duration": elapsed,
        "inError": status not in ("completed", "skipped"),
    }
    if isinstance(error, BaseException):
        over["error"] = _storable(f"{type(error).__name__}: {error}".removesuffix(": "))
        over["traceback"] = _traceback(error)
    elif error is not None:
        over["error"] = _storable(error)
    return over


def find(jobs: Channel, holder: Mapping[str, Any], fence: int) -> Record | None:
    """Finds the record of the run that held a lock, from what it told of itself and its fence.

    A run's start time is the millisecond of its fence, or the next that was free; where others have
    been removed from between, all records are searched.
    """
    name, run_id = holder.get("job"), holder.get("run")
    if not (isinstance(name, str) and isinstance(run_id, str)):
        return None
    first = start_of(fence)
    for start in range(first, first + _FAR):
        record: Record | None = jobs.get({"name": name, "startTime": start})
        if record is None:
            break
        if record.get("runId") == run_id:
            return record
    mine = {"name": name, "runId": run_id}
    for _key, found in jobs.items(mine, limit=1, newest_first=True):
        return found if is_record(found) else None
    return None


def start_of(fence: int) -> int:
    """Returns the start time that a lease's fence means.

    Fences grow for ever and follow the clock of the locks in microseconds, so start times of one
    job grow too, on one clock for all servers.
    """
    return fence // 1000


def abandon(jobs: Channel, record: Record, fence: int | None) -> bool:
    """Marks a run as abandoned if it is still told as running; tells whether it was."""
    elapsed = max(now_ms() - record["startTime"], 0)
    reason = "its lease is over and its owner was not heard of"
    gone = ended(record, "abandoned", elapsed, reason)
    running = {"runId": record["runId"], "status": "running"}
    return jobs.get_set(running, key_of(record), gone, fence=fence) is not None


def is_live(record: Mapping[str, Any], lock: LockInfo | None) -> bool:
    """Tells whether the run that a record tells of still holds its lock."""
    return lock is not None and lock.fence == record.get("fence")


def _traceback(error: BaseException) -> str:
    text = _storable("".join(traceback.format_exception(error)))
    return text if len(text) <= _LONGEST_TRACEBACK else f"…{text[-_LONGEST_TRACEBACK:]}"


def _storable(text: str) -> str:
    """Returns the text with what UTF-8 cannot carry (parts of odd file names) as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
