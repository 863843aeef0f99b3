"""Stop or reload a daemon while it runs."""

from __future__ import annotations

from enum import Enum, auto
from queue import Empty, SimpleQueue

from ojobchannels.manager.launcher import SIGNAL_POLL_SECONDS


class Request(Enum):
    """What a daemon is asked to do."""

    STOP = auto()
    RELOAD = auto()


class Control:
    """Stops a daemon from another thread, or makes it reload its file.

    Pass it to `run_file`. A process of its own needs none: it has SIGTERM and SIGHUP for that.

    Example:
        >>> from ojobchannels.ojob import Control
        >>> control = Control()
        >>> control.stop()
    """

    def __init__(self) -> None:
        self._requests: SimpleQueue[Request] = SimpleQueue()  # its `put` may interrupt its `get`

    def stop(self) -> None:
        """End the daemon in order, with status 0, after its todo."""
        self._requests.put(Request.STOP)

    def reload(self) -> None:
        """Make the daemon reload its file."""
        self._requests.put(Request.RELOAD)

    def next(self) -> Request:
        """Wait for the next request."""
        while True:
            try:
                return self._requests.get(timeout=SIGNAL_POLL_SECONDS)
            except Empty:
                continue
