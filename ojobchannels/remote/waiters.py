"""Waiters for the locks of a server that does not call them: they poll, at growing intervals.

A release in this process calls the waiter that has waited longest, so that only one of them tries.
A backend whose server reports releases hands these on as `released` and `changed`, and sets `live`
while it does so.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

_LOOK_WHEN_LIVE: Final = (0.25, 2.0)
_LOOK: Final = (0.005, 0.05)


class Waiter:
    """One waiter for a lock; a context manager.

    Attributes:
        called: Whether the lock was released and this waiter may try now.
    """

    def __init__(self, waiters: Waiters, lock: str) -> None:
        self.called = False
        self._waiters = waiters
        self._lock = lock
        self._woken = threading.Event()
        self._pause = 0.0

    def sleep(self, longest: float) -> bool:
        """Sleep until woken, for at most `longest` seconds; return whether to try at once."""
        shortest, limit = _LOOK_WHEN_LIVE if self._waiters.live else _LOOK
        self._pause = min(max(self._pause * 1.5, shortest), limit)
        self._woken.wait(max(min(self._pause, longest), 0))
        self._woken.clear()
        return self.called

    def wake(self, called: bool = False) -> None:
        """Wake the waiter, to try if it is `called`, otherwise to look at the lock."""
        self.called = self.called or called
        self._woken.set()

    def __enter__(self) -> Waiter:
        self._waiters.add(self._lock, self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._waiters.remove(self._lock, self)
        if kind is not None and self.called:
            self._waiters.released(self._lock)


class Waiters:
    """The waiters of this process at one server.

    Attributes:
        live: Whether the server reports every release.
    """

    def __init__(self) -> None:
        self.forget()

    def add(self, lock: str, waiter: Waiter) -> None:
        """Add a waiter."""
        with self._mutex:
            self._waiting.setdefault(lock, deque()).append(waiter)

    def remove(self, lock: str, waiter: Waiter) -> None:
        """Remove a waiter."""
        with self._mutex:
            waiting = self._waiting[lock]
            waiting.remove(waiter)
            if not waiting:
                del self._waiting[lock]

    def released(self, lock: str) -> None:
        """Call the waiter that has waited longest, after a release of the lock."""
        if lock not in self._waiting:
            return
        with self._mutex:
            for waiter in self._waiting.get(lock, ()):
                if not waiter.called:
                    waiter.wake(called=True)
                    return

    def changed(self, lock: str) -> None:
        """Have all waiters for the lock look at it, after its expiry changed."""
        if lock not in self._waiting:
            return
        with self._mutex:
            for waiter in self._waiting.get(lock, ()):
                waiter.wake()

    def wake_all(self) -> None:
        """Have all waiters look at their locks."""
        with self._mutex:
            for waiting in self._waiting.values():
                for waiter in waiting:
                    waiter.wake()

    def forget(self) -> None:
        """Leave the waiters to the parent, in a forked child."""
        self.live = False
        self._mutex = threading.Lock()
        self._waiting: dict[str, deque[Waiter]] = {}
