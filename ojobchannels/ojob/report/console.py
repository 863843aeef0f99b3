"""Where a run tells what happens: a terminal or a pipe, as lines for people or for programs."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, TextIO

from ojobchannels.ojob.report.events import Event, Kind, Level, Sink, ended, now
from ojobchannels.ojob.report.outcomes import Outcome

_COLOURS: Final[dict[Kind, str]] = {
    "completed": "32",
    "failed": "31",
    "skipped": "33",
    "depsfail": "33",
}
_OF_LEVELS: Final[dict[Level, str]] = {"warn": "33", "error": "31"}


class Output:
    """Tells each of its sinks: by default the console, in lines for people.

    Override `log`, `started` and `ended` to tell it in another way; they are called by several
    threads, and what they raise fails the job that they were to tell of.
    """

    def __init__(self, *sinks: Sink) -> None:
        self._sinks: Sequence[Sink] = sinks or (Console(),)
        self._id: str | None = None
        self._lock = threading.Lock()

    @contextmanager
    def with_sink(self, sink: Sink, replace: bool = False) -> Iterator[None]:
        """Tells one more for a while, or `instead` of the others, and closes it."""
        try:
            with self.with_sinks(*(() if replace else self._sinks), sink):
                yield
        finally:
            sink.close()

    @contextmanager
    def with_sinks(self, *sinks: Sink) -> Iterator[None]:
        """Tells these alone for a while; without any, nobody."""
        with self._lock:
            before, self._sinks = self._sinks, sinks
        try:
            yield
        finally:
            with self._lock:
                self._sinks = before

    @contextmanager
    def with_run_id(self, id: str | None) -> Iterator[None]:
        """Has all that is told for a while carry what a file calls its run, if it does."""
        with self._lock:
            before, self._id = self._id, id or self._id
        try:
            yield
        finally:
            with self._lock:
                self._id = before

    def log(self, job: str, level: Level, text: str) -> None:
        """Tells what a job says."""
        self._emit(Event(now(), job, "log", level, text))

    def started(self, job: str, place: str = "") -> None:
        """Tells that a job starts, and which call: its place in the todo, or what it manages."""
        text = f"started ({place})" if place else "started"
        self._emit(Event(now(), job, "started", "info", text))

    def ended(self, outcome: Outcome) -> None:
        """Tells what became of a job."""
        self._emit(ended(outcome))

    def _emit(self, event: Event) -> None:
        with self._lock:
            event = event._replace(id=self._id)
            for sink in self._sinks:
                sink.emit(event)


class Console(Sink):
    """Writes ``HH:MM:SS | job | text``: errors to stderr, all else to stdout.

    Work does not hang on its audience: a line that cannot be written is dropped. On a terminal, how
    a job ended is coloured, unless ``NO_COLOR`` is set.
    """

    def emit(self, event: Event) -> None:
        """Writes each line of the text as one of its own."""
        put("", sys.stdout)  # what a job itself has printed comes first
        stream = sys.stderr if event.level == "error" else sys.stdout
        colour = _COLOURS.get(event.kind) or _OF_LEVELS.get(event.level)
        paint = f"\x1b[{colour}m{{}}\x1b[0m" if colour and _coloured(stream) else "{}"
        head = f"{event.at:%H:%M:%S} | {event.job} | "
        lines = (head + paint.format(line) for line in event.message.splitlines() or [""])
        put("".join(f"{line}\n" for line in lines), stream)

    def close(self) -> None:
        """Leaves the streams open; they are the process's own."""


class JsonLines(Sink):
    """Writes each event as a JSON object on a line of its own to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def emit(self, event: Event) -> None:
        """Writes one line."""
        put(json.dumps(event.document()) + "\n", self._stream)

    def close(self) -> None:
        """Leaves the stream open; it is the caller's."""


def put(text: str, stream: TextIO | None) -> None:
    """Writes to a stream that may be full, closed, or without a reader."""
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    with suppress(OSError, ValueError):
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()


def _coloured(stream: TextIO | None) -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or stream is None:
        return False
    with suppress(ValueError):
        return stream.isatty()
    return False
