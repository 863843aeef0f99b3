"""The locks of a handle on a server: what it was granted, its waiters, and how it is closed.

A backend whose server has no queue of waiters derives from `RemoteLocks`, and says for each
operation which requests it sends, as steps: they are for a thread or for an event loop.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final

from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import Adopted, Busy, Granted, LeaseRequest, LockInfo, hookimpl
from ojobchannels.remote.calls import Calls
from ojobchannels.remote.leases import HeldLeases
from ojobchannels.remote.requests import Operation, Rule
from ojobchannels.remote.waiters import Waiter, Waiters
from ojobchannels.steps import Steps, drive, performed

SHARE: Final = Operation("share")
CLOSE: Final = Operation("close", Rule.REPEATABLE, "the ttl ends the leases that are left")


class RemoteLocks(ABC):
    """The part of a handle that serves the locks, on threads or in an event loop.

    Args:
        calls: The calls of the channel.
        waiters: The waiters of this process at the server.
        leases: What the handle was granted, for an event loop: it shares them with the threads.
    """

    def __init__(
        self, calls: Calls[Any], waiters: Waiters, leases: HeldLeases | None = None
    ) -> None:
        self.perform = calls.perform
        self._calls = calls
        self._server_waiters = waiters
        self._leases = HeldLeases(calls.channel) if leases is None else leases

    @hookimpl
    @performed
    def lock(
        self, name: str, token: str, ttl: int, holder: dict[str, Any]
    ) -> Steps[Granted | Busy]:
        """Request the lock."""
        with self._leases.requesting():
            result = yield from self._take_lock(name, token, ttl, holder)
            if isinstance(result, Granted):
                self._leases.add(name, token)
        return result

    @hookimpl
    @performed
    def unlock(self, name: str, token: str) -> Steps[bool]:
        """Release the lock, and call a waiter of this process."""
        freed = yield from self._free_lock(name, token)
        self._leases.discard(name, token)
        self._server_waiters.released(self._lock_id(name))
        return freed

    @hookimpl
    @performed
    def extend(self, name: str, token: str, ttl: int) -> Steps[bool]:
        """Extend one lease."""
        leases = [LeaseRequest(name, token, ttl)]
        (extended,) = yield from self._extend_leases(leases, self._calls.timeout)
        return bool(extended)

    @hookimpl
    @performed
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> Steps[list[bool | None]]:
        """Extend several leases."""
        seconds = min(timeout / 1000, self._calls.timeout)
        return list((yield from self._extend_leases(leases, seconds)))

    @hookimpl
    @performed
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Steps[Adopted | bool]:
        """Take over or detach a lease."""
        adopted = yield from self._adopt_lease(name, token, holder)
        if holder is None:
            self._leases.discard(name, token)
        elif adopted:
            self._leases.add(name, token)
        return adopted or False

    @hookimpl
    @performed
    def force_unlock(self, name: str) -> Steps[LockInfo | None]:
        """Evict the holder, and call a waiter of this process."""
        evicted = yield from self._evict_holder(name)
        self._server_waiters.released(self._lock_id(name))
        return evicted

    @hookimpl
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        """Wait until the lock may be free."""
        ends = float("inf") if timeout is None else time.monotonic() + timeout / 1000
        with (
            Waiter(self._server_waiters, self._lock_id(name)) as waiter,
            self._leases.waiting(waiter),
        ):
            expected: int | None = seen_fence
            while True:
                self._leases.check_open()
                held = drive(self._look_at(name))
                if held is None or expected not in (None, held[0]):
                    return True
                expected = None  # another client that came first does not wake it
                pause = min(held[1] / 1000, ends - time.monotonic())
                if pause <= 0 or waiter.sleep(pause):
                    break
        return True

    @hookimpl
    def watch(
        self, name: str, seen_fence: int, token: str, notify: Callable[[], None]
    ) -> RemoteWatch:
        """Return a waiter that blocks no thread."""
        del token  # the server has no queue
        waiter = Waiter(self._server_waiters, self._lock_id(name), notify)
        return RemoteWatch(self, waiter, name, seen_fence)

    def close_locks(self) -> None:
        """Wake the waiters, and release every lease that this handle was granted."""
        left = self._leases.close(self._calls.timeout)
        if left:
            try:
                drive(self._free_locks(left))
            except ChannelError:
                return
            for name, _ in left:
                self._server_waiters.released(self._lock_id(name))

    @abstractmethod
    def _lock_id(self, name: str) -> str:
        """Return what identifies a lock among all locks of the server, for the waiters."""

    @abstractmethod
    def _take_lock(
        self, name: str, token: str, ttl: int, holder: dict[str, Any]
    ) -> Steps[Granted | Busy]:
        """Grant the lock, or return its holder."""

    @abstractmethod
    def _free_lock(self, name: str, token: str) -> Steps[bool]:
        """Release the lock; return whether the token held it."""

    @abstractmethod
    def _free_locks(self, leases: Sequence[tuple[str, str]]) -> Steps[None]:
        """Release these names and tokens."""

    @abstractmethod
    def _extend_leases(
        self, leases: Sequence[LeaseRequest], seconds: float
    ) -> Steps[Sequence[bool | None]]:
        """Extend these leases within some seconds.

        Return which of them were still held, and None for those to try again.
        """

    @abstractmethod
    def _adopt_lease(
        self, name: str, token: str, holder: dict[str, Any] | None
    ) -> Steps[Adopted | None]:
        """Return a lease that the token holds, after setting its holder info if there is one."""

    @abstractmethod
    def _evict_holder(self, name: str) -> Steps[LockInfo | None]:
        """Release the lock of whoever holds it, and return the holder."""

    @abstractmethod
    def _look_at(self, name: str) -> Steps[tuple[int, int] | None]:
        """Return the fence and the remaining milliseconds of a held lock."""


class RemoteWatch:
    """A waiter that blocks no thread."""

    descriptor: Final = -1

    def __init__(self, locks: RemoteLocks, waiter: Waiter, name: str, seen_fence: int) -> None:
        self._locks = locks
        self._waiter = waiter
        self._name = name
        self._expected: int | None = seen_fence
        self._entered: ExitStack | None = None

    def look(self) -> Any:
        """Return the seconds until the next look; 0 if the lock may be granted."""
        return self._locks.perform(self._look())

    def close(self) -> None:
        """Leave the waiters."""
        if self._entered is not None:
            self._entered.close()

    def _look(self) -> Steps[float]:
        leases = self._locks._leases
        if self._entered is None:
            self._entered = ExitStack()
            self._entered.enter_context(self._waiter)
            self._entered.enter_context(leases.waiting(self._waiter))
        leases.check_open()
        if self._waiter.called:
            return 0
        held = yield from self._locks._look_at(self._name)
        if held is None or self._expected not in (None, held[0]):
            return 0
        self._expected = None  # another client that came first does not wake it
        return min(held[1] / 1000, self._waiter.next_pause())
