"""AsyncLease: the temporary ownership of a lock, for the tasks of an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NoReturn, Self

from ojobchannels.aio.calls import Calls
from ojobchannels.channels.arguments import Duration
from ojobchannels.channels.lease import Lease, unlock


class AsyncLease:
    """The temporary ownership of a lock; ``async with`` releases it, also if it is cancelled.

    It is kept alive by a thread: a loop that is busy or blocked does not lose it.

    Attributes:
        sync: The lease, with the methods of `ojobchannels.Lease`.

    Example:
        >>> import asyncio, ojobchannels as oc
        >>> async def report() -> bool:
        ...     async with oc.open_async_channel("docs") as channel:
        ...         async with channel.lock("nightly", ttl=30) as lease:
        ...             await channel.set("report", {"rows": 3}, fence=lease.fence)
        ...             return lease.held
        >>> asyncio.run(report())
        True
    """

    def __init__(self, lease: Lease, calls: Calls, task: asyncio.Task[Any] | None) -> None:
        self.sync = lease
        self._calls = calls
        self.task = task

    @property
    def name(self) -> str:
        """The name of the lock."""
        return self.sync.name

    @property
    def token(self) -> str:
        """The proof of ownership. Keep it secret."""
        return self.sync.token

    @property
    def fence(self) -> int:
        """A number that grows with every lease of the lock; pass it to protected writes."""
        return self.sync.fence

    @property
    def slot(self) -> int:
        """The number of the slot, from 1."""
        return self.sync.slot

    @property
    def ttl(self) -> float:
        """The length of the lease in seconds, as last requested."""
        return self.sync.ttl

    @property
    def previous(self) -> Mapping[str, Any] | None:
        """The holder info of the previous holder if it never unlocked, otherwise None."""
        return self.sync.previous

    @property
    def held(self) -> bool:
        """Whether this process still holds the lock, by its own clock."""
        return self.sync.held

    @property
    def lost(self) -> bool:
        """Whether the lease has ended although it was not released."""
        return self.sync.lost

    def remaining(self) -> float:
        """Return the seconds left, counted from before the request, less 1 % of the ttl."""
        return self.sync.remaining()

    def check(self) -> None:
        """Raise LockLost unless the lease is held; call it before any step that needs the lock."""
        self.sync.check()

    async def extend(self, ttl: Duration | None = None) -> None:
        """Set the remaining time to `ttl` seconds; see `Lease.extend`."""
        await self._calls.call(lambda: self.sync.extend(ttl))

    async def release(self) -> None:
        """Unlock, even if the caller is cancelled meanwhile; see `Lease.release`."""
        await self._calls.finish(self.sync.release)

    async def to_document(self) -> dict[str, Any]:
        """Detach the lease and return a document for another process; see `Lease.to_document`."""
        lease = self.sync
        return await self._calls.obtain(
            lease.to_document, lambda _: unlock(lease.channel.hook, lease._lock_name, lease.token)
        )

    async def __aenter__(self) -> Self:
        self.check()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._calls.finish(lambda: self.sync.__exit__(*error))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a lease cannot be pickled; hand it over with to_document and lease_from")

    def __repr__(self) -> str:
        return repr(self.sync).replace("<Lease", "<AsyncLease", 1)
