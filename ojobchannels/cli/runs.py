"""Columns that tell of run records, for the commands that list them."""

from __future__ import annotations

from typing import Final

from ojobchannels.cli.tables import Column, Row, first_line
from ojobchannels.cli.times import local, relative, span
from ojobchannels.host.clock import now_ms

STATUS_COLOURS: Final = {
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "abandoned": "yellow",
    "lost": "yellow",
}


def took(record: Row) -> str:
    """Tells how long a run took, or has taken until now."""
    if record["status"] == "running":
        return span(max(now_ms() - record["startTime"], 0))
    ran = record["status"] in ("completed", "failed", "lost")
    return span(record.get("duration", 0)) if ran else ""


def where(record: Row) -> str:
    """Tells which process ran it: ``host:pid``."""
    return f"{record.get('host', '?')}:{record.get('pid', '?')}"


def what(record: Row) -> str:
    """Tells what there is to know of a run in words: its error, why it did not run, a note."""
    reason = (record.get("reason") or "").partition("; ")[0]
    said = (first_line(text or "") for text in (record.get("error"), reason, record.get("note")))
    return "; ".join(filter(None, said))


JOB: Final = Column("job", lambda record: record["name"])
STATUS: Final = Column("status", lambda record: record["status"], colours=STATUS_COLOURS)
AGO: Final = Column("started", lambda record: relative(record["startTime"], now_ms()))
STARTED: Final = Column("started", lambda record: local(record["startTime"]))
TOOK: Final = Column("took", took, right=True)
WHERE: Final = Column("where", where)
WHAT: Final = Column("what", what, folds=True)
