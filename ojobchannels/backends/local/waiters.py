"""Waiting rooms: a waiter on a lock leaves a bell that whoever unlocks can ring.

A bell is a FIFO in a folder of its lock. The one who unlocks calls the longest waiting: rings its
bell and takes it away. The others look again every 20 ms on their own, so a waiter that was stopped
or killed holds nobody up, and a holder's death is noticed just as soon.
"""

from __future__ import annotations

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

LOOK_AGAIN = 0.02
_FOLDERS_KEPT = 256
_numbers = itertools.count()


class WaitingRoom:
    """The bells of one channel's waiters, all processes of the host together."""

    def __init__(self, channel: str, folder: Path, mode: int) -> None:
        self._channel = channel
        self._folder = folder
        self._mode = mode
        self._folders: OrderedDict[str, str] = OrderedDict()
        self._places: dict[str, tuple[str, int]] = {}
        self._seated: set[_Seat] = set()

    def wait(self, name: str, token: str, patience: Callable[[], float]) -> None:
        """Waits until it is called, or `patience` is over.

        Args:
            name: The lock.
            token: Keeps its place among the waiters from one wait to the next, until `leave`.
            patience: Asked after the bell is in place, and every 20 ms: how many seconds there is
                nothing to hope for but a ring; none to go.
        """
        _, since = self._places.setdefault(token, (name, time.monotonic_ns()))
        seat = _Seat(self._folder_of(name), self._mode, since, token, self._seated)
        try:
            with seat:
                while (seconds := patience()) > 0 and not seat.doze(min(seconds, LOOK_AGAIN)):
                    pass
        except BaseException:
            seat.leave()  # a signal handler may have raised at the door of `with`
            raise

    def leave(self, token: str) -> None:
        """Gives up the token's place: it has the lock, or does not want it any more."""
        self._places.pop(token, None)

    def call(self, name: str) -> str:
        """Rings for the longest waiting that lives; returns its bell, or an empty text."""
        return next((bell for bell in self._bells(name) if _ring(bell)), "")

    def dismiss_own(self) -> list[tuple[str, str]]:
        """Wakes every waiter of this handle; returns lock and token of those who want one."""
        for seat in list(self._seated):
            _ring(seat.bell)
            take_away(seat.bell)
        return [(name, token) for token, (name, _) in list(self._places.items())]

    def close(self) -> None:
        """Takes away the folders of locks that nobody waits for."""
        while self._folders:
            self._forget_folder()

    def forget(self) -> None:
        """Drops, in a forked child, the waiters, who are the parent's."""
        self._places = {}
        for seat in self._seated:
            seat.let_go()
        self._seated = set()

    def _bells(self, name: str) -> list[str]:
        folder = self._folder_of(name)
        if not os.access(folder, os.F_OK):
            return []  # nobody waits, as a rule; seen in half the time of a listing that fails
        try:
            return [f"{folder}/{bell}" for bell in sorted(os.listdir(folder))]  # noqa: PTH208
        except FileNotFoundError:
            return []

    def _folder_of(self, name: str) -> str:
        folder = self._folders.get(name)
        if folder is None:
            identity = f"{self._channel}\0{name}".encode()
            folder = f"{self._folder}/{hashlib.sha256(identity).hexdigest()[:32]}"
            self._folders[name] = folder
            if len(self._folders) > _FOLDERS_KEPT:
                self._forget_folder()
        return folder

    def _forget_folder(self) -> None:
        with suppress(KeyError, OSError):  # another thread has; somebody waits, or nobody ever did
            os.rmdir(self._folders.popitem(last=False)[1])  # noqa: PTH106


def number_of(token: str) -> int:
    """Returns by which number the waiter of a token is called: it is no secret."""
    return zlib.crc32(token.encode()) or 1


def waiter_at(bell: str) -> int:
    """Returns the number of the waiter whose bell it is; 0 for none, and for a stranger's file."""
    number = bell.rpartition("/")[2].partition("-")[2].partition("-")[0]
    return int(number) if number.isdecimal() else 0


def take_away(bell: str) -> None:
    """Takes a bell away that was rung, or that nobody listens to."""
    with suppress(FileNotFoundError):
        os.unlink(bell)  # noqa: PTH108  thrice as fast


class _Seat:
    def __init__(self, folder: str, mode: int, since: int, token: str, seated: set[_Seat]) -> None:
        self._folder = Path(folder)
        self._mode = mode
        self._seated = seated
        self._descriptor = -1
        self._was_called = False
        number = f"{number_of(token)}-{os.getpid()}-{next(_numbers)}"
        self.bell = f"{folder}/{since:020d}-{number}"

    def __enter__(self) -> _Seat:
        with suppress(OSError):  # without a bell it looks every 20 ms
            try:
                self._hang_up()
            except FileNotFoundError:
                make_folder(self._folder, self._mode)
                self._hang_up()
        self._seated.add(self)
        return self

    def _hang_up(self) -> None:
        os.mkfifo(self.bell, self._mode)
        os.chmod(self.bell, self._mode)  # noqa: PTH101  twice as fast
        give_to_owner_of(self._folder, Path(self.bell))
        self._descriptor = os.open(self.bell, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def doze(self, seconds: float) -> bool:
        """Sleeps until it is rung for, or for so long; tells whether it was."""
        if self._descriptor < 0:
            time.sleep(seconds)
            return False
        bell = select.poll()
        bell.register(self._descriptor, select.POLLIN)
        self._was_called = bool(bell.poll(seconds * 1000))
        return self._was_called

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        self._seated.discard(self)
        self.let_go()
        if not self._was_called:  # else the caller takes the bell away, and we hurry
            take_away(self.bell)

    def let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _ring(bell: str) -> bool:
    """Tells whether somebody hears it; else takes it away."""
    try:
        descriptor = os.open(bell, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        take_away(bell)
        return False
    try:
        os.write(descriptor, b"!")
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
