"""Which requests may read channels: few of them while the channels do not respond."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ojobchannels_web.view.watcher import Watcher

_MOST_IN_OUTAGE: Final = 2


class Refused(Exception):
    """The channels do not respond, and enough requests try it already; the text says why."""


class Admission:
    """Lets only a few requests wait for channels that do not respond; each may take seconds.

    A few still try it: of the channels, only one may be unreachable, which a screen does not need.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._inside = 0
        self._lock = threading.Lock()

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Read channels within this block.

        Raises:
            Refused: The channels do not respond, and enough requests try it already.
        """
        error = self._watcher.error
        with self._lock:
            if error is not None and self._inside >= _MOST_IN_OUTAGE:
                raise Refused(error)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
