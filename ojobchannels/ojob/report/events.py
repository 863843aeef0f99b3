"""What a run tells of: lines of its jobs, their starts and their ends."""

from __future__ import annotations

import traceback
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from ojobchannels.ojob.report.outcomes import Outcome, Status, describe

Level: TypeAlias = Literal["info", "warn", "error"]
Kind: TypeAlias = Literal["log", "started"] | Status

_PREFIX: Final[dict[Level, str]] = {"info": "", "warn": "warning: ", "error": "error: "}


class Event(NamedTuple):
    """One thing that happened.

    Attributes:
        at: When, in the local zone.
        job: Of which job.
        kind: A ``log`` line of its own, its start, or how it ended.
        level: How much it matters.
        text: What to tell a person; several lines for an error.
        outcome: How the job ended, for an end.
        id: What the file calls its run, if it does.
    """

    at: datetime
    job: str
    kind: Kind
    level: Level
    text: str
    outcome: Outcome | None = None
    id: str | None = None

    @property
    def message(self) -> str:
        """The text with its level in words."""
        return _PREFIX[self.level] + self.text if self.kind == "log" else self.text

    def document(self) -> dict[str, Any]:
        """Returns the event as programs want it."""
        found: dict[str, Any] = {
            "time": self.at.isoformat(timespec="milliseconds"),
            "job": self.job,
            "event": self.kind,
            "level": self.level,
            "text": self.text,
        }
        if self.id is not None:
            found["id"] = self.id
        if self.outcome is not None:
            found |= _of_the_end(self.outcome)
        return found


class Sink(Protocol):
    """Somebody who is told, one event after the other."""

    def emit(self, event: Event) -> None:
        """Takes an event; it must not raise."""

    def close(self) -> None:
        """Ends it, when nothing more is told."""


def now() -> datetime:
    """Returns the time in the local zone."""
    return datetime.now().astimezone()


def ended(outcome: Outcome) -> Event:
    """Returns the event of a job's end."""
    took = f"{outcome.seconds:.2f} s"
    names = ", ".join(name for name in outcome.run_names if name != outcome.job)
    managed = f" ({names})" if names else ""
    texts: dict[Status, str] = {
        "completed": f"completed in {took}{managed}",
        "failed": f"failed after {took}{managed}: {_failure(outcome)}",
        "skipped": f"skipped: {outcome.reason}",
        "depsfail": f"not run: {outcome.reason}",
    }
    level: Level = "error" if outcome.status == "failed" else "info"
    return Event(now(), outcome.job, outcome.status, level, texts[outcome.status], outcome)


def _of_the_end(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = {"seconds": round(outcome.seconds, 6), "launched": outcome.launched}
    if outcome.run_ids:
        pairs = zip(outcome.run_names, outcome.run_ids, strict=True)
        found["runs"] = [{"name": name, "id": run_id} for name, run_id in pairs]
    if outcome.reason is not None:
        found["reason"] = outcome.reason
    if outcome.error is not None:
        found["error"] = {
            "type": type(outcome.error).__name__,
            "message": str(outcome.error),
            "trace": _trace(outcome.error),
        }
    return found


def _failure(outcome: Outcome) -> str:
    if outcome.error is None:
        return outcome.reason or ""
    return "\n".join(part for part in (describe(outcome.error), _trace(outcome.error)) if part)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__)).rstrip()
