"""Waiters for the locks of a server that does not call them: they poll, at growing intervals.

Of the waiters of this process for one lock, the one that has waited longest polls for the others,
and a release in this process calls it, so that only one of them tries. A backend whose server
reports releases hands these on as `released` and `changed`, and sets `live` while it does so.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

_LOOK: Final = (0.005, 0.05)
_LOOK_SELDOM: Final = (0.25, 2.0)
_TRY: Final = 0.02
"""Seconds in which a waiter that has left takes the lock, before the next one looks at it."""


class Waiter:
    """One waiter for a lock; a context manager.

    Args:
        waiters: The waiters of this process.
        lock: What identifies the lock.
        notify: Called when the waiter is woken, for one that does not `sleep`.

    Attributes:
        called: Whether the lock was released and this waiter may try now.
    """

    def __init__(
        self, waiters: Waiters, lock: str, notify: Callable[[], None] | None = None
    ) -> None:
        self.called = False
        self._notify = notify
        self._waiters = waiters
        self._lock = lock
        self._woken = threading.Event()
        self._pause = 0.0
        self._is_next = False

    def sleep(self, longest: float) -> bool:
        """Sleep until woken, for at most `longest` seconds; return whether to try at once."""
        self._woken.wait(max(min(self.next_pause(), longest), 0))
        self._woken.clear()
        if self._is_next and not self.called:
            self._is_next, self._pause = False, 0.0
            self._woken.wait(max(min(_TRY, longest), 0))
        return self.called

    def next_pause(self) -> float:
        """Return the seconds until the waiter looks at the lock although nothing woke it."""
        polls = not self._waiters.live and self._waiters.is_first(self._lock, self)
        shortest, limit = _LOOK if polls else _LOOK_SELDOM
        self._pause = min(max(self._pause * 1.5, shortest), limit)
        return self._pause

    def wake(self, called: bool = False) -> None:
        """Wake the waiter, to try if it is `called`, otherwise to look at the lock."""
        self.called = self.called or called
        self._wake()

    def follow(self) -> None:
        """Wake the waiter soon, since the one before it has left."""
        self._is_next = True
        self._wake()

    def _wake(self) -> None:
        self._woken.set()
        if self._notify is not None:
            self._notify()

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
            was_first = waiting[0] is waiter
            waiting.remove(waiter)
            if not waiting:
                del self._waiting[lock]
            elif was_first and not self.live:
                waiting[0].follow()

    def is_first(self, lock: str, waiter: Waiter) -> bool:
        """Return whether no other waiter for the lock has waited longer."""
        with self._mutex:
            return self._waiting[lock][0] is waiter

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
