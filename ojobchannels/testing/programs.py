"""Python programs as processes of a test: each in a fork of an interpreter that is prepared.

An interpreter takes longer to start, and to import this package, than most programs run. A fork is
still a process with its own streams, folder, environment and locks, which can be killed.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import io
import math
import os
import runpy
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Final, TypeAlias

from ojobchannels.testing.forks import Forks, serve

Started: TypeAlias = "Program | subprocess.Popen[str]"
_Stream: TypeAlias = int | IO[Any] | None

JOB_FILES: Final = (
    "yaml",
    "ojobchannels.ojob.runner",
    "ojobchannels.ojob.report.console",
    "ojobchannels.manager",
    "ojobchannels.backends.db.backend",
    "ojobchannels.backends.file.backend",
    "ojobchannels.cli.commands.acting.run",
)
"""What a program that runs job files needs."""


def new_forks() -> Forks:
    """Return a process that forks programs."""
    return Forks(__name__, [])


class Program:
    """A Python program, with the interface of `subprocess.Popen` for text.

    It treats warnings as errors, and does not import from the current folder. What else the
    interpreter takes from the environment at its start is that of `forks`; see `Forks.serves`.

    Args:
        forks: The process that forks it.
        args: What follows ``python``: ``-c``, code and words, or ``-m``, a module and words.
        cwd: Its current folder; that of this process by default.
        env: Its environment; that of this process by default.
        stdin: As for `subprocess.Popen`, like `stdout` and `stderr`.
        stdout: As for `subprocess.Popen`.
        stderr: As for `subprocess.Popen`.
        terminal: Whether `stdin` becomes the controlling terminal of a session of its own.
        imports: Modules that it needs, which are imported before the fork.

    Attributes:
        pid: The process id.
        returncode: The exit status, once `poll`, `wait` or `communicate` has seen its end.
    """

    def __init__(
        self,
        forks: Forks,
        args: Sequence[object],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: _Stream = None,
        stdout: _Stream = None,
        stderr: _Stream = None,
        terminal: bool = False,
        imports: Iterable[str] = (),
    ) -> None:
        self.args = [str(arg) for arg in args]
        self.returncode: int | None = None
        self._forks = forks
        self._outputs: list[Future[str]] = []
        with ExitStack() as theirs:
            its_stdin, self.stdin = _open(stdin, 0, theirs)
            its_stdout, self.stdout = _open(stdout, 1, theirs)
            if stderr == subprocess.STDOUT:
                stderr = its_stdout
            its_stderr, self.stderr = _open(stderr, 2, theirs)
            settings = {
                "args": self.args,
                "folder": str(cwd or Path.cwd()),
                "environment": dict(os.environ if env is None else env),
                "terminal": terminal,
                "ignores_sigint": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
            }
            self.pid = forks.start(settings, imports, [its_stdin, its_stdout, its_stderr])

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if all(output.done() for output in self._outputs):  # otherwise a thread has them locked
            for stream in (self.stdin, self.stdout, self.stderr):
                if stream is not None:
                    stream.close()
        self.wait()

    def poll(self) -> int | None:
        """Return the exit status, or None if the program is running."""
        if self.returncode is None:
            self.returncode = self._forks.wait(self.pid, 0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the program, and return its exit status.

        Raises:
            subprocess.TimeoutExpired: It did not end within `timeout` seconds.
        """
        if self.returncode is None:
            self.returncode = self._forks.wait(self.pid, math.inf if timeout is None else timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, input: str = "", timeout: float | None = None) -> tuple[str, str]:
        """Send text, wait for the end of the program, and return its output and errors.

        Raises:
            subprocess.TimeoutExpired: It did not end within `timeout` seconds.
        """
        if not self._outputs:
            self._outputs = [_rest(self.stdout), _rest(self.stderr)]
        if self.stdin is not None and not self.stdin.closed:
            with suppress(BrokenPipeError):
                self.stdin.write(input)
                self.stdin.flush()
            with suppress(BrokenPipeError):
                self.stdin.close()
        until = None if timeout is None else time.monotonic() + timeout
        try:
            out, err = (output.result(_left(until)) for output in self._outputs)
        except TimeoutError:
            raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
        self.wait(_left(until))
        return out, err

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the program has ended."""
        if self.returncode is None:
            self._forks.send_signal(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _open(stream: _Stream, number: int, theirs: ExitStack) -> tuple[int, IO[str] | None]:
    """Return the descriptor of a standard stream of the program, and our end if it is a pipe."""
    if stream is None:
        return number, None
    if stream == subprocess.DEVNULL:
        file = os.open(os.devnull, os.O_RDWR)
        theirs.callback(os.close, file)
        return file, None
    if stream != subprocess.PIPE:
        return stream if isinstance(stream, int) else stream.fileno(), None
    read, write = os.pipe()
    its, ours, mode = (read, write, "w") if number == 0 else (write, read, "r")
    theirs.callback(os.close, its)
    return its, os.fdopen(ours, mode, encoding="utf-8")


def _rest(stream: IO[str] | None) -> Future[str]:
    """Read a stream on a thread of its own, so that the program never waits for its reader.

    The thread holds up nothing: a child of the program may keep the stream open for longer.
    """
    rest = Future[str]()

    def read() -> None:
        try:
            with stream or nullcontext(io.StringIO()) as opened:
                rest.set_result(opened.read())
        except BaseException as error:  # noqa: BLE001  raised where the result is used
            rest.set_exception(error)

    threading.Thread(target=read, daemon=True).start()
    return rest


def _left(until: float | None) -> float | None:
    return None if until is None else max(until - time.monotonic(), 0)


# What follows runs in the child.


def main(settings: dict[str, Any]) -> None:
    """Run the program."""
    if settings["terminal"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(settings["folder"])
    os.environ.clear()
    os.environ.update(settings["environment"])
    time.tzset()
    ignored = settings["ignores_sigint"]
    signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    _reopen_streams()
    status = 0
    try:
        _run(*settings["args"])
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        status = end.code or 0
    _end(status)


def _run(option: str, program: str, *words: str) -> None:
    sys.argv = [option, *words]
    sys.modules["__main__"] = main_module = ModuleType("__main__")
    if option == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(compile(program, "<string>", "exec"), vars(main_module))  # noqa: S102  as `python -c`


def _end(status: int) -> None:
    """End like an interpreter, but do not destroy all modules.

    That takes longer than most programs: it copies the memory that forks share. What the program
    itself has made is destroyed, so that what it did not close is reported.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing does
    atexit._run_exitfuncs()
    if threading.active_count() == 1:  # otherwise a daemon thread may need them
        vars(sys.modules["__main__"]).clear()
    gc.collect()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except OSError:
        sys.exit(status)  # the interpreter tries again, and reports it
    os._exit(status & 0xFF)


def _reopen_streams() -> None:
    """Open the standard streams like a new interpreter, with a buffer unless they are terminals."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        before = getattr(sys, name)
        lines = 1 if name == "stderr" else -1
        stream = open(  # noqa: SIM115  no path, and open to the end
            number, mode, lines, before.encoding, before.errors, closefd=False
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    serve(main)
