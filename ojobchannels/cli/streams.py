"""Standard streams that are closed, full, or a pipe without a reader."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO, cast

import click

from ojobchannels.host.shutdown import SHUTDOWN
from ojobchannels.printable import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_OUT: Final = 1
_ERR: Final = 2
_ERRORS: Final = "backslashreplace"
_POLL_SECONDS: Final = 0.25
_PATIENCE_SECONDS: Final = 2.0


def echo(text: str, err: bool = False, nl: bool = True) -> None:
    """Print text for people, to standard output or standard error.

    Control characters, which may come from anybody's lock, record or file, are escaped; line feeds
    are kept.
    """
    click.echo(printable(text, keep="\n\t"), err=err, nl=nl)


def prepare_streams() -> None:
    """Make the standard streams accept any text, and replace closed ones.

    The file descriptor of a closed stream is occupied: otherwise the next opened file would get it,
    and child processes would write into that file.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _ERR:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = _wrap(_BlockingFile, _OUT, sys.stdout) if sys.stdout else _ClosedStream()
    sys.stderr = _wrap(_LossyFile, _ERR, sys.stderr)


def ignore_write_errors() -> tuple[TextIO, TextIO]:
    """Drop what cannot be written to standard output, instead of failing.

    Returns:
        Streams of their own for standard output and standard error: code may replace, redirect or
        close those in `sys`.
    """
    out, err = (_wrap(_LossyFile, number, sys.stdout) for number in (_OUT, _ERR))
    sys.stdout = _wrap(_LossyFile, _OUT, sys.stdout)
    return out, err


def read_line() -> str:
    """Return a line of standard input, or an empty text at its end or if it is closed."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors=_ERRORS)
    try:
        return sys.stdin.readline() if sys.stdin else ""
    except OSError:
        return ""


def separate_stdout() -> TextIO:
    """Return standard output for JSON only; other output of the process goes to standard error."""
    sys.stdout.flush()
    own = os.dup(_OUT)
    os.dup2(_ERR, _OUT)
    return io.TextIOWrapper(io.BufferedWriter(_LossyFile(own, "w")), "utf-8", _ERRORS)


def discard_output() -> None:
    """Discard buffered output, so that the interpreter does not fail to flush it at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, _OUT)
    os.close(null)


class OutputError(OSError):
    """Standard output cannot be written, for another reason than that its reader has gone."""


class _ClosedStream(io.TextIOBase):
    def write(self, text: str, /) -> int:  # noqa: ARG002  the signature of a stream
        raise OutputError(errno.EBADF, "it is closed")


class _BlockingFile(io.FileIO):
    """Writes everything, also to a pipe that its reader has made non-blocking."""

    def write(self, data: ReadableBuffer, /) -> int:
        left = memoryview(data).cast("B")
        while left:
            try:
                written = cast("int | None", super().write(left))
            except BrokenPipeError:
                raise
            except OSError as error:
                raise OutputError(error.errno, error.strerror) from error
            if written is None:
                select.select([], [self], [])
            left = left[written or 0 :]
        return memoryview(data).nbytes


class _LossyFile(_BlockingFile):
    """Drops what cannot be written; during a shutdown also what has no reader for some seconds."""

    _is_stuck = False

    def write(self, data: ReadableBuffer, /) -> int:
        left = memoryview(data).cast("B")
        with suppress(OSError):
            # A pipe that is writable takes this much at once, so that the write does not block.
            while left and self._wait_until_writable():
                left = left[super().write(left[: select.PIPE_BUF]) :]
        return memoryview(data).nbytes

    def _wait_until_writable(self) -> bool:
        """Wait without a limit, or for a shutdown until the stream is certainly stuck."""
        waited = 0.0
        while not select.select([], [self], [], 0 if self._is_stuck else _POLL_SECONDS)[1]:
            waited += _POLL_SECONDS
            if SHUTDOWN.requested and (self._is_stuck or waited >= _PATIENCE_SECONDS):
                self._is_stuck = True
                return False
            self._is_stuck = False
        self._is_stuck = False
        return True


def _wrap(kind: type[io.FileIO], number: int, stream: TextIO | None) -> TextIO:
    raw = kind(number, "w", closefd=False)
    if not isinstance(stream, io.TextIOWrapper):
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", _ERRORS)
    # With python -u the text is not buffered, as in the interpreter's own stream.
    return io.TextIOWrapper(
        cast("BinaryIO", raw) if stream.write_through else io.BufferedWriter(raw),
        stream.encoding,
        _ERRORS,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
