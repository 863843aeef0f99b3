"""A gate between processes: an flock on a file that is never unlinked."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ojobchannels.host.forks import forget_in_children
from ojobchannels.host.storage import give_to_owner_of

_FIRST_PAUSE = 0.0002
_LONGEST_PAUSE = 0.005


class GateTimeout(TimeoutError):
    """Somebody kept the gate for longer than the caller can wait."""


class Gate:
    """Lets one thread of one process through at a time.

    flock(2) knows no timeout, so a contended gate is asked again in pauses of 0.2 to 5 ms: a
    process that was stopped inside cannot hang the others for ever.
    """

    def __init__(self, path: Path, mode: int, timeout: float) -> None:
        self.path = path
        self._mode = mode
        self._timeout = timeout
        self._thread_lock = threading.Lock()
        self._descriptor = -1
        forget_in_children(self)

    @property
    def descriptor(self) -> int:
        """The open file behind the gate, for those who keep a few bytes in it."""
        return self._descriptor

    def enter(self, timeout: float | None = None) -> None:
        """Passes the gate, within `timeout` seconds.

        Raises:
            GateTimeout: It stayed closed.
            OSError: The file cannot be opened.
        """
        limit = self._timeout if timeout is None else timeout
        if not self._thread_lock.acquire(timeout=max(limit, 0)):
            raise GateTimeout
        try:
            if self._descriptor < 0:
                self._descriptor = open_side_file(self.path, self._mode)
            _flock(self._descriptor, limit)
        except BaseException:
            self._thread_lock.release()
            raise

    def leave(self) -> None:
        """Opens the gate for the next."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._thread_lock.release()

    def __enter__(self) -> Gate:
        self.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.leave()

    def close(self) -> None:
        """Closes the file; the gate opens it again when it is next used."""
        with self._thread_lock:
            self._drop()

    def __del__(self) -> None:
        self._drop()

    def forget(self) -> None:
        """Gives up the parent's open file, through which the child would not exclude the parent."""
        self._thread_lock = threading.Lock()
        self._drop()

    def _drop(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def open_side_file(path: Path, mode: int) -> int:
    """Opens a file for reading and writing, and makes it with exactly `mode` if there is none."""
    while True:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            os.fchmod(descriptor, mode)
            give_to_owner_of(path.parent, descriptor)
            return descriptor


def _flock(descriptor: int, timeout: float) -> None:
    pause = _FIRST_PAUSE
    deadline: float | None = None
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            now = time.monotonic()
            if deadline is None:
                deadline = now + timeout
            elif now >= deadline:
                raise GateTimeout from None
            time.sleep(min(pause, max(deadline - now, 0)))
            pause = min(pause * 2, _LONGEST_PAUSE)
        else:
            return
