"""The output of a run: lines of text for people, or of JSON for programs."""

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final, TextIO

from ojobchannels.host.forks import forget_in_children
from ojobchannels.host.terminal import has_colours
from ojobchannels.ojob.report.events import Event, Kind, Level, Sink, ended, now
from ojobchannels.ojob.report.outcomes import Outcome

_COLOURS: Final[dict[Kind, str]] = {
    "completed": "32",
    "failed": "31",
    "skipped": "33",
    "depsfail": "33",
}
_LEVEL_COLOURS: Final[dict[Level, str]] = {"warn": "33", "error": "31"}


class Output:
    """Sends the events of a run to sinks; the default sink is the console.

    To report events in another way, override `log`, `started` and `ended`. They are called by
    several threads; an exception that they raise fails the job whose event they report.
    """

    def __init__(self, *sinks: Sink) -> None:
        self._sinks: Sequence[Sink] = sinks or (Console(),)
        self._id: str | None = None
        consoles = (sink for sink in self._sinks if isinstance(sink, Console))
        self._stdout = next((console.out for console in consoles), sys.stdout)
        self._lock = threading.Lock()
        forget_in_children(self)

    def forget(self) -> None:
        """Replace the lock in a forked child: another thread of the parent may have held it."""
        self._lock = threading.Lock()

    @contextmanager
    def with_sink(self, sink: Sink, replace: bool = False) -> Iterator[None]:
        """Add a sink, or `replace` the others, within the block; close it at the end."""
        try:
            with self.with_sinks(*(() if replace else self._sinks), sink):
                yield
        finally:
            sink.close()

    @contextmanager
    def with_sinks(self, *sinks: Sink) -> Iterator[None]:
        """Send events only to these sinks within the block."""
        with self._lock:
            before, self._sinks = self._sinks, sinks
        try:
            yield
        finally:
            with self._lock:
                self._sinks = before

    @contextmanager
    def with_run_id(self, id: str | None) -> Iterator[None]:
        """Mark the events within the block with the `id` of a job file, if it has one."""
        with self._lock:
            before, self._id = self._id, id or self._id
        try:
            yield
        finally:
            with self._lock:
                self._id = before

    def log(self, job: str, level: Level, text: str) -> None:
        """Report a log line of a job."""
        self._emit(Event(now(), job, "log", level, text))

    def print(self, text: str) -> None:
        """Write a line to standard output, which is that of before the run."""
        put(f"{text}\n", self._stdout)

    def started(self, job: str, which: str = "") -> None:
        """Report that a job starts, and which call it is, such as ``3 of 12``."""
        text = f"started ({which})" if which else "started"
        self._emit(Event(now(), job, "started", "info", text))

    def ended(self, outcome: Outcome) -> None:
        """Report how a job ended."""
        self._emit(ended(outcome))

    def _emit(self, event: Event) -> None:
        with self._lock:
            event = event._replace(id=self._id)
            for sink in self._sinks:
                sink.emit(event)


class Console(Sink):
    """Writes ``HH:MM:SS | job | text``, in local time: errors to stderr, the rest to stdout.

    Where the stream is not a terminal, as in mail of cron, lines have the date and the UTC offset
    too. A line that cannot be written is dropped, so that jobs work without a reader. Colours show
    on a terminal how a job ended, unless ``NO_COLOR`` is set.

    Args:
        out: Standard output; by default what it is now, since code of jobs may redirect it.
        err: Standard error, likewise.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self._err = err or sys.stderr

    def emit(self, event: Event) -> None:
        """Write an event, with a time before each line of its text."""
        put("", sys.stdout)  # flushes what the job itself has printed
        stream = self._err if event.level == "error" else self.out
        colour = _COLOURS.get(event.kind) or _LEVEL_COLOURS.get(event.level)
        paint = f"\x1b[{colour}m{{}}\x1b[0m" if colour and has_colours(stream) else "{}"
        event = event.printable()
        head = f"{_time(event.at, stream)} | {event.job} | "
        lines = (head + paint.format(line) for line in event.message.split("\n"))
        put("".join(f"{line}\n" for line in lines), stream)

    def close(self) -> None:
        """Leave the streams open; they belong to the process."""


class JsonLines(Sink):
    """Writes each event to a stream as a line with a JSON object."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def emit(self, event: Event) -> None:
        """Write one line."""
        put(json.dumps(event.document()) + "\n", self._stream)

    def close(self) -> None:
        """Leave the stream open; it belongs to the caller."""


def put(text: str, stream: TextIO | None) -> None:
    """Write to a stream; drop the text if it is full, closed, or without a reader."""
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    with suppress(Exception):  # code of a job may have put any object there
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()


def _time(at: datetime, stream: TextIO | None) -> str:
    with suppress(AttributeError, ValueError):  # it is not a file, or closed
        if stream is not None and stream.isatty():
            return f"{at:%H:%M:%S}"
    return at.isoformat(sep=" ", timespec="seconds")
