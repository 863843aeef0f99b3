"""Worker processes, forked by one process that has imported what they need.

To start an interpreter for each worker would take most of a test with many of them. The process
that forks opens no channel and starts no thread, so a worker inherits none from it.
"""

from __future__ import annotations

import gc
import importlib
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ojobchannels.plugins import registry

if TYPE_CHECKING:
    from ojobchannels.hookspecs import ChannelType

_POLL_SECONDS: Final = 0.02
_LONGEST_WAIT: Final = 60.0
_LONGEST_OUTPUT: Final = 4000
_BUFFER: Final = 1 << 16
_STREAMS: Final = 3
_UNBUFFERED: Final = "PYTHONUNBUFFERED"
_READ_AT_START: Final = ("PYTHON", "LC_", "LANG", "COVERAGE")


class Forks:
    """Starts and ends worker processes; a context manager that kills those that are left.

    Args:
        module: A module whose `main` is called by `serve`.
        imports: Modules that the workers need.
        output: The file for the standard output and standard error of workers that are started
            without files; without it, they use the standard error of this process.

    Attributes:
        running: The ids of the processes that have not ended.
    """

    def __init__(self, module: str, imports: Iterable[str], output: Path | None = None) -> None:
        self.running: list[int] = []
        self._statuses: dict[int, int] = {}
        self._output = output
        self._asking = threading.Lock()
        self._number = 0
        environment = {key: value for key, value in os.environ.items() if key != _UNBUFFERED}
        self._at_start = _read_at_start(environment)
        self._socket, theirs = socket.socketpair()
        self._replies = self._socket.makefile("r", encoding="utf-8")
        with theirs, (output or Path(os.devnull)).open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603  this very Python
                [sys.executable, "-P", "-W", "error", "-m", module, json.dumps(list(imports))],
                env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=theirs.fileno(),
                stdout=file,
                stderr=file if output else None,
            )

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        self._replies.close()
        self._socket.close()
        self._process.wait()

    @property
    def parent(self) -> int:
        """The process id of the parent of all workers."""
        return self._process.pid

    def start(
        self, settings: dict[str, Any], imports: Iterable[str] = (), files: Sequence[int] = ()
    ) -> int:
        """Start a worker and return its process id.

        Args:
            settings: JSON values for `main`.
            imports: Modules that are imported before, once for all workers, if they can be.
            files: Descriptors for standard input, output and error of the worker.
        """
        with self._asking:
            pid = int(self._ask({"settings": settings, "imports": list(imports)}, files))
            self._statuses.pop(pid, None)  # of an earlier process with this id
            self.running.append(pid)
            return pid

    def kill(self, pid: int) -> None:
        """Kill a worker with SIGKILL and wait for its end, unless it has ended."""
        with self._asking:
            self._note(self._ask(None))
            if pid in self.running:
                os.kill(pid, signal.SIGKILL)
                self._note(self._ask(pid))

    def send_signal(self, pid: int, number: int) -> None:
        """Send a signal to a worker, unless it has ended."""
        with self._asking:
            self._note(self._ask(None))
            if pid in self.running:
                os.kill(pid, number)

    def ended(self) -> dict[int, int]:
        """Return the exit statuses of the workers that have ended, by process id."""
        with self._asking:
            self._note(self._ask(None))
            return self._statuses

    def wait(self, pid: int, seconds: float = math.inf) -> int | None:
        """Return the exit status of a worker; None if it did not end within some seconds."""
        until = time.monotonic() + seconds
        while pid not in self.ended() and (left := until - time.monotonic()) > 0:
            _wait_for_end(pid, left)
        return self._statuses.get(pid)

    def serves(self, environment: Mapping[str, str]) -> bool:
        """Return whether an interpreter with this environment would start in the same way."""
        return _read_at_start(environment) == self._at_start

    def _note(self, ended: list[list[int]]) -> None:
        self._statuses.update((pid, status) for pid, status in ended)
        self.running = [pid for pid in self.running if pid not in self._statuses]

    def _ask(self, request: object, files: Sequence[int] = ()) -> Any:
        self._number += 1
        data = f"{json.dumps([self._number, request])}\n".encode()
        try:
            sent = socket.send_fds(self._socket, [data], files)
            self._socket.sendall(data[sent:])
            while (reply := json.loads(self._replies.readline()))[0] < self._number:
                # To a request that a timeout of the test interrupted.
                self._note(reply[1] if isinstance(reply[1], list) else [])
            return reply[1]
        except (OSError, json.JSONDecodeError) as error:
            status = self._process.wait()
            output = self._output.read_text("utf-8", "replace") if self._output else "see stderr"
            raise RuntimeError(
                f"the process that starts the workers ended with status {status}: "
                f"{output[-_LONGEST_OUTPUT:]}"
            ) from error


def _wait_for_end(pid: int, seconds: float) -> None:
    """Wait until a process has ended; less long where the system does not report ends."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        time.sleep(min(seconds, _POLL_SECONDS))
        return
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.poll(1000 * min(seconds, _LONGEST_WAIT))
    finally:
        os.close(process)


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the interpreter or coverage reads; warnings are errors in any case."""
    return {
        key: value
        for key, value in environment.items()
        if key.startswith(_READ_AT_START) and (key, value) != ("PYTHONWARNINGS", "error")
    }


def modules_of(type: ChannelType) -> list[str]:
    """Return the modules of a channel type that this process has imported."""
    package = getattr(type.open, "__module__", None) or __name__
    return [name for name in sys.modules if f"{name}.".startswith(f"{package}.")]


def serve(main: Callable[[dict[str, Any]], None]) -> None:
    """Fork for each request; in a worker call `main` with its settings.

    Workers that are left when the requests end are killed.
    """
    for name in json.loads(sys.argv[1]):
        importlib.import_module(name)
    registry()
    at_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = _serve()
    if settings is not None:
        signal.signal(signal.SIGINT, at_interrupt)
        main(settings)


def _serve() -> dict[str, Any] | None:
    """Return the settings in a worker, and None at the end of the requests."""
    workers: set[int] = set()
    with socket.socket(fileno=os.dup(0)) as requests:
        while (asked := _receive(requests)) is not None:
            (number, request), files = asked
            if isinstance(request, dict):
                _import(request["imports"])
                if (worker := _fork()) == 0:
                    _take(files)
                    return dict(request["settings"])
                workers.add(worker)
                for file in files:
                    os.close(file)
                reply: Any = worker
            else:
                reply = _all_ended() if request is None else [_ended(request, 0)]
                workers.difference_update(pid for pid, _ in reply)
            with suppress(BrokenPipeError):
                requests.sendall(f"{json.dumps([number, reply])}\n".encode())
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
    return None


def _import(names: Iterable[str]) -> None:
    for name in names:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # a fork that collects garbage would copy most of the memory


def _receive(requests: socket.socket) -> tuple[Any, list[int]] | None:
    """Return the next request with its files; None if there are no more."""
    data, files = b"", []
    while not data.endswith(b"\n"):
        part, more, _, _ = socket.recv_fds(requests, _BUFFER, _STREAMS)
        if not part:
            return None
        data += part
        files += more
    return json.loads(data), files


def _fork() -> int:
    with warnings.catch_warnings():
        # Libraries whose import starts threads prepare these for a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _take(files: list[int]) -> None:
    """Make the files the standard streams."""
    for number, file in enumerate(files or [os.open(os.devnull, os.O_RDONLY), 1, 2]):
        if number != file:
            os.dup2(file, number)
            os.close(file)


def _all_ended() -> list[tuple[int, int]]:
    ended = []
    with suppress(ChildProcessError):
        while (one := _ended(-1, os.WNOHANG))[0]:
            ended.append(one)
    return ended


def _ended(pid: int, options: int) -> tuple[int, int]:
    found, status = os.waitpid(pid, options)
    return found, os.waitstatus_to_exitcode(status)
