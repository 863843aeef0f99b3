"""A lock between threads and processes: an flock on a file that is never unlinked."""

import fcntl
import os
import threading
import time
from typing import Self

from ojobchannels.host.files import SideFile
from ojobchannels.host.forks import forget_in_children

_TRIES_AT_ONCE = 20
_FIRST_PAUSE = 0.0002
_LONGEST_PAUSE = 0.005


class FileLockTimeout(TimeoutError):
    """Another thread or process held the file lock longer than the caller can wait."""


class FileLock:
    """Held by one thread of one process at a time.

    flock(2) has no timeout. So a contended lock is tried again, first without a pause, then in
    pauses of 0.2 to 5 ms: a process that was stopped while it held the lock cannot block the others
    without limit.

    A signal handler may raise between any two steps of the main thread. So `release` checks whether
    this thread holds the lock, and a caller that does not know may call it once more.

    If another program deletes or replaces the file, all callers move to the file now at its path.
    """

    def __init__(self, file: SideFile, timeout: float) -> None:
        self.path = file.path
        self._file = file
        self._timeout = timeout
        self._thread_lock = threading.RLock()
        forget_in_children(self)

    @property
    def descriptor(self) -> int:
        """The descriptor of the open file, for callers that store a few bytes in it."""
        return self._file.descriptor

    def acquire(self, timeout: float | None = None) -> None:
        """Acquire the lock within `timeout` seconds; None uses the timeout of the lock.

        Raises:
            FileLockTimeout: The lock was held by others for all that time.
            OSError: The file cannot be opened.
        """
        limit = self._timeout if timeout is None else timeout
        try:
            if not self._thread_lock.acquire(timeout=max(limit, 0)):
                raise FileLockTimeout
            file = self._file
            while True:
                descriptor = file.descriptor if file.descriptor >= 0 else file.open()
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    _flock(descriptor, limit)
                if file.is_current():
                    return
                file.close()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Release the lock; does nothing in a thread that does not hold it."""
        if owned(self._thread_lock):
            try:
                if self._file.descriptor >= 0:
                    fcntl.flock(self._file.descriptor, fcntl.LOCK_UN)
            finally:
                self._thread_lock.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def close(self) -> None:
        """Close the file, unless another thread holds the lock or waits for it.

        `acquire` opens it again.
        """
        try:
            if self._thread_lock.acquire(blocking=False):
                self._file.close()
        finally:
            self.release()

    def forget(self) -> None:
        """Close, in a forked child, the parent's file: through it the two would share one lock."""
        self._thread_lock = threading.RLock()
        self._file.close()


def owned(lock: threading.RLock) -> bool:
    """Return whether the calling thread holds the lock, as `threading.Condition` checks it."""
    mine: bool = lock._is_owned()  # type: ignore[attr-defined]  # not in typeshed
    return mine


def _flock(descriptor: int, timeout: float) -> None:
    for _ in range(_TRIES_AT_ONCE):
        if _try_flock(descriptor):
            return
        os.sched_yield()  # a lock record is read and written in less time than a timer needs
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while not _try_flock(descriptor):
        left = deadline - time.monotonic()
        if left <= 0:
            raise FileLockTimeout
        time.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
