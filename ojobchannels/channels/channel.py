"""Channel: documents, locks and subscriptions of one open channel."""

import time
from collections.abc import Callable
from typing import NoReturn

from ojobchannels import errors
from ojobchannels.changes import Change
from ojobchannels.channels.keepalive.scheduler import KEEP_ALIVE
from ojobchannels.channels.lease import Lease
from ojobchannels.channels.locking import Locking
from ojobchannels.channels.subscription import Subscription
from ojobchannels.documents import check_name
from ojobchannels.host.clock import Clock
from ojobchannels.host.forks import reset_in_children
from ojobchannels.host.synchronous import check_synchronous
from ojobchannels.operations import Operations

_RELEASE_SECONDS = 1.0
"""For how long `close` tries to release leases; after that the first failure ends it."""


class Channel(Locking):
    """A named key/value store that also holds locks; `open_channel` opens one.

    Keys are strings, 64-bit integers, finite floats, booleans or maps; values are JSON documents.
    Documents are copied on the way in and out. A channel may be used by many threads at once.

    Attributes:
        name: The channel's name.
        type: The name of the channel type, such as ``db``.
        capabilities: The optional features of the backend; see `ChannelType`.
        clock: The clock by which holders measure the deadlines of their leases.
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
        operations: Operations,
        clock: Clock,
        open_beside: "Callable[[str], Channel]",
    ) -> None:
        super().__init__(name, type, capabilities, operations, clock)
        self._open_beside = open_beside
        self._to_close: Operations | None = operations
        reset_in_children(self, Channel._forget)

    def subscribe(
        self, callback: Callable[[Change], object], *, replay: bool = False
    ) -> Subscription:
        """Call `callback` for every later change, per key and at least once.

        Args:
            callback: Called with each `Change`, on a thread of the subscription.
            replay: Whether to call it for the current entries first, oldest change first.

        Raises:
            NotSupported: The channel type does not report changes.
            ChannelUnavailable: No thread can be started for the subscription.

        Example:
            >>> import ojobchannels as oc
            >>> with oc.open_channel("docs-events") as channel:
            ...     channel.set("a", 1)
            ...     changes = []
            ...     with channel.subscribe(changes.append, replay=True) as subscription:
            ...         subscription.close()
        """
        self._check_subscribable()
        check_synchronous("callback", callback)
        subscription = Subscription(self, callback, replay, self._forget_subscription)
        with self._lock:
            self._subscriptions.add(subscription)
            closed = self._closed
        if closed:
            subscription.close()
            raise errors.ChannelClosed(self.name)
        return subscription

    def _check_subscribable(self) -> None:
        """Raise NotSupported unless the channel type reports changes."""
        if not self.capabilities & {"events_every", "events_coalesced"}:
            raise errors.NotSupported(
                self.name,
                "subscribe: its type does not report changes",
                "poll `items` after the last position, or use a type with the capability "
                "events_every or events_coalesced",
            )

    def beside(self, name: str) -> "Channel":
        """Open another channel in the same storage, with the same options."""
        return self._open_beside(check_name("channel", name))

    def destroy(self) -> None:
        """Remove all documents of the channel; locks and fences are kept."""
        self.hook.destroy()

    def close(self) -> None:
        """Close the channel: release its leases, and wake its waiters with ChannelClosed.

        Its subscriptions end first, after a callback that is running. If the storage cannot be
        reached, the leases are left to expire.
        """
        with self._lock:
            self._closed = True
            leases = list(self._leases)
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.close()
        self._release_all(leases)
        KEEP_ALIVE.end_if_idle()
        self.hook = ClosedHooks(self.name)
        # A signal may interrupt this anywhere: a second call continues with what is left.
        hook = self._to_close
        if hook is not None:
            hook.close()
            self._to_close = None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def _forget(self) -> None:
        """Leave the parent's leases to the parent, in a forked child."""
        super()._forget()
        self._subscriptions: set[Subscription] = set()

    def _forget_subscription(self, subscription: Subscription) -> None:
        """Remove a subscription that has ended."""
        with self._lock:
            self._subscriptions.discard(subscription)

    def __enter__(self) -> "Channel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Channel cannot be pickled; open it again where it is needed")

    def __repr__(self) -> str:
        return f"<Channel {self.name!r} type {self.type!r}{' closed' if self._closed else ''}>"

    def _release_all(self, leases: list[Lease]) -> None:
        give_up_at = time.monotonic() + _RELEASE_SECONDS
        for lease in leases:
            KEEP_ALIVE.drop(lease)
        for lease in leases:
            if lease.lost:
                continue
            try:
                lease.release()
            except errors.LockLost:
                continue
            except errors.ChannelError:
                if time.monotonic() > give_up_at:
                    return


class ClosedHooks:
    """The operations of a closed channel."""

    def __init__(self, channel: str) -> None:
        self._channel = channel

    def __getattr__(self, operation: str) -> NoReturn:
        raise errors.ChannelClosed(self._channel)
