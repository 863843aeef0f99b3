"""Waiting rooms: a waiter on a lock leaves a bell that whoever unlocks can ring.

A bell is a FIFO in a folder that exists only while somebody waits on that lock. The one who unlocks
rings the longest waiting; the others look again every 20 ms on their own, so a waiter that was
stopped or killed holds nobody up, and a holder's death is noticed just as soon.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ojobchannels.host.storage import give_to_owner_of, make_folder

LOOK_AGAIN = 0.02
_numbers = itertools.count()


class WaitingRoom:
    """The bells of one channel's waiters, all processes of the host together."""

    def __init__(self, folder: Path, mode: int) -> None:
        self._folder = folder
        self._mode = mode
        self._seated: set[_Seat] = set()

    def wait(self, name: str, patience: Callable[[], float]) -> None:
        """Waits until `patience` is over.

        Args:
            name: The lock.
            patience: Asked after the bell is in place, at every ring and every 20 ms: how many
                seconds there is nothing to hope for but a ring; none to go.
        """
        if patience() <= 0:
            return
        seat = _Seat(self._folder / _digest(name), self._mode, self._seated)
        try:
            with seat:
                while (seconds := patience()) > 0:
                    seat.doze(min(seconds, LOOK_AGAIN))
        except BaseException:
            seat.leave()  # a signal handler may have raised at the door of `with`
            raise

    def ring(self, name: str) -> None:
        """Wakes the longest waiting of the lock's waiters, if there is one."""
        folder = self._folder / _digest(name)
        try:
            bells = sorted(folder.iterdir())
        except FileNotFoundError:
            return
        for bell in bells:
            if _ring(bell):
                return

    def ring_own(self) -> None:
        """Wakes every waiter of this handle."""
        for seat in list(self._seated):
            _ring(seat.bell)


class _Seat:
    def __init__(self, folder: Path, mode: int, seated: set[_Seat]) -> None:
        self._folder = folder
        self._mode = mode
        self._seated = seated
        self._descriptor = -1
        self.bell = folder / f"{time.monotonic_ns():020d}-{os.getpid()}-{next(_numbers)}"

    def __enter__(self) -> _Seat:
        while self._descriptor < 0:
            try:
                make_folder(self._folder, self._mode)
                os.mkfifo(self.bell, self._mode)
                self.bell.chmod(self._mode)
                give_to_owner_of(self._folder, self.bell)
                self._descriptor = os.open(self.bell, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError:
                break
        self._seated.add(self)
        return self

    def doze(self, seconds: float) -> None:
        if self._descriptor < 0:
            time.sleep(seconds)
            return
        bell = select.poll()
        bell.register(self._descriptor, select.POLLIN)
        if bell.poll(seconds * 1000):
            os.read(self._descriptor, 4096)

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        self._seated.discard(self)
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        self.bell.unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()


def _ring(bell: Path) -> bool:
    try:
        descriptor = os.open(bell, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        bell.unlink(missing_ok=True)
        return False
    try:
        os.write(descriptor, b"!")
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]
