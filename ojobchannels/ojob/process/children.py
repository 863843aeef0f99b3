"""Child processes of jobs: each in a session of its own, followed to its end, or ended in time."""

import os
import selectors
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from ojobchannels.host.clock import next_look

Stream: TypeAlias = Literal["out", "err"]
Receiver: TypeAlias = Callable[[Stream, str], None]
"""Takes each line that a child writes, with its line end, if it has one.

Bytes that are not UTF-8 are lone surrogates, as in names of files.
"""

GRACE_SECONDS: Final = 1.0
"""The time between SIGTERM and SIGKILL for a child and all that it has started."""

_PROCESSES: Final = Path("/proc")


def shown(line: str) -> str:
    """Return a line as people read it: without its end, and with escapes for other bytes."""
    return os.fsencode(line.rstrip("\r\n")).decode(errors="backslashreplace")


class TimeLimit(Protocol):
    """How long a child may run."""

    def remaining(self) -> float | None:
        """Return the seconds after which it must be ended; None for no limit."""

    def overdue(self) -> Exception:
        """Return the error to raise when it was ended after these seconds."""


class NotStarted(Exception):
    """A child could not be started.

    Attributes:
        reason: The error of the system.
    """

    def __init__(self, reason: OSError) -> None:
        self.reason = reason
        super().__init__(str(reason))


@dataclass(frozen=True)
class Command:
    """A program to run as a child.

    Attributes:
        words: The program and its arguments.
        stdin: What it can read from its standard input.
        environment: Its environment variables.
        folder: The folder in which it runs; None for the current one.
        descriptors: File descriptors that it inherits, such as those that keep a lock.
    """

    words: Sequence[str | bytes] = ()
    stdin: bytes = field(default=b"", repr=False)
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    folder: str | None = None
    descriptors: Sequence[int] = ()

    def run(self, limit: TimeLimit, receive: Receiver) -> int:
        """Run it until it and all that it has started have closed their output.

        At an error, such as an interrupt, it is ended with all that it has started.

        Returns:
            Its exit status; the negative number of a signal that killed it.

        Raises:
            NotStarted: It could not be started.
            Exception: The error of `limit`, when the time limit is reached.
        """
        with self._started() as process:
            try:
                _follow(process, limit, receive)
            except BaseException:
                end_session(process)
                raise
        return process.returncode

    def _started(self) -> subprocess.Popen[bytes]:
        with readable(self.stdin) as stdin:
            try:
                return subprocess.Popen(  # noqa: S603  a job file is code
                    self.words,
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=self.environment,
                    cwd=self.folder,
                    start_new_session=True,
                    pass_fds=self.descriptors,
                )
            except OSError as error:
                raise NotStarted(error) from error


def readable(data: bytes) -> IO[bytes]:
    """Return a file with this content, in memory where the system can, else in a temporary file."""
    stream: IO[bytes]
    try:
        stream = os.fdopen(os.memfd_create("stdin"), "w+b")
    except (AttributeError, OSError):
        stream = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
    stream.write(data)
    stream.seek(0)
    return stream


class _Lines:
    """The lines of one stream, however it is cut into pieces."""

    def __init__(self, stream: Stream, receive: Receiver) -> None:
        self._stream: Stream = stream
        self._receive = receive
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Add what was read; empty data means that the stream has ended."""
        if data and b"\n" not in data:
            self._pieces.append(data)
            return
        *lines, rest = b"".join([*self._pieces, data]).split(b"\n")
        self._pieces = [rest] if rest and data else []
        for line in lines:
            self._receive(self._stream, os.fsdecode(line) + "\n")
        if rest and not data:
            self._receive(self._stream, os.fsdecode(rest))


def _follow(process: subprocess.Popen[bytes], limit: TimeLimit, receive: Receiver) -> None:
    """Pass on what a child and the processes it has started write, until all close their output."""
    with selectors.DefaultSelector() as selector:
        streams: dict[Stream, IO[bytes] | None] = {"out": process.stdout, "err": process.stderr}
        for name, stream in streams.items():
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, _Lines(name, receive))
        while selector.get_map():
            ready = selector.select(next_look(limit.remaining()))
            if limit.remaining() == 0:  # also if it writes without a pause
                raise limit.overdue()
            for key, _ in ready:
                data = os.read(_number(key.fileobj), 65536)
                key.data.feed(data)
                if not data:
                    selector.unregister(key.fileobj)
    while process.returncode is None:
        try:
            process.wait(next_look(limit.remaining()))
        except subprocess.TimeoutExpired:
            if limit.remaining() == 0:
                raise limit.overdue() from None


def _number(stream: IO[bytes] | int | Any) -> int:
    return stream if isinstance(stream, int) else int(stream.fileno())


def end_session(process: subprocess.Popen[bytes]) -> None:
    """End a child that leads a session, and all that it has started: SIGTERM, then SIGKILL."""
    started = _started_by(process.pid)
    try:
        _signal_all(process.pid, started, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    finally:
        left = {pid: began for pid, began in started.items() if _Status.of(pid).began == began}
        _signal_all(process.pid, left | _started_by(process.pid), signal.SIGKILL)
        process.wait()


def _signal_all(leader: int, started: Iterable[int], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
    for pid in started:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


class _Status(NamedTuple):
    """What the system says of a process; zeros if it is gone."""

    parent: int
    session: int
    began: int

    @classmethod
    def of(cls, pid: int) -> "_Status":
        """Read it."""
        try:
            stat = (_PROCESSES / str(pid) / "stat").read_text("utf-8", "replace")
            fields = stat.rpartition(") ")[2].split()
            return cls(int(fields[1]), int(fields[3]), int(fields[19]))
        except (OSError, ValueError, IndexError):
            return cls(0, 0, 0)


def _started_by(leader: int) -> dict[int, int]:
    """Return the processes that the leader of a session has started, each with its start time.

    They are the session, since shells put parts of it into process groups of their own, and the
    descendants of these, which may have sessions of their own.
    """
    pids: list[int] = []
    with suppress(OSError):
        pids = [int(folder.name) for folder in _PROCESSES.iterdir() if folder.name.isdigit()]
    others = {pid: _Status.of(pid) for pid in pids if pid != leader}
    found: dict[int, int] = {}
    while True:
        parents = {leader, *found}
        more = {
            pid: status.began
            for pid, status in others.items()
            if pid not in found and (status.session == leader or status.parent in parents)
        }
        if not more:
            return found
        found |= more
