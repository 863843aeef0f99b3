"""A store in memory, and the waiters for its locks."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.backends.simple.entries import Entries
from ojobchannels.host.forks import forget_in_children
from ojobchannels.host.wakeup import Wakeup


class Waiter(Wakeup):
    """A waiter in the queue of a lock, and when it was called (monotonic seconds, or None)."""

    __slots__ = ("called", "notify")

    def __init__(self) -> None:
        super().__init__()
        self.called: float | None = None
        self.notify: Callable[[], None] | None = None

    def set(self) -> None:
        """Wake the thread, or the loop, that waits."""
        super().set()
        if self.notify is not None:
            self.notify()


class Store:
    """The data of all channels with one name."""

    def __init__(self) -> None:
        self.entries = Entries()
        self.marks: dict[str, int] = {}
        self.locks: dict[str, LockRecord] = {}
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        """Drop, in a forked child, waiters and feeds whose threads exist only in the parent."""
        self.mutex = threading.Lock()
        self.queues: dict[str, OrderedDict[str, Waiter]] = {}
        self.entries.feeds.clear()


class Backend(Protocol):
    """The handle of a waiter."""

    def enter(self, name: str, token: str) -> Waiter:
        """Return the waiter of a token in the queue of a lock."""

    def pause(self, name: str, seen_fence: int, token: str, waiter: Waiter) -> float:
        """Return the seconds for which a waiter may sleep; 0 if it may request the lock."""

    def leave(self, waiter: Waiter) -> None:
        """Note that a waiter does not wait any more."""


class Watch:
    """A waiter for a lock, until it is closed."""

    descriptor = -1

    def __init__(
        self,
        backend: Backend,
        name: str,
        seen_fence: int,
        token: str,
        notify: Callable[[], None] | None = None,
    ) -> None:
        self._backend = backend
        self._lock = name, seen_fence, token
        self.waiter = backend.enter(name, token)
        self.waiter.notify = notify

    def look(self) -> float:
        """Return the seconds until the next look; 0 if the lock may be granted."""
        return self._backend.pause(*self._lock, self.waiter)

    def close(self) -> None:
        """End the wait."""
        self.waiter.notify = None
        self._backend.leave(self.waiter)
