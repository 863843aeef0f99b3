"""A gate between processes: an flock on a file that we never unlink."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from types import TracebackType

from ojobchannels.host.files import SideFile
from ojobchannels.host.forks import forget_in_children

_TRIES_AT_ONCE = 20
_FIRST_PAUSE = 0.0002
_LONGEST_PAUSE = 0.005


class GateTimeout(TimeoutError):
    """Somebody kept the gate for longer than the caller can wait."""


class Gate:
    """Lets one thread of one process through at a time.

    flock(2) knows no timeout, so a contended gate is asked again, at first without a pause, then in
    pauses of 0.2 to 5 ms: a process that was stopped inside cannot hang the others for ever.

    A signal handler may raise between any two steps of the main thread. Therefore `leave` asks who
    is inside, and can be called once more by anybody who cannot tell how far it came.

    If somebody else deletes or replaces the file, all meet again at the one that its path leads to.
    """

    def __init__(self, path: Path, mode: int, timeout: float) -> None:
        self.path = path
        self._file = SideFile(path, mode)
        self._timeout = timeout
        self._thread_lock = threading.RLock()
        forget_in_children(self)

    @property
    def descriptor(self) -> int:
        """The open file behind the gate, for those who keep a few bytes in it."""
        return self._file.descriptor

    def enter(self, timeout: float | None = None) -> None:
        """Passes the gate, within `timeout` seconds.

        Raises:
            GateTimeout: It stayed closed.
            OSError: The file cannot be opened.
        """
        limit = self._timeout if timeout is None else timeout
        try:
            if not self._thread_lock.acquire(timeout=max(limit, 0)):
                raise GateTimeout
            while True:
                _flock(self._file.open(), limit)
                if self._file.is_current():
                    return
                self._file.close()
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Opens the gate for the next; does nothing for a thread that is not inside."""
        if owned(self._thread_lock):
            try:
                if self._file.descriptor >= 0:
                    fcntl.flock(self._file.descriptor, fcntl.LOCK_UN)
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
        """Closes the file; the gate opens it again when it is next used.

        Where another thread is inside or waits, that is left to the end of the gate itself.
        """
        try:
            if self._thread_lock.acquire(blocking=False):
                self._file.close()
        finally:
            self.leave()

    def forget(self) -> None:
        """Gives up the parent's open file, through which the child would not exclude the parent."""
        self._thread_lock = threading.RLock()
        self._file.close()


def owned(lock: threading.RLock) -> bool:
    """Tells whether the calling thread has the lock, as `threading.Condition` asks it."""
    mine: bool = lock._is_owned()  # type: ignore[attr-defined]
    return mine


def _flock(descriptor: int, timeout: float) -> None:
    for _ in range(_TRIES_AT_ONCE):
        if _try_flock(descriptor):
            return
        os.sched_yield()  # who is inside of a lock's file is out again sooner than a timer rings
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while not _try_flock(descriptor):
        left = deadline - time.monotonic()
        if left <= 0:
            raise GateTimeout
        time.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
