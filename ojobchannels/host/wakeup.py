"""A bell that one thread sleeps by and any other may ring, also from under a signal handler."""

from __future__ import annotations

import threading
from contextlib import suppress


class Bell:
    """Rung once or often, it wakes its sleeper once, or keeps it from falling asleep."""

    __slots__ = ("_silent",)

    def __init__(self) -> None:
        # A bare lock: an Event in which a signal handler raises can stay locked for ever.
        self._silent = threading.Lock()
        self.hush()

    def hush(self) -> None:
        """Forgets that it was rung."""
        self._silent.acquire(blocking=False)

    def ring(self) -> None:
        """Wakes the sleeper, or lets it not fall asleep."""
        with suppress(RuntimeError):
            self._silent.release()

    def doze(self, seconds: float | None) -> None:
        """Sleeps until it rings, or for so long; None is for ever."""
        longest = threading.TIMEOUT_MAX
        self._silent.acquire(timeout=longest if seconds is None else min(seconds, longest))
