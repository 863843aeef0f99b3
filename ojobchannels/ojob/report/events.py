"""The events of a run: log lines of its jobs, their starts and their ends."""

import sysconfig
import traceback
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from ojobchannels.errors import safe_str
from ojobchannels.host.clock import utc
from ojobchannels.masking import mask_text
from ojobchannels.ojob.report.outcomes import Outcome, Status, describe
from ojobchannels.printable import printable, printable_lines

Level: TypeAlias = Literal["info", "warn", "error"]
Kind: TypeAlias = Literal["log", "started"] | Status

_LIBRARIES: Final = tuple(
    sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")
)
_PREFIX: Final[dict[Level, str]] = {"info": "", "warn": "warning: ", "error": "error: "}


class Event(NamedTuple):
    """One event of a job.

    Attributes:
        at: The time, in the local time zone.
        job: The name of the job.
        kind: ``log``, ``started``, or the status with which the job ended.
        level: ``info``, ``warn`` or ``error``.
        text: The text for people; several lines for an error.
        outcome: How the job ended, for an end.
        id: The `id` of the job file, if it has one.
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
        """The text, with a prefix for the level of a log line."""
        return _PREFIX[self.level] + self.text if self.kind == "log" else self.text

    def printable(self) -> "Event":
        """Return the event with the control characters of its texts escaped.

        For every sink whose output people read. Such a sink begins each line of the text with the
        name of the job, so that no line can pass for another job's.
        """
        text = "\n".join(printable_lines(self.text))
        return self._replace(job=printable(self.job), text=text, id=self.id and printable(self.id))

    def document(self) -> dict[str, Any]:
        """Return the event as a JSON document, with the time in UTC."""
        document: dict[str, Any] = {
            "time": utc(self.at),
            "job": self.job,
            "event": self.kind,
            "level": self.level,
            "text": self.text,
        }
        if self.id is not None:
            document["id"] = self.id
        if self.outcome is not None:
            document |= _ending(self.outcome)
        return document


class Sink(Protocol):
    """Receives events, one after the other."""

    def emit(self, event: Event) -> None:
        """Process an event; it must not raise."""

    def close(self) -> None:
        """Release what the sink holds; no event follows."""


def now() -> datetime:
    """Return the present time in the local time zone."""
    return datetime.now().astimezone()


def ended(outcome: Outcome) -> Event:
    """Return the event of the end of a job."""
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
    text = mask_text(texts[outcome.status], outcome.secrets)
    return Event(now(), outcome.job, outcome.status, level, text, outcome)


def _ending(outcome: Outcome) -> dict[str, Any]:
    document: dict[str, Any] = {"seconds": round(outcome.seconds, 6), "launched": outcome.launched}
    if outcome.run_ids:
        pairs = zip(outcome.run_names, outcome.run_ids, strict=True)
        document["runs"] = [{"name": name, "id": run_id} for name, run_id in pairs]
    if outcome.reason is not None:
        document["reason"] = mask_text(outcome.reason, outcome.secrets)
    if outcome.error is not None:
        document["error"] = {
            "type": type(outcome.error).__name__,
            "message": mask_text(safe_str(outcome.error), outcome.secrets),
            "trace": "".join(traceback.format_tb(outcome.error.__traceback__)).rstrip(),
        }
    return document


def _failure(outcome: Outcome) -> str:
    if outcome.error is None:
        return outcome.reason or ""
    return "\n".join(part for part in (describe(outcome.error), _trace(outcome.error)) if part)


def _trace(error: BaseException) -> str:
    """Return the frames of a traceback that are not in installed libraries, with their lines."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    return "".join(traceback.format_list(own)).rstrip()
