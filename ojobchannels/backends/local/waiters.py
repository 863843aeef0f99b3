"""The waiters of locks, of all processes of the host: each creates a FIFO by which it is woken.

The FIFOs of one lock are in one folder. The process that unlocks wakes the longest-waiting waiter:
it writes to its FIFO and removes it. The other waiters check again every 20 ms, so a waiter that
was stopped or killed delays no other, and the death of a holder is noticed just as soon.
"""

import hashlib
import itertools
import os
import select
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ojobchannels.host.files import give_to_owner_of, make_folder

CHECK_SECONDS = 0.02
_FOLDERS_KEPT = 256
_numbers = itertools.count()


class Waiters:
    """The waiters of one channel."""

    def __init__(self, channel: str, folder: Path, mode: int) -> None:
        self._channel = channel
        self._folder = folder
        self._mode = mode
        self._folders: OrderedDict[str, str] = OrderedDict()
        self._since: dict[str, tuple[str, int]] = {}
        self._active: set[_Waiter] = set()

    def wait(self, name: str, token: str, pause: Callable[[], float]) -> None:
        """Wait until this waiter is woken, or until `pause` returns 0 or less.

        Args:
            name: The lock.
            token: Keeps its position in the queue from one wait to the next, until `withdraw`.
            pause: Called once the FIFO exists, and every 20 ms: returns the seconds that the caller
                may keep sleeping; 0 stops waiting.
        """
        _, since = self._since.setdefault(token, (name, time.monotonic_ns()))
        waiter = _Waiter(self._folder_of(name), self._mode, since, token, self._active)
        try:
            with waiter:
                while (seconds := pause()) > 0 and not waiter.wait(min(seconds, CHECK_SECONDS)):
                    pass
        except BaseException:
            waiter.leave()  # a signal handler may have raised before `with` began or ended
            raise

    def withdraw(self, token: str) -> None:
        """Give up the token's position: it has the lock, or does not want it any more."""
        self._since.pop(token, None)

    def wake_next(self, name: str) -> str:
        """Wake the longest-waiting live waiter; return the path of its FIFO, or an empty string."""
        return next((fifo for fifo in self._fifos(name) if _wake(fifo)), "")

    def wake_own(self) -> list[tuple[str, str]]:
        """Wake all waiters of this handle; return lock and token of those that want a lock."""
        for waiter in list(self._active):
            _wake(waiter.fifo)
            remove_fifo(waiter.fifo)
        return [(name, token) for token, (name, _) in list(self._since.items())]

    def close(self) -> None:
        """Remove the folders of locks that have no waiters."""
        while self._folders:
            self._remove_oldest_folder()

    def forget(self) -> None:
        """Drop, in a forked child, the waiters, which are the parent's."""
        self._since = {}
        for waiter in self._active:
            waiter.close()
        self._active = set()

    def _fifos(self, name: str) -> list[str]:
        folder = self._folder_of(name)
        if not os.access(folder, os.F_OK):
            return []  # the usual case, found in half the time of a listing that fails
        try:
            return [f"{folder}/{fifo}" for fifo in sorted(os.listdir(folder))]  # noqa: PTH208  faster
        except FileNotFoundError:
            return []

    def _folder_of(self, name: str) -> str:
        folder = self._folders.get(name)
        if folder is None:
            identity = f"{self._channel}\0{name}".encode()
            folder = f"{self._folder}/{hashlib.sha256(identity).hexdigest()[:32]}"
            self._folders[name] = folder
            if len(self._folders) > _FOLDERS_KEPT:
                self._remove_oldest_folder()
        return folder

    def _remove_oldest_folder(self) -> None:
        with suppress(KeyError, OSError):  # another thread removed it, or it has waiters
            os.rmdir(self._folders.popitem(last=False)[1])  # noqa: PTH106  faster


def number_of(token: str) -> int:
    """Return the number by which a record names the waiter with this token; not a secret."""
    return zlib.crc32(token.encode()) or 1


def waiter_of(fifo: str) -> int:
    """Return the number of the waiter that a FIFO belongs to; 0 for any other file or ""."""
    number = fifo.rpartition("/")[2].partition("-")[2].partition("-")[0]
    return int(number) if number.isdecimal() else 0


def remove_fifo(fifo: str) -> None:
    """Remove the FIFO of a waiter that was woken, or that is gone."""
    with suppress(FileNotFoundError):
        os.unlink(fifo)  # noqa: PTH108  three times as fast


class _Waiter:
    def __init__(
        self, folder: str, mode: int, since: int, token: str, active: "set[_Waiter]"
    ) -> None:
        self._folder = Path(folder)
        self._mode = mode
        self._active = active
        self._descriptor = -1
        self._was_woken = False
        number = f"{number_of(token)}-{os.getpid()}-{next(_numbers)}"
        self.fifo = f"{folder}/{since:020d}-{number}"

    def __enter__(self) -> "_Waiter":
        with suppress(OSError):  # without a FIFO it checks every 20 ms
            try:
                self._make_fifo()
            except FileNotFoundError:
                make_folder(self._folder, self._mode)
                self._make_fifo()
        self._active.add(self)
        return self

    def _make_fifo(self) -> None:
        os.mkfifo(self.fifo, self._mode)
        os.chmod(self.fifo, self._mode)  # noqa: PTH101  twice as fast
        give_to_owner_of(self._folder, Path(self.fifo))
        self._descriptor = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def wait(self, seconds: float) -> bool:
        """Block until woken, at most for `seconds`; return whether it was woken."""
        if self._descriptor < 0:
            time.sleep(seconds)
            return False
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        self._was_woken = bool(poll.poll(seconds * 1000))
        return self._was_woken

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        self._active.discard(self)
        self.close()
        if not self._was_woken:  # the process that wakes a waiter removes its FIFO, to save time
            remove_fifo(self.fifo)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _wake(fifo: str) -> bool:
    """Wake a waiter and return True; remove the FIFO if the waiter is gone."""
    try:
        descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        remove_fifo(fifo)
        return False
    try:
        os.write(descriptor, b"!")
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
