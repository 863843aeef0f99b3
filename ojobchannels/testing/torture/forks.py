"""Worker processes, forked by one process that has imported what they need.

To start an interpreter for each worker would take most of a test with many kills. The process that
forks opens no channel and starts no thread.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from ojobchannels.plugins import registry

if TYPE_CHECKING:
    from ojobchannels.hookspecs import ChannelType

_POLL_SECONDS: Final = 0.02
_LONGEST_OUTPUT: Final = 4000


class Forks:
    """Starts and ends worker processes; a context manager that kills those that are left.

    Args:
        module: A module whose `main` is called by `serve`.
        imports: Modules that the workers need.
        stderr: The file for the standard output and standard error of the workers.

    Attributes:
        running: The ids of the processes that have not ended.
    """

    def __init__(self, module: str, imports: Iterable[str], stderr: Path) -> None:
        self.running: list[int] = []
        self._statuses: dict[int, int] = {}
        self._stderr = stderr
        with stderr.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  this very Python
                [sys.executable, "-P", "-W", "error", "-m", module, json.dumps(list(imports))],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        self._requests = cast("IO[str]", self._process.stdin)
        self._replies = cast("IO[str]", self._process.stdout)

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._requests.close()
        self._process.wait()
        self._replies.close()

    @property
    def parent(self) -> int:
        """The process id of the parent of all workers."""
        return self._process.pid

    def start(self, settings: dict[str, Any]) -> int:
        """Start a worker and return its process id."""
        pid = int(self._ask(settings))
        self.running.append(pid)
        return pid

    def kill(self, pid: int) -> None:
        """Kill a worker with SIGKILL and wait for its end."""
        os.kill(pid, signal.SIGKILL)
        self.running.remove(pid)
        self._note(self._ask(pid))

    def ended(self) -> dict[int, int]:
        """Return the exit statuses of the workers that have ended, by process id."""
        self._note(self._ask(None))
        self.running = [pid for pid in self.running if pid not in self._statuses]
        return self._statuses

    def wait(self, pid: int, seconds: float) -> int | None:
        """Return the exit status of a worker; None if it did not end within some seconds."""
        until = time.monotonic() + seconds
        while pid not in self.ended() and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        return self._statuses.get(pid)

    def _note(self, ended: list[list[int]]) -> None:
        self._statuses.update((pid, status) for pid, status in ended)

    def _ask(self, request: object) -> Any:
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
            return json.loads(self._replies.readline())
        except (BrokenPipeError, json.JSONDecodeError) as error:
            status = self._process.wait()
            output = self._stderr.read_text("utf-8", "replace")[-_LONGEST_OUTPUT:]
            raise RuntimeError(
                f"the process that starts the workers ended with status {status}: {output}"
            ) from error


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
    gc.freeze()  # a fork that collects garbage would copy most of the memory
    at_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = _serve()
    if settings is not None:
        signal.signal(signal.SIGINT, at_interrupt)
        main(settings)


def _serve() -> dict[str, Any] | None:
    """Return the settings in a worker, and None at the end of the requests."""
    workers: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if isinstance(request, dict):
            if (worker := _fork()) == 0:
                _leave_pipes()
                return request
            workers.add(worker)
            _reply(worker)
        else:
            ended = _all_ended() if request is None else [_ended(request, 0)]
            workers.difference_update(pid for pid, _ in ended)
            _reply(ended)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
    return None


def _reply(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _fork() -> int:
    with warnings.catch_warnings():
        # Libraries whose import starts threads prepare these for a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _leave_pipes() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)


def _all_ended() -> list[tuple[int, int]]:
    ended = []
    with suppress(ChildProcessError):
        while (one := _ended(-1, os.WNOHANG))[0]:
            ended.append(one)
    return ended


def _ended(pid: int, options: int) -> tuple[int, int]:
    found, status = os.waitpid(pid, options)
    return found, os.waitstatus_to_exitcode(status)
