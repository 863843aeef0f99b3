"""Subscriptions: a thread that reads the changes of a channel and calls the callback."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ojobchannels.changes import Change, Feed, FeedUpdate, start_thread
from ojobchannels.channels.documents import DocumentStore
from ojobchannels.documents import Item, Key, check_key
from ojobchannels.errors import ChannelClosed
from ojobchannels.host.wakeup import Wakeup

_RETRY_SECONDS: Final = 1.0
_LONGEST_REST: Final = 0.5
_log = logging.getLogger("ojobchannels.subscriptions")


class Subscription:
    """Calls a callback for the changes of a channel until it is closed; see `Channel.subscribe`.

    One thread calls it, one change at a time. An exception of the callback is logged, and the next
    change follows. A slow callback delays only its own subscription.
    """

    def __init__(
        self,
        channel: DocumentStore,
        callback: Callable[[Change], object],
        replay: bool,
        on_end: "Callable[[Subscription], None]",
    ) -> None:
        self._channel = channel
        self._on_end = on_end
        self._callback = callback
        self._wakeup = Wakeup()
        self._end = Wakeup()
        self._closing = False
        self._known = _Known(channel)
        # The feed first: it reports the changes made while the current entries are read.
        self._feed: Feed = channel.hook.subscribe(notify=self._wakeup.set)
        try:
            entries = self._known.begin()
            self._thread = start_thread(
                channel.name, "ojobchannels-subscription", self._run, entries if replay else []
            )
        except BaseException:
            self._feed.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether the subscription has ended and no call is running; True in a forked child."""
        return not self._thread.is_alive()

    def close(self, *, wait: bool = True) -> None:
        """End the subscription: no new call starts. The callback may close its own subscription.

        Args:
            wait: Whether to wait for a call that is running.
        """
        self._closing = True
        self._end.set()
        self._wakeup.set()
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()
            self._on_end(self)

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Subscription of {self._channel!r}{' closed' if self.closed else ''}>"

    def _run(self, entries: list[Item]) -> None:
        try:
            self._work(entries)
        finally:
            self._feed.close()
            self._on_end(self)

    def _work(self, entries: list[Item]) -> None:
        self._deliver(Change("set", *item, item.position) for item in entries)
        failed = False
        while not self._closing:
            rest = 0.0
            try:
                rest = self._deliver_update(failed)
                failed = False
            except ChannelClosed:
                return
            except Exception as error:  # noqa: BLE001  any error may be temporary
                if not failed:
                    _log.warning(
                        "a subscription cannot read channel %r, retrying every second: %s",
                        self._channel.name,
                        error,
                    )
                failed = True
            self._end.wait(_RETRY_SECONDS if failed else rest)
            if not failed:
                self._wakeup.wait(self._feed.pause)

    def _deliver_update(self, failed: bool) -> float:
        """Deliver the changes; return for how many seconds to leave the storage alone."""
        update: FeedUpdate = self._feed.take()
        if failed or update.gap:
            entries = self._known.read()
            self._deliver([Change("resync")])
            self._deliver(self._known.compare(entries))
        self._deliver(change for change in update.changes if self._known.accept(change))
        if not update.must_read:
            return 0
        began = time.monotonic()
        self._deliver(self._known.read_changes())
        return min(time.monotonic() - began, _LONGEST_REST)

    def _deliver(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if self._closing:
                return
            try:
                self._callback(change)
            except BaseException:  # noqa: BLE001  the next change must still be delivered
                _log.exception("a callback failed on channel %r, %r", self._channel.name, change)


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
