"""The number of active runs of a schedule."""

import threading


class ActiveRuns:
    """Counts the active runs of a schedule."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def begin(self, *, alone: bool) -> bool:
        """Count a run that begins; return False if it may only run alone and another is active."""
        with self._lock:
            begins = not (alone and self._count)
            self._count += begins
            return begins

    def end(self) -> None:
        """Count a run that ends."""
        with self._lock:
            self._count -= 1
