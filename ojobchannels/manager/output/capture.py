"""Captures what the code of a run prints and logs, beside where that goes anyway.

While runs are open, `sys.stdout` and `sys.stderr` pass on to the streams that were there before,
and log records are made by a factory that calls the one before. Both look at the context of the
calling code, so runs in several threads do not mix.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

from ojobchannels.errors import safe_str
from ojobchannels.host.forks import forget_in_children
from ojobchannels.manager.output.buffer import OutputBuffer
from ojobchannels.manager.output.lines import OutputLevel

FindBuffer = Callable[[], OutputBuffer | None]
_Factory: TypeAlias = Callable[..., logging.LogRecord]
_STREAMS: Final[tuple[tuple[str, OutputLevel], ...]] = (("stdout", "out"), ("stderr", "err"))
_traceback_of: Final = logging.Formatter().formatException


class _Stream:
    """A standard stream that captures what is written to it."""

    def __init__(self, stream: Any, level: OutputLevel, find: FindBuffer) -> None:
        self._stream = stream
        self._level: OutputLevel = level
        self._find = find

    def write(self, text: str) -> Any:
        """Write to the stream, and capture it."""
        # A log record is captured when it is made, not when a handler writes it.
        is_logging = sys._getframe(1).f_globals.get("__name__") == "logging"
        buffer = None if is_logging else self._find()
        written = self._stream.write(text)
        if buffer is not None:
            buffer.write(self._level, str(text))
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines to the stream, and capture them."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> "_Stream":
        self._stream.__enter__()
        return self

    def __exit__(self, *details: Any) -> Any:
        return self._stream.__exit__(*details)

    def __iter__(self) -> Any:
        return iter(self._stream)


class Capture:
    """Captures output for as long as a run is open.

    Args:
        find: Returns the output of the run for which the calling code works, or None.
    """

    def __init__(self, find: FindBuffer) -> None:
        self._find = find
        self._runs: set[object] = set()
        self._before: _Factory = logging.LogRecord
        self._factory: _Factory | None = None
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        """Replace the lock in a forked child: another thread of the parent may have held it."""
        self._lock = threading.RLock()

    def begin(self, run: object) -> None:
        """Capture for one more run."""
        with self._lock:
            self._runs.add(run)
            for name, level in _STREAMS:
                stream = getattr(sys, name)
                if stream is not None and not isinstance(stream, _Stream):
                    setattr(sys, name, _Stream(stream, level, self._find))
            factory = logging.getLogRecordFactory()
            if factory is not self._factory:
                # A new one, since a library may have wrapped the last one in its own.
                self._before, self._factory = factory, partial(self._make_record, factory)
                logging.setLogRecordFactory(self._factory)

    def end(self, run: object) -> None:
        """End the capture for one run; the last end restores what was there before."""
        with self._lock:
            if run not in self._runs:
                return
            self._runs.remove(run)
            if self._runs:
                return
            for name, _ in _STREAMS:
                stream = getattr(sys, name)
                if isinstance(stream, _Stream):
                    setattr(sys, name, stream._stream)
            if logging.getLogRecordFactory() is self._factory:
                logging.setLogRecordFactory(self._before)

    def _make_record(self, before: _Factory, *args: Any, **named: Any) -> logging.LogRecord:
        record = before(*args, **named)
        buffer = self._find() if self._runs and before is self._before else None
        if buffer is not None:
            with suppress(Exception):  # the code of the message's arguments may raise
                buffer.add(_level(record.levelno), _text(record))
        return record


def _level(number: int) -> OutputLevel:
    if number >= logging.ERROR:
        return "error"
    return "warn" if number >= logging.WARNING else "info"


def _text(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001  logging reports it where the record is handled
        text = f"{record.msg!r} ({safe_str(error)})"
    if record.exc_info and record.exc_info[0] is not None:
        text += "\n" + _traceback_of(record.exc_info)
    return text
