"""What a run tells people: lines of its jobs, and what becomes of them."""

from __future__ import annotations

import sys
import threading
import traceback
from contextlib import suppress
from datetime import datetime
from typing import Final, Literal, TextIO, TypeAlias

from ojobchannels.ojob.outcomes import Outcome, describe

Level: TypeAlias = Literal["info", "warn", "error"]

_PREFIX: Final[dict[Level, str]] = {"info": "", "warn": "warning: ", "error": "error: "}


class Output:
    """Writes ``HH:MM:SS | job | text``: errors to stderr, all else to stdout.

    Work does not hang on its audience: a line that cannot be written is dropped.

    Override `log`, `started` and `ended` to tell it in another way; they are called by several
    threads, and what they raise fails the job that they were to tell of.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def log(self, job: str, level: Level, text: str) -> None:
        """Tells what a job says."""
        self._write(job, _PREFIX[level] + text, sys.stderr if level == "error" else sys.stdout)

    def started(self, job: str) -> None:
        """Tells that a job starts."""
        self._write(job, "started", sys.stdout)

    def ended(self, outcome: Outcome) -> None:
        """Tells what became of a job."""
        took = f"{outcome.seconds:.2f} s"
        names = ", ".join(name for name in outcome.run_names if name != outcome.job)
        managed = f" ({names})" if names else ""
        match outcome.status:
            case "completed":
                self._write(outcome.job, f"completed in {took}{managed}", sys.stdout)
            case "failed":
                self._write(
                    outcome.job, f"failed after {took}{managed}: {_failure(outcome)}", sys.stderr
                )
            case "skipped":
                self._write(outcome.job, f"skipped: {outcome.reason}", sys.stdout)
            case "depsfail":
                self._write(outcome.job, f"not run: {outcome.reason}", sys.stdout)

    def _write(self, job: str, text: str, stream: TextIO | None) -> None:
        time = datetime.now().astimezone().strftime("%H:%M:%S")
        lines = "".join(f"{time} | {job} | {line}\n" for line in text.splitlines() or [""])
        with self._lock:
            _put("", sys.stdout)  # what a job itself has printed comes first
            _put(lines, stream)


def _put(text: str, stream: TextIO | None) -> None:
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    with suppress(OSError, ValueError):  # full, without a reader, closed
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()


def _failure(outcome: Outcome) -> str:
    if outcome.error is None:
        return outcome.reason or ""
    trace = "".join(traceback.format_tb(outcome.error.__traceback__)).rstrip()
    return "\n".join(part for part in (describe(outcome.error), trace) if part)
