"""What may be asked of a daemon while it runs."""

from __future__ import annotations

from enum import Enum, auto
from queue import Empty, SimpleQueue

from ojobchannels.manager.launcher import SIGNAL_POLL_SECONDS


class Wish(Enum):
    """What somebody wants of a daemon."""

    STOP = auto()
    RELOAD = auto()


class Control:
    """Stops a daemon from another thread, or has it read its file again.

    Give it to `run_file`. A process by itself needs none: it takes SIGTERM and SIGHUP for that.

    Example:
        >>> from ojobchannels.ojob import Control
        >>> control = Control()
        >>> control.stop()
    """

    def __init__(self) -> None:
        self._wishes: SimpleQueue[Wish] = SimpleQueue()  # its `put` may interrupt its `get`

    def stop(self) -> None:
        """Has the daemon end in order, with status 0, when its todo is done."""
        self._wishes.put(Wish.STOP)

    def reload(self) -> None:
        """Has the daemon read its file again."""
        self._wishes.put(Wish.RELOAD)

    def next(self) -> Wish:
        """Waits for the next wish."""
        while True:
            try:
                return self._wishes.get(timeout=SIGNAL_POLL_SECONDS)
            except Empty:
                continue
