"""`simple`: documents and locks in memory, one store per name and process."""

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

from ojobchannels.backends import lock_record
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.backends.simple.entries import Entry
from ojobchannels.backends.simple.store import Store, Waiter, Watch
from ojobchannels.changes import Backlog, Change
from ojobchannels.documents import (
    Document,
    Item,
    Key,
    decode,
    decode_all,
    encode,
    page_of,
    values_of,
)
from ojobchannels.errors import ChannelClosed, StaleFence
from ojobchannels.hookspecs import (
    MISSING,
    Adopted,
    Busy,
    Compared,
    Granted,
    LeaseRequest,
    LockInfo,
    fits,
    hookimpl,
)
from ojobchannels.host.clock import Clock, HostClock

_CALLED_SECONDS = 1.0
"""How long the first waiter may take to acquire a free lock before the next one may."""

_TEST_CLOCK_CHECK = 0.02


_stores: dict[tuple[str, str], Store] = {}
"""The stores by space and channel name."""

_numbers = itertools.count(1)


def open_backend(channel: str, clock: Clock, space: str = "") -> "SimpleBackend":
    """Open the store with that name in a space; it is created at the first open."""
    return SimpleBackend(channel, _stores.setdefault((space, channel), Store()), clock)


def remove_space(space: str) -> None:
    """Remove all stores of a space; handles that are open keep theirs."""
    for key in [key for key in _stores if key[0] == space]:
        del _stores[key]


class SimpleBackend:
    """One handle on a store; every change happens under the mutex of the store."""

    def __init__(self, channel: str, store: Store, clock: Clock) -> None:
        self._channel = channel
        self._store = store
        self._clock = clock
        self._number = next(_numbers)
        self._waiting: set[Waiter] = set()
        self._closed = False

    @hookimpl
    def get(self, key: Key) -> Document:
        with self._store.mutex:
            entry = self._store.entries.get(key)
        return MISSING if entry is None else decode(entry.value)

    @hookimpl
    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        texts = {key: (key.written(), encode(value))}
        with self._store.mutex:
            self._mark(key, fence)
            self._store.entries.put(texts)
        return True

    @hookimpl
    def unset(self, key: Key, fence: int | None) -> bool:
        with self._store.mutex:
            self._mark(key, fence)
            return self._store.entries.drop([key]) > 0

    @hookimpl
    def get_all(self, match: Document) -> list[Document]:
        return values_of((entry.value for entry in self._snapshot()), match)

    @hookimpl
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        with self._store.mutex:
            enough = limit if match is None else None
            entries = self._store.entries.page(newest_first, after, enough)
        return page_of(entries, match, limit)

    @hookimpl
    def get_keys(self) -> list[Document]:
        return decode_all(entry.key for entry in self._snapshot())

    @hookimpl
    def size(self) -> int:
        with self._store.mutex:
            return len(self._store.entries)

    @hookimpl
    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        texts: dict[Key, tuple[str, str]] = {}
        for key, value in items:
            texts.pop(key, None)
            texts[key] = key.written(), encode(value)
        with self._store.mutex:
            self._store.entries.put(texts)
        return True

    @hookimpl
    def unset_all(self, keys: list[Key]) -> int:
        with self._store.mutex:
            return self._store.entries.drop(keys)

    @hookimpl
    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        texts = {key: (key.written(), encode(value))}
        with self._store.mutex:
            entry = self._store.entries.get(key)
            present = MISSING if entry is None else decode(entry.value)
            if not fits(match, present):
                return Compared(False, present)
            self._mark(key, fence)
            self._store.entries.put(texts)
        return Compared(True, present)

    @hookimpl
    def pop(self) -> Document:
        with self._store.mutex:
            return self._store.entries.take(newest=True)

    @hookimpl
    def shift(self) -> Document:
        with self._store.mutex:
            return self._store.entries.take(newest=False)

    @hookimpl
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        store = self._store
        with store.mutex:
            if self._closed:
                raise ChannelClosed(self._channel)
            record = store.locks.get(name) or LockRecord()
            left = lock_record.remaining(record, self._clock)
            if left:
                if record.token == token:
                    return Granted(record.fence, None)
                return lock_record.busy(record, left)
            if not self._is_next(name, token):
                return Busy(record.fence, {"queue": len(store.queues[name])}, 0)
            store.locks[name], grant = lock_record.granted(
                record, token, ttl * 1000, lock_record.copied(holder), self._clock, self._number
            )
            self._leave_queue(name, token)
            self._wake_next(name)
            return grant

    @hookimpl
    def unlock(self, name: str, token: str) -> bool:
        with self._store.mutex:
            record = self._store.locks.get(name)
            held = record is not None and self._holds(record, token)
            if held and record:
                self._store.locks[name] = lock_record.freed(record)
            self._leave_queue(name, token)
            self._wake_next(name)
            return held

    @hookimpl
    def extend(self, name: str, token: str, ttl: int) -> bool:
        with self._store.mutex:
            record = self._store.locks.get(name)
            if record is None or not self._holds(record, token):
                return False
            self._store.locks[name] = lock_record.renewed(record, ttl * 1000, self._clock)
            self._wake_next(name)
            return True

    @hookimpl
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool]:
        return [self.extend(*lease) for lease in leases]

    @hookimpl
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        with self._store.mutex:
            record = self._store.locks.get(name)
            if record is None or not self._holds(record, token):
                return False
            alive = lock_record.NO_PROCESS if holder is None else self._number
            self._store.locks[name] = record._replace(alive=alive, holder=holder or record.holder)
            return lock_record.adopted(record, self._clock)

    @hookimpl
    def lock_info(self, name: str) -> LockInfo | None:
        with self._store.mutex:
            return self._info(name)

    @hookimpl
    def locks(self) -> list[LockInfo]:
        with self._store.mutex:
            return [info for name in self._store.locks if (info := self._info(name))]

    @hookimpl
    def force_unlock(self, name: str) -> LockInfo | None:
        with self._store.mutex:
            evicted = self._info(name)
            if evicted:
                self._store.locks[name] = lock_record.force_released(self._store.locks[name])
                self._wake_next(name)
            return evicted

    @hookimpl
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        ends = None if timeout is None else self._clock.now() + timeout * 1000
        with closing(Watch(self, name, seen_fence, token)) as watch:
            while (pause := watch.look()) > 0:
                if ends is not None:
                    pause = min(pause, (ends - self._clock.now()) / 1e6)
                    if pause <= 0:
                        self.stop_waiting(name, token)
                        break
                watch.waiter.wait(pause)
        return True

    @hookimpl
    def watch(self, name: str, seen_fence: int, token: str, notify: Callable[[], None]) -> Watch:
        return Watch(self, name, seen_fence, token, notify)

    @hookimpl
    def share(self, name: str, token: str) -> list[int] | bool:
        with self._store.mutex:
            record = self._store.locks.get(name)
            return [] if record is not None and self._holds(record, token) else False

    @hookimpl
    def subscribe(self, notify: Callable[[], None]) -> Backlog:
        feed = Backlog(notify, self._forget_feed, _decoded)
        with self._store.mutex:
            self._store.entries.feeds.append(feed)
        return feed

    @hookimpl
    def close(self) -> bool:
        store = self._store
        with store.mutex:
            self._closed = True
            for name, record in store.locks.items():
                if record.alive == self._number:
                    store.locks[name] = lock_record.freed(record)
                    self._wake_next(name)
            for waiter in list(self._waiting):
                waiter.set()
        return True

    @hookimpl
    def destroy(self) -> bool:
        with self._store.mutex:
            self._store.entries.drop(list(self._store.entries))
        return True

    def _snapshot(self) -> list[Entry]:
        with self._store.mutex:
            return self._store.entries.in_order()

    def _forget_feed(self, feed: Backlog) -> None:
        with self._store.mutex, suppress(ValueError):
            self._store.entries.feeds.remove(feed)

    def _mark(self, key: Key, fence: int | None) -> None:
        if fence is None:
            return
        mark = self._store.marks.get(key, 0)
        if fence < mark:
            raise StaleFence(self._channel, key.document, fence, mark)
        self._store.marks[str(key)] = fence

    def _holds(self, record: LockRecord, token: str) -> bool:
        return record.token == token and lock_record.remaining(record, self._clock) > 0

    def _info(self, name: str) -> LockInfo | None:
        record = self._store.locks.get(name)
        left = lock_record.remaining(record, self._clock) if record else 0
        return lock_record.info(name, record, left, self._clock) if record and left else None

    def _is_next(self, name: str, token: str) -> bool:
        """Return whether the token is first in the queue; drop woken ones that do not come."""
        queue = self._store.queues.get(name)
        while queue:
            first, waiter = next(iter(queue.items()))
            if first == token:
                return True
            if waiter.called is None or time.monotonic() < waiter.called + _CALLED_SECONDS:
                return False
            self._leave_queue(name, first)
        return True

    def enter(self, name: str, token: str) -> Waiter:
        """Return the waiter of a token in the queue of a lock."""
        with self._store.mutex:
            queue = self._store.queues.setdefault(name, OrderedDict())
            waiter = queue.setdefault(token, Waiter())
            waiter.called = None
            self._waiting.add(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Note that a waiter does not wait any more."""
        self._waiting.discard(waiter)

    def pause(self, name: str, seen_fence: int, token: str, waiter: Waiter) -> float:
        """Return the seconds for which a waiter may sleep; 0 if it may request the lock."""
        if self._closed:
            self.stop_waiting(name, token)
            raise ChannelClosed(self._channel)
        with self._store.mutex:
            waiter.clear()
            record = self._store.locks.get(name) or LockRecord()
            lease_left = lock_record.remaining(record, self._clock)
            changed_hands = lease_left and record.fence != seen_fence
            if changed_hands or (not lease_left and self._is_next(name, token)):
                waiter.called = time.monotonic()
                return 0
        pause = lease_left / 1e6 if lease_left else _CALLED_SECONDS
        if isinstance(self._clock, HostClock):
            return pause
        return min(pause, _TEST_CLOCK_CHECK)  # nothing signals that it has moved

    def stop_waiting(self, name: str, token: str) -> None:
        """Remove a token from the queue of a lock."""
        with self._store.mutex:
            self._leave_queue(name, token)
            self._wake_next(name)

    def _leave_queue(self, name: str, token: str) -> None:
        queue = self._store.queues.get(name)
        if queue is not None:
            queue.pop(token, None)
            if not queue:
                del self._store.queues[name]

    def _wake_next(self, name: str) -> None:
        for waiter in self._store.queues.get(name, {}).values():
            waiter.set()
            return


def _decoded(change: Change) -> Change:
    """Return a change with decoded key and value; the store keeps texts, which are immutable."""
    return change._replace(key=decode(change.key), value=decode(change.value))
