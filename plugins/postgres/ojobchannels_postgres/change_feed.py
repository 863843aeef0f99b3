"""The feed of one subscription to documents: it compares the position of the channel's last change.

A notification says that something changed, not what. Without notifications, the position is read
at short intervals.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ojobchannels.changes import FeedUpdate
from ojobchannels.remote import Operation
from ojobchannels_postgres import statements
from ojobchannels_postgres.calls import Connection, digest

_WATCH: Final = Operation("subscribe")
_LOOK_WHEN_LIVE: Final = 5.0
_LOOK: Final = 0.25


class ChangeFeed:
    """A feed of one channel; while it is watched, each change of a document is notified."""

    def __init__(self, connection: Connection, notify: Callable[[], None]) -> None:
        self._connection = connection
        self._listener = connection.server.listener
        self._notify = notify
        self._name = digest(connection.id)
        self._watched_at = float("-inf")
        self._seen = self._version()
        self._listener.add_feed(self._name, notify)

    @property
    def pause(self) -> float:
        """Seconds until the channel is read if no notification arrives."""
        return _LOOK_WHEN_LIVE if self._listener.live else _LOOK

    def take(self) -> FeedUpdate:
        """Return whether something changed since the last call."""
        self._listener.start()
        before, self._seen = self._seen, self._version()
        return FeedUpdate(must_read=self._seen != before)

    def close(self) -> None:
        """Receive no more notifications."""
        self._listener.remove_feed(self._name, self._notify)

    def _version(self) -> object:
        """Return the position of the last change, after the notice that the channel is watched."""
        now = time.monotonic()
        if not self._listener.live or now < self._watched_at + _LOOK_WHEN_LIVE / 2:
            return self._connection.run(_WATCH, statements.VERSION)
        version = self._connection.run(_WATCH, statements.WATCH)
        self._watched_at = now
        return version
