"""Standard output and error where nobody reads them: closed, full, or a pipe without a reader."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_OUT: Final = 1
_ERR: Final = 2
_ERRORS: Final = "backslashreplace"


def settle() -> None:
    """Makes the standard streams fit for any text, and for being closed.

    A number that a closed stream has left free is taken, before a file of ours gets it and a child
    process writes into that.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _ERR:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = _over(_Patient, _OUT, sys.stdout) if sys.stdout else _Closed()
    sys.stderr = _over(_Heedless, _ERR, sys.stderr)


def drop_what_nobody_reads() -> None:
    """Has writing to standard output go well whether or not anybody reads it."""
    sys.stdout = _over(_Heedless, _OUT, sys.stdout)


def read_answer() -> str:
    """Returns a line of standard input, whatever its bytes are; an empty text if there is none."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors=_ERRORS)
    try:
        return sys.stdin.readline() if sys.stdin else ""
    except OSError:
        return ""


def set_apart_stdout() -> TextIO:
    """Returns standard output, for programs; what else is printed goes to standard error."""
    sys.stdout.flush()
    alone = os.dup(_OUT)
    os.dup2(_ERR, _OUT)
    return io.TextIOWrapper(io.BufferedWriter(_Heedless(alone, "w")), "utf-8", _ERRORS)


def give_up_output() -> None:
    """Lets the interpreter flush what is left of standard output into nothing."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, _OUT)
    os.close(nothing)


class _Closed(io.TextIOBase):
    def write(self, text: str, /) -> int:  # noqa: ARG002  a stream's face
        raise OSError(errno.EBADF, "it is closed")


class _Patient(io.FileIO):
    """Writes all, and waits for room where writing does not block: a reader may set a pipe so."""

    def write(self, data: ReadableBuffer, /) -> int:
        left = memoryview(data).cast("B")
        while left:
            written = cast("int | None", super().write(left))
            if written is None:
                select.select([], [self], [])
            left = left[written or 0 :]
        return memoryview(data).nbytes


class _Heedless(_Patient):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _over(kind: type[io.FileIO], number: int, stream: TextIO | None) -> TextIO:
    raw = kind(number, "w", closefd=False)
    if not isinstance(stream, io.TextIOWrapper):
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", _ERRORS)
    # With python -u the text goes straight to the file, as it does in the interpreter's own stream.
    return io.TextIOWrapper(
        cast("BinaryIO", raw) if stream.write_through else io.BufferedWriter(raw),
        stream.encoding,
        _ERRORS,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
