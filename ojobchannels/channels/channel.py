"""Channel: the typed face of one open channel."""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, NoReturn

import pluggy

from ojobchannels.changes import Change
from ojobchannels.channels.keepalive import KEEP_ALIVE
from ojobchannels.channels.lease import (
    Duration,
    Lease,
    acquire,
    milliseconds,
    new_token,
    this_holder,
    unlock,
)
from ojobchannels.channels.subscription import Subscription
from ojobchannels.documents import Document, Item, check_key, check_name, check_value
from ojobchannels.errors import (
    ChannelClosed,
    ChannelError,
    ChannelUnavailable,
    InvalidOption,
    LockBusy,
    LockLost,
    NotSupported,
)
from ojobchannels.hookspecs import ABSENT, MISSING, Adopted, Compared, LockInfo
from ojobchannels.host.clock import Clock
from ojobchannels.host.forks import forget_in_children

_FIRST_PAGE = 128
_PAGE = 1024
_LOOKED_AT = 4
_PATIENCE = 1.0  # seconds, after which one failure is enough for `close`


class Channel:
    """A named key/value store that also holds locks; `open_channel` opens one.

    Keys are strings, 64-bit integers, finite floats, booleans or maps; values are JSON documents.
    What goes in is copied, what comes out is the caller's own. A channel may be used by many
    threads.

    Attributes:
        name: The channel's name.
        type: The channel type's name, such as ``db``.
        capabilities: What the backend promises beyond the core; see `ChannelType`.
        clock: The clock that the leases' own deadlines are counted on.
        hook: The operations as hooks, for backends and extensions; `ChannelSpec` describes them.

    Example:
        >>> import ojobchannels as oc
        >>> with oc.open_channel("docs") as channel:
        ...     channel.set({"id": 1}, {"id": 1, "state": "new"})
        ...     channel.get({"id": 1})
        {'id': 1, 'state': 'new'}
    """

    def __init__(
        self,
        name: str,
        type: str,
        capabilities: frozenset[str],
        manager: pluggy.PluginManager,
        clock: Clock,
    ) -> None:
        self.name = name
        self.type = type
        self.capabilities = capabilities
        self.clock = clock
        self.hook: Any = manager.hook
        self._to_close: Any = manager.hook
        self._leases: OrderedDict[Lease, None] = OrderedDict()
        self._subscriptions: set[Subscription] = set()
        self._lock = threading.Lock()
        self._closed = False
        forget_in_children(self)

    def get(self, key: Document, default: Document = None) -> Document:
        """Returns the value of a key, or `default`."""
        value = self.hook.get(key=check_key(key))
        return default if value is MISSING else value

    def set(self, key: Document, value: Document, fence: int | None = None) -> None:
        """Stores a value.

        Args:
            key: The key.
            value: The document.
            fence: The fence of the lease that protects this key.

        Raises:
            StaleFence: The key was written with a higher fence.
            InvalidKey: The key is none; the message names the place.
            InvalidValue: The value is not JSON; the message names the place.
        """
        checked = check_key(key)
        check_value(value)
        self.hook.set(key=checked, value=value, fence=_checked_fence(fence))

    def unset(self, key: Document, fence: int | None = None) -> bool:
        """Removes a key and returns whether it was there; its fence's mark stays."""
        removed: bool = self.hook.unset(key=check_key(key), fence=_checked_fence(fence))
        return removed

    def get_all(self, match: Document = None) -> list[Document]:
        """Returns the values, oldest change first; with a match, those that `matches` it.

        Example:
            >>> import ojobchannels as oc
            >>> with oc.open_channel("docs-all") as channel:
            ...     channel.set(1, {"state": "new", "n": 1})
            ...     channel.set(2, {"state": "done", "n": 2})
            ...     channel.get_all(match={"state": "new"})
            [{'state': 'new', 'n': 1}]
        """
        _check_match(match)
        values: list[Document] = self.hook.get_all(match=match)
        return values

    def items(
        self,
        match: Document = None,
        limit: int | None = None,
        newest_first: bool = False,
        after: int | None = None,
    ) -> Iterator[Item]:
        """Yields key and value pairs in the order of their last change, fetched page by page.

        Args:
            match: Yield only pairs whose value matches.
            limit: Yield so many at most.
            newest_first: Begin with the latest change.
            after: Begin behind this position, the `position` of an item that was yielded before.
        """
        _check_match(match)
        left, size = limit, _FIRST_PAGE  # they grow: many who ask want the first few and stop
        while left is None or left > 0:
            size = size if left is None else min(left, size)
            page: list[Item] = self.hook.items(
                match=match, limit=size, newest_first=newest_first, after=after
            )
            yield from page
            if len(page) < size:
                return
            after = page[-1].position
            left = None if left is None else left - size
            size = min(2 * size, _PAGE)

    def get_keys(self) -> list[Document]:
        """Returns the keys as they were last written, oldest change first."""
        keys: list[Document] = self.hook.get_keys()
        return keys

    def size(self) -> int:
        """Returns the number of entries."""
        size: int = self.hook.size()
        return size

    def set_all(self, items: Mapping[Any, Document] | Iterable[tuple[Document, Document]]) -> None:
        """Stores several values in one step: all of them, or none.

        Raises:
            NotSupported: The backend cannot, and there is more than one.
        """
        pairs = items.items() if isinstance(items, Mapping) else items
        checked = []
        for key, value in pairs:
            check_value(value)
            checked.append((check_key(key), value))
        self._check_batch(len(checked))
        if checked:
            self.hook.set_all(items=checked)

    def unset_all(self, keys: Iterable[Document]) -> int:
        """Removes several keys in one step and returns how many were there.

        Raises:
            NotSupported: The backend cannot, and there is more than one.
        """
        checked = [check_key(key) for key in keys]
        self._check_batch(len(checked))
        removed: int = self.hook.unset_all(keys=checked) if checked else 0
        return removed

    def get_set(
        self,
        match: Document,
        key: Document,
        value: Document,
        fence: int | None = None,
        default: Document = None,
    ) -> Document:
        """Compares and sets: stores if the present value matches, and returns the old value.

        Args:
            match: What the present value must match; ABSENT if nothing may stand there.
            key: The key.
            value: The new value.
            fence: The fence of the lease that protects this key.
            default: What to return if nothing was stored; MISSING tells that from an old null.

        Example:
            >>> import ojobchannels as oc
            >>> with oc.open_channel("docs-cas") as channel:
            ...     channel.set(1, {"state": "new"})
            ...     channel.get_set({"state": "new"}, 1, {"state": "taken"})
            ...     channel.get_set({"state": "new"}, 1, {"state": "taken"}) is None
            {'state': 'new'}
            True
        """
        compared = self._compare_and_set(match, key, value, fence)
        return compared.previous if compared.stored else default

    def add(self, key: Document, value: Document, fence: int | None = None) -> bool:
        """Stores only if nothing stands there, and returns whether it stored."""
        return self._compare_and_set(ABSENT, key, value, fence).stored

    def pop(self, default: Document = None) -> Document:
        """Takes out the entry that was changed last and returns its value."""
        value = self.hook.pop()
        return default if value is MISSING else value

    def shift(self, default: Document = None) -> Document:
        """Takes out the entry whose last change is the oldest and returns its value."""
        value = self.hook.shift()
        return default if value is MISSING else value

    def lock(
        self,
        name: str,
        *,
        ttl: Duration,
        wait: Duration | None = 0,
        keep_alive: bool = False,
        on_lost: Callable[[Lease], None] | None = None,
        holder: Mapping[str, Any] | None = None,
    ) -> Lease:
        """Takes a lock, and answers the lease, held.

        Args:
            name: The lock.
            ttl: Seconds after which the lock is free again if nobody renews or releases it.
            wait: Seconds to wait for it; 0 does not wait, None waits for ever.
            keep_alive: Renew it at thirds of the ttl until it is released.
            on_lost: Called once, on a thread of its own, when the lease is lost.
            holder: What to tell others of this holder, beside host, pid and thread.

        Raises:
            LockBusy: Somebody else holds it, and did while we waited.
        """
        checked = check_name("lock", name)
        if holder is not None:
            check_value(dict(holder))
        ttl_ms = milliseconds("ttl", ttl)
        wait_ms = None if wait is None else milliseconds("wait", wait, shortest=0)
        hook, token, lease = self.hook, new_token(), None
        try:
            lease = acquire(self, checked, ttl_ms, wait_ms, holder, on_lost, token)
            self._keep(lease, keep_alive)
        except BaseException as error:
            # Whatever it was, also an exception of a signal handler: the caller gets no lease.
            if lease is not None:
                self._drop(lease)
            if lease is not None or not isinstance(error, LockBusy | LockLost | ChannelClosed):
                unlock(hook, checked, token)
            raise
        return lease

    def try_lock(
        self,
        name: str,
        *,
        ttl: Duration,
        keep_alive: bool = False,
        on_lost: Callable[[Lease], None] | None = None,
        holder: Mapping[str, Any] | None = None,
    ) -> Lease | None:
        """Takes a lock as `lock` does, but answers None if somebody else holds it."""
        try:
            return self.lock(name, ttl=ttl, keep_alive=keep_alive, on_lost=on_lost, holder=holder)
        except LockBusy:
            return None

    def lease_from(
        self,
        document: Mapping[str, Any],
        *,
        keep_alive: bool = False,
        on_lost: Callable[[Lease], None] | None = None,
    ) -> Lease:
        """Takes over a live lease from the document that `Lease.to_document` returned elsewhere.

        Raises:
            LockLost: The lease is over.
        """
        try:
            name, token, fence = document["name"], document["token"], document["fence"]
        except (KeyError, TypeError) as error:
            raise InvalidOption(
                "lease document", f"it lacks {error}", "pass what to_document returned"
            ) from error
        if document.get("channel", self.name) != self.name:
            raise InvalidOption(
                "lease document",
                f"it is of channel {document['channel']!r}, not of {self.name!r}",
                "open that channel to take the lease over",
            )
        sent = self.clock.now()
        adopted: Adopted | bool = self.hook.adopt(name=name, token=token, holder=this_holder())
        if not isinstance(adopted, Adopted):
            raise LockLost(self.name, name, fence, "the lease expired, or the lock was released")
        deadline = sent + adopted.remaining * 1000 - adopted.ttl * 10
        lease = Lease(self, name, token, adopted.fence, adopted.ttl, deadline, None, on_lost)
        try:
            self._keep(lease, keep_alive)
        except BaseException:
            # The ttl ends it, or who still has the document takes it over again.
            self._drop(lease)
            raise
        return lease

    def lock_info(self, name: str) -> LockInfo | None:
        """Tells who holds a lock, under which fence, since and until when; None if it is free."""
        info: LockInfo | None = self.hook.lock_info(name=check_name("lock", name))
        return info

    def locks(self) -> list[LockInfo]:
        """Tells of all held locks."""
        infos: list[LockInfo] = self.hook.locks()
        return infos

    def force_unlock(self, name: str) -> LockInfo | None:
        """Frees a lock whoever holds it; returns whom it put out, or None if it was free.

        The holder that was put out is told at its next renewal, check by fence, or release.
        """
        info: LockInfo | None = self.hook.force_unlock(name=check_name("lock", name))
        return info

    def subscribe(
        self, callback: Callable[[Change], object], *, replay: bool = False
    ) -> Subscription:
        """Has a callback called with what changes from now on, per key and at least once.

        Args:
            callback: Called with each `Change`, on a thread of the subscription's own.
            replay: Call it for the present entries first, oldest change first.

        Raises:
            NotSupported: The backend tells of no changes.

        Example:
            >>> import ojobchannels as oc
            >>> with oc.open_channel("docs-events") as channel:
            ...     channel.set("a", 1)
            ...     changes = []
            ...     with channel.subscribe(changes.append, replay=True) as subscription:
            ...         subscription.close()
        """
        if not self.capabilities & {"events_every", "events_coalesced"}:
            raise NotSupported(
                self.name,
                "subscribe: its type tells of no changes",
                "read `items` behind the last position now and then, or use a type with the "
                "capability events_every or events_coalesced",
            )
        subscription = Subscription(self, callback, replay)
        with self._lock:
            self._subscriptions.add(subscription)
            closed = self._closed
        if closed:
            subscription.close()
            raise ChannelClosed(self.name)
        return subscription

    def destroy(self) -> None:
        """Removes all documents of the channel. Locks and fences stay."""
        self.hook.destroy()

    def close(self) -> None:
        """Closes the handle: releases its leases, and wakes its waiters with ChannelClosed.

        Its subscriptions end first; a callback that goes on is waited for. Where the storage does
        not answer, leases are left to their ttl rather than waited for.
        """
        with self._lock:
            self._closed = True
            leases = list(self._leases)
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.close()
        self._release_all(leases)
        KEEP_ALIVE.rest()
        self.hook = _ClosedHooks(self.name)
        # A signal may interrupt us anywhere: whoever calls again goes on with what is left.
        hook = self._to_close
        if hook is not None:
            hook.close()
            self._to_close = None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def forget(self) -> None:
        """Leaves the parent's leases to the parent, in a forked child."""
        self._leases = OrderedDict()
        self._subscriptions = set()
        self._lock = threading.Lock()

    def forget_subscription(self, subscription: Subscription) -> None:
        """Takes note that a subscription has ended."""
        with self._lock:
            self._subscriptions.discard(subscription)

    def forget_lease(self, lease: Lease) -> None:
        """Takes note that a lease needs no release at `close` any more."""
        with self._lock:
            self._leases.pop(lease, None)

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Channel cannot be pickled; open it again where it is needed")

    def __repr__(self) -> str:
        return f"<Channel {self.name!r} type {self.type!r}{' closed' if self._closed else ''}>"

    def _release_all(self, leases: list[Lease]) -> None:
        patient_until = time.monotonic() + _PATIENCE
        for lease in leases:
            KEEP_ALIVE.drop(lease)
        for lease in leases:
            try:
                lease.release()
            except LockLost:
                continue
            except ChannelError:
                if time.monotonic() > patient_until:
                    return

    def _keep(self, lease: Lease, keep_alive: bool) -> None:
        with self._lock:
            if self._closed:
                raise ChannelClosed(self.name)
            if self._leases:
                self._forget_old_leases()
            self._leases[lease] = None
        if keep_alive or lease.on_lost is not None:
            try:
                KEEP_ALIVE.watch(lease, keep_alive)
            except RuntimeError as error:
                raise ChannelUnavailable(
                    self.name,
                    f"there is no thread to watch over lock {lease.name!r}: {error}",
                    "raise the limit of threads, or take the lock without keep_alive and on_lost",
                ) from error

    def _forget_old_leases(self) -> None:
        """Forgets those that are over, a few at a time: not everybody releases what has ended."""
        for lease in list(itertools.islice(self._leases, _LOOKED_AT)):
            if lease.lost:
                del self._leases[lease]
            else:
                self._leases.move_to_end(lease)

    def _drop(self, lease: Lease) -> None:
        KEEP_ALIVE.drop(lease)
        self.forget_lease(lease)

    def _compare_and_set(
        self, match: Document, key: Document, value: Document, fence: int | None
    ) -> Compared:
        checked = check_key(key)
        check_value(value)
        if match is not ABSENT:
            check_value(match)
        compared: Compared = self.hook.get_set(
            match=match, key=checked, value=value, fence=_checked_fence(fence)
        )
        return compared

    def _check_batch(self, size: int) -> None:
        if size > 1 and "atomic_batches" not in self.capabilities:
            raise NotSupported(
                self.name,
                f"{size} entries in one step",
                "store them one by one, if others may see some of them before the rest",
            )


class _ClosedHooks:
    def __init__(self, channel: str) -> None:
        self._channel = channel

    def __getattr__(self, operation: str) -> NoReturn:
        raise ChannelClosed(self._channel)


def _checked_fence(fence: int | None) -> int | None:
    if fence is not None and (isinstance(fence, bool) or not isinstance(fence, int)):
        raise InvalidOption("fence", f"{fence!r} is no integer", "pass lease.fence")
    return fence


def _check_match(match: Document) -> None:
    if match is not None:
        check_value(match)
