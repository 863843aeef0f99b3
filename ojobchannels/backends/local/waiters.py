"""The waiters of locks, of all processes of the host: each creates a FIFO by which it is woken.

The FIFOs of one lock are in one folder. The process that unlocks wakes the longest-waiting waiter:
it writes to its FIFO and removes it. The other waiters check again every 20 ms, so a waiter that
was stopped or killed delays no other, and the death of a holder is noticed just as soon.
"""

import hashlib
import itertools
import os
import select
import stat
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from ojobchannels.host.files import SideFolder, UnsafeFile, give

CHECK_SECONDS = 0.02
_FOLDERS_KEPT = 256
_DESCRIPTORS = 128
_numbers = itertools.count()


class Waiters:
    """The waiters of one channel."""

    def __init__(self, channel: str, folder: SideFolder) -> None:
        self._channel = channel
        self._folder = folder
        self._folder.keep_open()
        self._folders: OrderedDict[str, SideFolder] = OrderedDict()
        self._since: dict[str, tuple[str, int]] = {}
        self._active: set[Waiter] = set()

    def wait(self, name: str, token: str, pause: Callable[[], float]) -> None:
        """Wait until this waiter is woken, or until `pause` returns 0 or less.

        Args:
            name: The lock.
            token: Keeps its position in the queue from one wait to the next, until `withdraw`.
            pause: Called once the FIFO exists, and every 20 ms: returns the seconds that the caller
                may keep sleeping; 0 stops waiting.
        """
        waiter = self.waiter(name, token)
        try:
            with waiter:
                while (seconds := pause()) > 0 and not waiter.wait(min(seconds, CHECK_SECONDS)):
                    pass
        except BaseException:
            waiter.leave()  # a signal handler may have raised before `with` began or ended
            raise

    def waiter(self, name: str, token: str) -> "Waiter":
        """Return a waiter at the position of the token; ``with`` creates and removes its FIFO."""
        _, since = self._since.setdefault(token, (name, time.monotonic_ns()))
        return Waiter(self._folder_of(name), since, token, self._active)

    def has_room(self) -> bool:
        """Return whether one more waiter without a thread may keep a descriptor open."""
        return len(self._active) < _DESCRIPTORS

    def withdraw(self, token: str) -> None:
        """Give up the token's position: it has the lock, or does not want it any more."""
        self._since.pop(token, None)

    def wake_next(self, name: str) -> str:
        """Wake the longest-waiting live waiter; return the name of its FIFO, or an empty string."""
        folder = self._folder_of(name)
        if not folder.exists():
            return ""  # the usual case, found in half the time of an open that fails
        with suppress(OSError):
            fifos = folder.names()
            if fifos:
                with folder.opened() as within:
                    return next((fifo for fifo in fifos if _wake(within, fifo)), "")
        return ""

    def remove(self, name: str, fifo: str) -> None:
        """Remove the FIFO of a waiter that was woken, or that is gone; "" does nothing."""
        if fifo:
            _remove(self._folder_of(name), fifo)

    def wake_own(self) -> list[tuple[str, str]]:
        """Wake all waiters of this handle; return lock and token of those that want a lock."""
        for waiter in list(self._active):
            waiter.wake()
        return [(name, token) for token, (name, _) in list(self._since.items())]

    def close(self) -> None:
        """Remove the folders of locks that have no waiters."""
        while self._folders:
            self._remove_oldest_folder()
        self.give_back()

    def give_back(self) -> None:
        """Close the folder that is open only for speed."""
        self._folder.give_back()

    def forget(self) -> None:
        """Drop, in a forked child, the waiters, which are the parent's."""
        self._since = {}
        for waiter in self._active:
            waiter.close()
        self._active = set()

    def _folder_of(self, name: str) -> SideFolder:
        folder = self._folders.get(name)
        if folder is None:
            identity = f"{self._channel}\0{name}".encode()
            folder = self._folder.folder(hashlib.sha256(identity).hexdigest()[:32])
            self._folders[name] = folder
            if len(self._folders) > _FOLDERS_KEPT:
                self._remove_oldest_folder()
        return folder

    def _remove_oldest_folder(self) -> None:
        with suppress(KeyError, OSError):  # another thread removed it, or it has waiters
            self._folders.popitem(last=False)[1].remove()


def number_of(token: str) -> int:
    """Return the number by which a record names the waiter with this token; not a secret."""
    return zlib.crc32(token.encode()) or 1


def waiter_of(fifo: str) -> int:
    """Return the number of the waiter that a FIFO belongs to; 0 for any other file or ""."""
    number = fifo.partition("-")[2].partition("-")[0]
    return int(number) if number.isdecimal() else 0


class Waiter:
    """One waiter, with its FIFO."""

    def __init__(self, folder: SideFolder, since: int, token: str, active: "set[Waiter]") -> None:
        self._folder = folder
        self._active = active
        self.descriptor = -1
        self._was_woken = False
        self._fifo = f"{since:020d}-{number_of(token)}-{os.getpid()}-{next(_numbers)}"

    def __enter__(self) -> "Waiter":
        with suppress(OSError):  # without a FIFO it checks every 20 ms
            try:
                self._make_fifo()
            except FileNotFoundError:
                self._folder.make()
                self._make_fifo()
        self._active.add(self)
        return self

    def _make_fifo(self) -> None:
        with self._folder.opened() as within:
            os.mkfifo(self._fifo, 0o600, dir_fd=within)
            self.descriptor = _open_fifo(within, self._fifo, os.O_RDWR)
            if os.fstat(self.descriptor).st_uid != os.geteuid():
                self.close()  # it was replaced
                raise UnsafeFile(self._folder.path / self._fifo, "it is another user's FIFO")
            os.fchmod(self.descriptor, self._folder.mode)
            give(self.descriptor, os.fstat(within))

    def wait(self, seconds: float) -> bool:
        """Block until woken, at most for `seconds`; return whether it was woken."""
        if self.descriptor < 0:
            time.sleep(seconds)
            return False
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        self._was_woken = bool(poll.poll(seconds * 1000))
        return self._was_woken

    def is_woken(self) -> bool:
        """Return whether it was woken."""
        return self.descriptor >= 0 and self.wait(0)

    def wake(self) -> None:
        """Wake this waiter, and remove its FIFO."""
        with suppress(OSError), self._folder.opened() as within:
            _wake(within, self._fifo)
        _remove(self._folder, self._fifo)

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Close the FIFO, and remove it."""
        self._active.discard(self)
        self.close()
        if not self._was_woken:  # the process that wakes a waiter removes its FIFO, to save time
            _remove(self._folder, self._fifo)

    def close(self) -> None:
        """Close the FIFO."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class LocalWatch:
    """A waiter for a lock that blocks no thread.

    Args:
        waiters: The waiters of the channel.
        name: The lock.
        token: As in `Waiters.wait`.
        pause: As in `Waiters.wait`; returns the seconds for which the lock is held.
    """

    def __init__(self, waiters: Waiters, name: str, token: str, pause: Callable[[], float]) -> None:
        self._waiters = waiters
        self._lock = name, token
        self._pause = pause
        self._waiter: Waiter | None = None

    @property
    def descriptor(self) -> int:
        """The FIFO; -1 before the first look, and where too many are open."""
        return -1 if self._waiter is None else self._waiter.descriptor

    def look(self) -> float:
        """Return the seconds until the next look; 0 if the lock may be granted."""
        if self._waiter is None and self._waiters.has_room():
            self._waiter = self._waiters.waiter(*self._lock)
            self._waiter.__enter__()
        seconds = self._pause()
        if seconds > 0 and self._waiter is not None and self._waiter.is_woken():
            return 0
        return min(seconds, CHECK_SECONDS)

    def close(self) -> None:
        """Remove the FIFO."""
        if self._waiter is not None:
            self._waiter.leave()


def _open_fifo(within: int, fifo: str, flags: int) -> int:
    """Open a FIFO without waiting; raise UnsafeFile if it is anything else."""
    flags |= os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(fifo, flags, dir_fd=within)
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise UnsafeFile(fifo, "it is not a FIFO")


def _wake(within: int, fifo: str) -> bool:
    """Wake a waiter and return True; remove the FIFO if the waiter is gone."""
    try:
        descriptor = _open_fifo(within, fifo, os.O_WRONLY)
    except FileNotFoundError:
        return False
    except OSError:
        with suppress(OSError):
            os.unlink(fifo, dir_fd=within)
        return False
    try:
        os.write(descriptor, b"!")
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _remove(folder: SideFolder, fifo: str) -> None:
    with suppress(OSError), folder.opened() as within:
        os.unlink(fifo, dir_fd=within)
