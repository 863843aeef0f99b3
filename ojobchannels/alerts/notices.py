"""Notices: the documents that report to a receiver what has happened to a job."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ojobchannels.alerts.rules import Notice
from ojobchannels.host.clock import utc
from ojobchannels.printable import printable

_RECORD_FIELDS: Final = (
    *("runId", "status", "host", "pid", "startTime", "startDate", "endTime", "endDate"),
    *("duration", "error", "reason", "attempt", "fireTime", "fireDate"),
)
FIELDS: Final = (
    *("id", "event", "job", "message", "alert", "time", "date", "count", "after", "since", "left"),
    *_RECORD_FIELDS,
)
"""``id`` is equal in all copies of a notice. ``count`` is the number of failures or skipped runs in
a row; ``after`` is what the job has recovered from; ``since`` is the date when it became overdue,
or of the last sign of life of a daemon, and ``left`` the number of the others that run its file.
The others are fields of the record, and absent if it has none."""

_LONGEST: Final = 1000


def of_run(event: str, record: Mapping[str, Any], time: int, **more: Any) -> Notice:
    """Return the notice of an event of a run."""
    known_fields = {
        name: _short(record[name]) for name in _RECORD_FIELDS if record.get(name) is not None
    }
    return _notice(event, record["name"], time, str(record.get("runId")), known_fields | more)


def of_schedule(event: str, job: str, since: int, time: int, **more: Any) -> Notice:
    """Return the notice of a job that is overdue, or no longer."""
    return _notice(event, job, time, str(since), {"since": iso(since), **more})


def of_daemon(event: str, id: str, daemon: Mapping[str, Any], time: int, **more: Any) -> Notice:
    """Return the notice of a daemon that gives no sign of life, or does so again."""
    known = {name: daemon[name] for name in ("host", "pid", "left")}
    since = {"since": iso(daemon["since"])}
    return _notice(
        event, daemon["file"], time, f"{id} {daemon['since']}", {**known, **since, **more}
    )


def iso(ms: int) -> str:
    """Return milliseconds since 1970 as a date."""
    return utc(datetime.fromtimestamp(ms / 1000, UTC))


def _notice(event: str, job: str, time: int, of: str, more: Mapping[str, Any]) -> Notice:
    known = "\0".join((event, str(more.get("after", "")), job, of))
    notice = {
        "id": hashlib.sha256(known.encode("utf-8", "surrogatepass")).hexdigest()[:32],
        "event": event,
        "job": job,
        "time": time,
        "date": iso(time),
        **more,
    }
    return notice | {"message": _message(notice)}


def _message(notice: Notice) -> str:
    event, job = notice["event"], f"job {notice['job']!r}"
    count = notice.get("count", 1)
    several = f" {count} times in a row" if count > 1 else ""
    why = notice.get("error") or notice.get("reason")
    where = f" on {notice['host']}" if "host" in notice else ""
    match event:
        case "overdue":
            text = f"{job} is overdue since {notice['since']}: no run has begun"
        case "daemon-gone":
            text = f"{_daemon(notice)} gives no sign of life since {notice['since']}{_left(notice)}"
        case "recovered" if notice["after"] == "daemon-gone":
            text = f"{_daemon(notice)} is alive again, or was replaced"
        case "recovered":
            text = f"{job} is well again after it was {notice['after']}"
        case "skipped":
            text = f"{job} was skipped{several}{f': {why}' if why else ''}"
        case "failed":
            text = f"{job} failed{several}{where}{f': {why}' if why else ''}"
        case "abandoned" | "lost":
            text = f"{job}: a run{where} is {event}{f': {why}' if why else ''}"
        case _:
            text = f"{job}: a run{where} is {event}"
    return printable(text)[:_LONGEST]


def _daemon(notice: Notice) -> str:
    return f"daemon {notice['host']}:{notice['pid']} of {notice['job']}"


def _left(notice: Notice) -> str:
    number = notice["left"]
    return f"; others of that file are alive: {number}" if number else "; no other one is alive"


def _short(value: Any) -> Any:
    return value[:_LONGEST] if isinstance(value, str) else value
