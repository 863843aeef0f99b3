"""Events for threads in which a signal handler may raise at any moment.

The handler may raise inside a `threading.Event`, `Condition` or `Future`, whose Python code then
leaves its lock held, or releases one that it does not hold. A bare lock has no such moment.
"""

import threading
from collections.abc import Callable
from contextlib import suppress


class Wakeup:
    """A one-thread event: `set` wakes the waiting thread, or makes its next `wait` return at once.

    `set` may be called in a signal handler.
    """

    __slots__ = ("_unset",)

    def __init__(self) -> None:
        self._unset = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Reset the event, so that the next `wait` blocks."""
        self._unset.acquire(blocking=False)

    def set(self) -> None:
        """Wake the waiting thread, or make its next `wait` return at once."""
        with suppress(RuntimeError):
            self._unset.release()

    def wait(self, seconds: float | None) -> None:
        """Block until the event is set, at most for `seconds`; None waits without a limit."""
        longest = threading.TIMEOUT_MAX
        self._unset.acquire(timeout=longest if seconds is None else min(seconds, longest))


class Latch:
    """An event that is set once, and that any number of threads wait for."""

    __slots__ = ("_calls", "_is_set", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._calls: list[Callable[[], None]] = []

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it, and wake the waiting threads."""
        with self._lock:
            self._is_set = True
            calls, self._calls = self._calls, []
        for call in calls:
            call()

    def then(self, call: Callable[[], None]) -> None:
        """Call `call` when it is set, or at once if it is set."""
        with self._lock:
            if not self._is_set:
                self._calls.append(call)
                return
        call()

    def wait(self, seconds: float | None = None) -> bool:
        """Block until it is set, for at most `seconds`, and return whether it is set."""
        if self._is_set:
            return True
        wakeup = Wakeup()
        try:
            self.then(wakeup.set)
            wakeup.wait(seconds)
        finally:
            self._forget(wakeup.set)
        return self._is_set

    def _forget(self, call: Callable[[], None]) -> None:
        # No loop: Python 3.13 keeps the lock if a handler raises in a comprehension.
        with self._lock:
            if call in self._calls:
                self._calls.remove(call)
