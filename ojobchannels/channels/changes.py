"""The reader of the changes of a channel: what a subscription delivers, without its thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

from ojobchannels.changes import Change, Feed, FeedUpdate
from ojobchannels.channels.documents import DocumentStore
from ojobchannels.documents import Item, Key, check_key
from ojobchannels.errors import ChannelClosed

_RETRY_SECONDS: Final = 1.0
_LONGEST_REST: Final = 0.5
_log = logging.getLogger("ojobchannels.subscriptions")


class ChangeReader:
    """Reads the changes of a channel since it was begun; used by one thread at a time.

    Attributes:
        failed: Whether the last read failed; the next one compares all entries.
        rest: For how many seconds to leave the storage alone after the last read.
    """

    def __init__(self, channel: DocumentStore, notify: Callable[[], None]) -> None:
        self.failed = False
        self.rest = 0.0
        self._channel = channel
        self._known = _Known(channel)
        self._feed: Feed = channel.hook.subscribe(notify=notify)

    @classmethod
    def begun(
        cls, channel: DocumentStore, notify: Callable[[], None], replay: bool
    ) -> tuple[ChangeReader, list[Change]]:
        """Return a reader, and the changes to begin with: the current entries, to `replay` them.

        Args:
            channel: The channel.
            notify: Called on any thread when there may be changes.
            replay: Whether to begin with the current entries.
        """
        # The feed first: it reports the changes made while the current entries are read.
        reader = cls(channel, notify)
        try:
            entries = reader._known.begin()
        except BaseException:
            reader.close()
            raise
        return reader, [Change("set", *item, item.position) for item in entries if replay]

    @property
    def pause(self) -> float | None:
        """Seconds after which to read although nothing called `notify`; None for never."""
        return self._feed.pause

    def read(self) -> list[Change]:
        """Return the changes since the last call; none if the channel cannot be read for now.

        Raises:
            ChannelClosed: The channel was closed.
        """
        try:
            changes, self.rest = self._changes()
            self.failed = False
        except ChannelClosed:
            raise
        except Exception as error:  # noqa: BLE001  any error may be temporary
            if not self.failed:
                _log.warning(
                    "a subscription cannot read channel %r, retrying every second: %s",
                    self._channel.name,
                    error,
                )
            self.failed, self.rest = True, _RETRY_SECONDS
            return []
        return changes

    def close(self) -> None:
        """End the feed."""
        self._feed.close()

    def _changes(self) -> tuple[list[Change], float]:
        update: FeedUpdate = self._feed.take()
        changes: list[Change] = []
        if self.failed or update.gap:
            entries = self._known.read()
            changes.append(Change("resync"))
            changes += self._known.compare(entries)
        changes += [change for change in update.changes if self._known.accept(change)]
        if not update.must_read:
            return changes, 0
        began = time.monotonic()
        changes += self._known.read_changes()
        return changes, min(time.monotonic() - began, _LONGEST_REST)


class _Known:
    """The entries as delivered: their keys and positions."""

    def __init__(self, channel: DocumentStore) -> None:
        self._channel = channel
        self._positions: dict[Key, int] = {}
        self._latest: int | None = None

    def begin(self) -> list[Item]:
        """Mark the current entries as delivered, and return them."""
        entries = self.read()
        for key, item in entries.items():
            self._note(key, item.position)
        return list(entries.values())

    def read(self) -> dict[Key, Item]:
        """Return the current entries; of an entry that changed meanwhile, the last state read."""
        entries: dict[Key, Item] = {}
        for item in self._channel.items():
            key = check_key(item[0])
            entries.pop(key, None)
            entries[key] = item
        return entries

    def accept(self, change: Change) -> bool:
        """Record a change; return whether it is newer than the last one known of its key."""
        key, position = check_key(change.key), change.position or 0
        known = self._positions.get(key)
        if change.op == "unset":
            if known is None or position < known:
                return False
            del self._positions[key]
            return True
        if known is not None and position <= known:
            return False
        self._note(key, position)
        return True

    def read_changes(self) -> Iterator[Change]:
        """Yield the changes after the last position; compare all entries if some were removed."""
        for item in self._channel.items(after=self._latest):
            yield self._set(check_key(item[0]), item)
        newest = next(self._channel.items(limit=1, newest_first=True), None)
        missed = newest is not None and newest.position < (self._latest or 0)
        if missed or self._channel.size() != len(self._positions):
            yield from self.compare(self.read())

    def compare(self, entries: dict[Key, Item]) -> Iterator[Change]:
        """Yield the differences from the entries as delivered."""
        for key in [key for key in self._positions if key not in entries]:
            del self._positions[key]
            yield Change("unset", key.document)
        for key, item in entries.items():
            if self._positions.get(key) != item.position:
                yield self._set(key, item)
        self._latest = max(self._positions.values(), default=None)

    def _set(self, key: Key, item: Item) -> Change:
        self._note(key, item.position)
        return Change("set", *item, item.position)

    def _note(self, key: Key, position: int) -> None:
        self._positions.pop(key, None)  # keeps the key as it was last written
        self._positions[key] = position
        self._latest = max(self._latest or position, position)
