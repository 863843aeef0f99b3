"""The feed of one subscription to documents: a message says that something changed, not what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ojobchannels.changes import FeedUpdate

_LOOK_WHEN_LISTENING: Final = 5.0
_LOOK_WHEN_NOT: Final = 1.0


class Messages(Protocol):
    """The source of messages about changes: the subscriber."""

    def add_feed(self, feed: ChangeFeed) -> None:
        """Deliver messages to the feed, as soon as the server sends them."""

    def remove_feed(self, feed: ChangeFeed) -> None:
        """Deliver no more messages to the feed."""


class ChangeFeed:
    """A feed. From time to time it has the channel read anyway, in case a message was lost.

    Attributes:
        name: The Pub/Sub channel to which every script that changes a document publishes.
    """

    def __init__(self, messages: Messages, name: str, notify: Callable[[], None]) -> None:
        self.name = name
        self._messages = messages
        self._notify = notify
        self._listening = False
        self._gap = False
        messages.add_feed(self)

    @property
    def pause(self) -> float:
        """Seconds until the channel is read if no message arrives."""
        return _LOOK_WHEN_LISTENING if self._listening else _LOOK_WHEN_NOT

    def take(self) -> FeedUpdate:
        """Have the channel read; when nothing changed, that costs a few small requests."""
        if not self._listening:
            self._messages.add_feed(self)
        gap, self._gap = self._gap, False
        return FeedUpdate(must_read=True, gap=gap)

    def close(self) -> None:
        """Receive no more messages."""
        self._messages.remove_feed(self)

    def notify(self) -> None:
        """Note that a message arrived, or that messages arrive from now on."""
        self._listening = True
        self._notify()

    def disconnected(self) -> None:
        """Note that messages are lost from now on."""
        if self._listening:
            self._listening = False
            self._gap = True
            self._notify()
