"""Documents of the state channel that are read again and again, such as claims of fire times.

On a server, each read of a document is a request. A page or an alert reads those of all schedules
every second or two, and most of them have not changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document, encode
from ojobchannels.hookspecs import LockInfo
from ojobchannels.host.forks import forget_in_children

_KEPT_SECONDS: Final = 30.0
_READ_AGAIN_SECONDS: Final = 5.0
_NOTHING: Final = 0


class FollowedState:
    """Reads documents of a state channel, each again only when it has changed.

    A reading of changes begins where the one before the last ended, because storages may show
    changes that happen at the same time in another order. That a document was removed shows when
    everything is read again, twice a minute.

    Args:
        channel: Returns the state channel.
    """

    def __init__(self, channel: Callable[[], Channel]) -> None:
        self._channel = channel
        self._start_over(_NOTHING)
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        """Leave a reading that is active to the parent, in a forked child."""
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Read what has changed."""
        with self._lock:
            newest = _newest(self._channel())
            is_old = time.monotonic() - self._began > _KEPT_SECONDS
            if is_old or newest < self._reached:  # the newest document was removed, or all of them
                self._start_over(newest)
            elif newest > self._reached or time.monotonic() < self._read_again_until:
                self._read_changes()

    def get(self, key: Document, default: Document = None) -> Document:
        """Return the value of a key, as of the last `refresh` or later."""
        name = encode(key)
        with self._lock:
            if name not in self._known:
                self._known[name] = self._channel().get(key, self)
            found = self._known[name]
        return default if found is self else found

    def locks(self) -> list[LockInfo]:
        """Return the locks that are held now."""
        return self._channel().locks()

    def _start_over(self, newest: int) -> None:
        self._known: dict[str, Any] = {}
        self._sure = self._reached = newest
        self._began = time.monotonic()
        self._read_again_until = self._began + _READ_AGAIN_SECONDS

    def _read_changes(self) -> None:
        reached = self._reached
        for item in self._channel().items(after=self._sure or None):
            reached = max(reached, item.position)
            if (name := encode(item[0])) in self._known:
                self._known[name] = item[1]
        if reached > self._reached:
            self._sure, self._reached = self._reached, reached
            self._read_again_until = time.monotonic() + _READ_AGAIN_SECONDS


def _newest(channel: Channel) -> int:
    newest = next(iter(channel.items(limit=1, newest_first=True)), None)
    return newest.position if newest else _NOTHING
