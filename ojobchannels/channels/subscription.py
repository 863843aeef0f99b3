"""Subscriptions: a thread that takes what is new from a backend's feed and calls the callback."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final

from ojobchannels.changes import Change, Feed, News, started
from ojobchannels.documents import Item, Key, check_key
from ojobchannels.errors import ChannelClosed
from ojobchannels.host.wakeup import Wakeup

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel

_TRY_AGAIN: Final = 1.0
_LONGEST_REST: Final = 0.5
_log = logging.getLogger("ojobchannels.subscriptions")


class Subscription:
    """Calls a callback for what changes in a channel, until it is closed; made by `subscribe`.

    One thread calls it, one change at a time. A callback that raises is logged, and the next change
    comes all the same. A slow one holds up nobody but itself.
    """

    def __init__(
        self, channel: Channel, callback: Callable[[Change], object], replay: bool
    ) -> None:
        self._channel = channel
        self._callback = callback
        self._wakeup = Wakeup()
        self._end = Wakeup()
        self._over = False
        self._known = _Known(channel)
        # The feed first: what changes while the present entries are read, it tells.
        self._feed: Feed = channel.hook.subscribe(ring=self._wakeup.set)
        try:
            entries = self._known.begin()
            self._thread = started(
                channel.name, "ojobchannels-subscription", self._run, entries if replay else []
            )
        except BaseException:
            self._feed.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether it has ended, and the callback with it; it has in a forked child."""
        return not self._thread.is_alive()

    def close(self, *, wait: bool = True) -> None:
        """Ends it: no call begins afterwards. The callback itself may close its subscription.

        Args:
            wait: Whether to wait for a call that goes on.
        """
        self._over = True
        self._end.set()
        self._wakeup.set()
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()
            self._channel.forget_subscription(self)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Subscription of {self._channel!r}{' closed' if self.closed else ''}>"

    def _run(self, entries: list[Item]) -> None:
        try:
            self._work(entries)
        finally:
            self._feed.close()
            self._channel.forget_subscription(self)

    def _work(self, entries: list[Item]) -> None:
        self._deliver(Change("set", *item, item.position) for item in entries)
        trouble = False
        while not self._over:
            rest = 0.0
            try:
                rest = self._go_on(trouble)
                trouble = False
            except ChannelClosed:
                return
            except Exception as error:  # noqa: BLE001  whatever it was, it may pass
                if not trouble:
                    _log.warning("a subscription cannot read its channel for now: %s", error)
                trouble = True
            self._end.wait(_TRY_AGAIN if trouble else rest)
            if not trouble:
                self._wakeup.wait(self._feed.pause)

    def _go_on(self, trouble: bool) -> float:
        """Tells what is new; returns for how long to leave the storage alone afterwards."""
        news: News = self._feed.take()
        if trouble or news.gap:
            entries = self._known.read()
            self._deliver([Change("resync")])
            self._deliver(self._known.compare(entries))
        self._deliver(change for change in news.changes if self._known.accept(change))
        if not news.look:
            return 0
        began = time.monotonic()
        self._deliver(self._known.look())
        return min(time.monotonic() - began, _LONGEST_REST)

    def _deliver(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if self._over:
                return
            try:
                self._callback(change)
            except Exception:  # noqa: BLE001  the next change comes all the same
                _log.exception("a callback failed on channel %r, %r", self._channel.name, change)


class _Known:
    """What was told: which keys there are, and at which position."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._positions: dict[Key, int] = {}
        self._latest: int | None = None

    def begin(self) -> list[Item]:
        """Takes the present entries for told, and returns them."""
        entries = self.read()
        for key, item in entries.items():
            self._note(key, item.position)
        return list(entries.values())

    def read(self) -> dict[Key, Item]:
        """Returns the present entries; of one that changed meanwhile, what was read last."""
        entries: dict[Key, Item] = {}
        for item in self._channel.items():
            key = check_key(item[0])
            entries.pop(key, None)
            entries[key] = item
        return entries

    def accept(self, change: Change) -> bool:
        """Takes note of a change; answers whether it is newer than what is known of its key."""
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

    def look(self) -> Iterator[Change]:
        """Reads what is new: behind the last position, and all if that cannot be all of it."""
        for item in self._channel.items(after=self._latest):
            yield self._set(check_key(item[0]), item)
        newest = next(self._channel.items(limit=1, newest_first=True), None)
        missed = newest is not None and newest.position < (self._latest or 0)
        if missed or self._channel.size() != len(self._positions):
            yield from self.compare(self.read())

    def compare(self, entries: dict[Key, Item]) -> Iterator[Change]:
        """Tells what differs from what is known."""
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
        self._positions.pop(key, None)  # so that the key is kept as it was written last
        self._positions[key] = position
        self._latest = max(self._latest or position, position)
