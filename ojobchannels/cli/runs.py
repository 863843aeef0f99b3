"""Columns of run records, for the commands that list them."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

import click

from ojobchannels.cli.tables import Column, Row, first_line
from ojobchannels.cli.times import relative
from ojobchannels.following.gone_daemons import Daemon, is_of
from ojobchannels.host.clock import now_ms
from ojobchannels.host.terminal import duration, local_time
from ojobchannels.printable import printable

_MAX_NAMED: Final = 5
_NO_SIGN: Final = "its daemon gives no sign of life"

STATUS_COLOURS: Final = {
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "abandoned": "yellow",
    "lost": "yellow",
    "cancelled": "yellow",
}


def took(record: Row) -> str:
    """Return the duration of a run, until now for a running one."""
    if record["status"] == "running":
        return duration(max(now_ms() - record["startTime"], 0))
    ran = record["status"] in ("completed", "failed", "lost", "cancelled")
    return duration(record.get("duration", 0)) if ran else ""


def outcome(record: Row) -> str:
    """Return how a run ended, as the end of a sentence."""
    if record["status"] == "running":
        return "is running"
    cause = details(record)
    return f"ended after {took(record)}: {record['status']}" + (f" ({cause})" if cause else "")


def process(record: Row) -> str:
    """Return the process of a run record or a lock holder as ``host:pid``."""
    return f"{record.get('host', '?')}:{record.get('pid', '?')}"


def details(record: Row) -> str:
    """Return the error of a run, the reason why it did not run, and its note, as one line."""
    reason = (record.get("reason") or "").partition("; ")[0]
    texts = (record.get("error"), reason, _with_local_time(record.get("note") or ""))
    return "; ".join(filter(None, (first_line(text or "") for text in texts)))


def _with_local_time(note: str) -> str:
    """Return a note, which begins with a time in UTC, with that time as local time."""
    time, _, text = note.partition(" ")
    try:
        return f"{local_time(round(datetime.fromisoformat(time).timestamp() * 1000))} {text}"
    except ValueError:
        return note


JOB: Final = Column("job", lambda record: record["name"], cut=True)
STATUS: Final = Column("status", lambda record: record["status"], colours=STATUS_COLOURS)
AGO: Final = Column("started", lambda record: relative(record["startTime"], now_ms()))
STARTED: Final = Column("started", lambda record: local_time(record["startTime"]))
TOOK: Final = Column("took", took, right=True)
RUN: Final = Column("run", lambda record: record.get("runId", "")[:8], optional=True)
WHERE: Final = Column("where", process, optional=True)
DETAILS: Final = Column("details", details, cut=True)


def latest_of_each(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the most relevant record of each job, from records with the latest first."""
    chosen: dict[str, dict[str, Any]] = {}
    for record in records:
        present = chosen.setdefault(record["name"], record)
        if _weight(record) > _weight(present):
            chosen[record["name"]] = record
    return sorted(chosen.values(), key=lambda record: str(record["name"]))


def _weight(record: dict[str, Any]) -> int:
    if record["status"] == "running":
        return 2
    return 0 if record["status"] in ("skipped", "depsfail") else 1


def noted(records: Iterable[dict[str, Any]], gone: Collection[Daemon]) -> Iterator[dict[str, Any]]:
    """Yield records, with a note in those of active runs whose daemon gives no sign of life."""
    for record in records:
        is_left = record["status"] == "running" and is_of(gone, record)
        yield {**record, "note": _NO_SIGN} if is_left else record


def report_malformed(entries: Mapping[str, str]) -> None:
    """Name the entries of the jobs channel that are not run records, on standard error."""
    if entries:
        named = [f"{key} ({reason})" for key, reason in islice(entries.items(), _MAX_NAMED)]
        more = f" and {len(entries) - _MAX_NAMED} more" if len(entries) > _MAX_NAMED else ""
        count = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
        text = f"Set aside {count} that cannot be read as run records: {', '.join(named)}{more}; "
        click.echo(printable(f"{text}remove them from the channel with `unset`."), err=True)
