"""An event that one thread waits for, and that any thread may set, also in a signal handler."""

import threading
from contextlib import suppress


class Wakeup:
    """A one-thread event: `set` wakes the waiting thread, or makes its next `wait` return at once.

    It is a bare lock, because a `threading.Event` in which a signal handler raises can stay locked.
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
