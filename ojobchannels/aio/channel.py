"""AsyncChannel: documents, locks and subscriptions of one channel, for asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Self, TypeAlias
from weakref import WeakSet

from ojobchannels.aio.calls import Calls
from ojobchannels.aio.documents import AsyncDocuments
from ojobchannels.aio.lease import AsyncLease
from ojobchannels.aio.pending import Pending
from ojobchannels.aio.subscription import AsyncSubscription
from ojobchannels.aio.waiting import Waiting
from ojobchannels.channels.acquire import acquiring
from ojobchannels.channels.arguments import Duration
from ojobchannels.channels.channel import Channel
from ojobchannels.channels.keepalive.scheduler import KEEP_ALIVE
from ojobchannels.channels.lease import Lease
from ojobchannels.channels.locking import NOT_GRANTED
from ojobchannels.channels.slot_waiting import acquiring_slot
from ojobchannels.errors import LockBusy
from ojobchannels.hookspecs import LockInfo

OnLost: TypeAlias = Callable[[AsyncLease], Awaitable[object] | object]


class AsyncChannel(AsyncDocuments):
    """A channel whose operations are awaited; `open_async_channel` opens one.

    Use it in one event loop. Operations and errors are those of `Channel`.

    Attributes:
        sync: The channel itself, for code on other threads.
    """

    def __init__(self, channel: Channel, threads: int) -> None:
        super().__init__(channel, Calls(channel.name, threads))
        self._requests: Any = self._calls
        self._waiting = Waiting(self._requests, threads, queues=threads > 0)
        self._leases: WeakSet[AsyncLease] = WeakSet()
        self._subscriptions: WeakSet[AsyncSubscription] = WeakSet()
        self._callbacks: set[asyncio.Future[Any]] = set()

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.sync.name

    @property
    def type(self) -> str:
        """The name of the channel type, such as ``db``."""
        return self.sync.type

    @property
    def capabilities(self) -> frozenset[str]:
        """The optional features of the backend; see `ChannelType`."""
        return self.sync.capabilities

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self.sync.closed

    def lock(
        self,
        name: str,
        *,
        ttl: Duration,
        wait: Duration | None = 0,
        keep_alive: bool = False,
        on_lost: OnLost | None = None,
        holder: Mapping[str, Any] | None = None,
        slots: int = 1,
    ) -> Pending[AsyncLease]:
        """Acquire a lock: ``async with channel.lock(…) as lease``, or ``await`` it.

        The arguments and errors are those of `Channel.lock`. A task that waits needs no thread. If
        it is cancelled, it leaves no lease, and no place in a queue.

        Args:
            name: The name of the lock.
            ttl: Seconds after which the lease expires if it is neither renewed nor released.
            wait: Seconds to wait for the lock; 0 does not wait, None waits without a limit.
            keep_alive: Whether to renew the lease every third of the ttl until it is released.
            on_lost: Called once with the lease, in the loop, when the lease is lost; it may be a
                coroutine function.
            holder: More holder info for other processes to see.
            slots: How many holders the lock may have at once.
        """
        return Pending(
            f"the lock {name!r}",
            lambda: self._lock(name, ttl, wait, keep_alive, on_lost, holder, slots),
        )

    async def try_lock(
        self,
        name: str,
        *,
        ttl: Duration,
        keep_alive: bool = False,
        on_lost: OnLost | None = None,
        holder: Mapping[str, Any] | None = None,
        slots: int = 1,
    ) -> AsyncLease | None:
        """Acquire a lock like `lock`, but return None if another holder has it."""
        try:
            return await self._lock(name, ttl, 0, keep_alive, on_lost, holder, slots)
        except LockBusy:
            return None

    async def lease_from(
        self,
        document: Mapping[str, Any],
        *,
        keep_alive: bool = False,
        on_lost: OnLost | None = None,
    ) -> AsyncLease:
        """Take over a live lease by its document; see `Channel.lease_from`."""
        report = self._reporter(on_lost)
        lease = await self._calls.obtain(
            lambda: self.sync.lease_from(document, keep_alive=keep_alive, on_lost=report),
            Lease.to_document,  # the document is valid as before
        )
        return self._made(lease)

    async def lock_info(self, name: str, *, slot: int = 1) -> LockInfo | None:
        """Return a description of a held lock, or None if it is free."""
        return await self._calls.call(lambda: self.sync.lock_info(name, slot=slot))

    async def locks(self) -> list[LockInfo]:
        """Return a description of each held lock; of a lock with slots, one of each held slot."""
        return await self._calls.call(self.sync.locks)

    async def force_unlock(self, name: str, *, slot: int = 1) -> LockInfo | None:
        """Force-release a lock, and return the evicted holder, or None if the lock was free."""
        return await self._calls.call(lambda: self.sync.force_unlock(name, slot=slot))

    def subscribe(self, *, replay: bool = False) -> AsyncSubscription:
        """Return the later changes, for ``async for``, per key and at least once.

        It begins with the first iteration, or with ``async with``, which also ends it.

        Args:
            replay: Whether to begin with the current entries, oldest change first.

        Raises:
            NotSupported: The channel type does not report changes.
        """
        self._calls.owner.check()
        self.sync._check_subscribable()
        subscription = AsyncSubscription(self.sync, self._calls, replay)
        self._subscriptions.add(subscription)
        return subscription

    async def beside(self, name: str) -> AsyncChannel:
        """Open another channel in the same storage, with the same options."""
        return await self._calls.obtain(
            lambda: self._face_of(self.sync.beside(name)), lambda channel: channel.sync.close()
        )

    async def close(self) -> None:
        """Close the channel: release its leases, and wake its waiters with ChannelClosed."""
        self._calls.owner.check(ending=True)
        for subscription in list(self._subscriptions):
            await subscription.close()
        try:
            await self._calls.finish(self.sync.close)
        finally:
            self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return repr(self.sync).replace("<Channel", "<AsyncChannel", 1)

    @property
    def _hook(self) -> Any:
        """The operations as hooks, for `_requests`."""
        return self.sync.hook

    def _face_of(self, channel: Channel) -> AsyncChannel:
        """Return the asynchronous face of another channel of the same type."""
        return AsyncChannel(channel, self._calls.threads)

    async def _lock(
        self,
        name: str,
        ttl: Duration,
        wait: Duration | None,
        keep_alive: bool,
        on_lost: OnLost | None,
        holder: Mapping[str, Any] | None,
        slots: int,
    ) -> AsyncLease:
        self._calls.owner.check()
        channel, requests, report = self.sync, self._requests, self._reporter(on_lost)
        request = channel._request(
            name,
            ttl=ttl,
            wait=wait,
            on_lost=report,
            holder=holder,
            slots=slots,
            hook=self._hook,
        )
        request.task = _Task(self)
        driver, lease = self._waiting.driver(request), None
        try:
            steps = acquiring(request) if slots == 1 else acquiring_slot(request)
            lease = await driver.drive(steps)
            if request.cleanups:
                await requests.finish(lambda: requests.run(request.cleaning_up()))
            channel._keep(lease, keep_alive)
        except BaseException as error:
            granted, reason = lease, error
            if request.cleanups or (request.backend_name and not isinstance(error, NOT_GRANTED)):
                await driver.finish(
                    lambda: requests.run(channel._withdrawing(request, granted, reason))
                )
            raise
        finally:
            driver.leave()
        return self._made(lease)

    def _made(self, lease: Lease) -> AsyncLease:
        made = AsyncLease(lease, self._calls, asyncio.current_task())
        self._leases.add(made)
        return made

    def leases_of(self, task: asyncio.Task[Any] | None) -> list[Lease]:
        """Return the leases that a task acquired."""
        return [lease.sync for lease in list(self._leases) if lease.task is task]

    def _reporter(self, on_lost: OnLost | None) -> Callable[[Lease], None] | None:
        """Return a function that any thread may call to call `on_lost` in this loop."""
        if on_lost is None:
            return None
        loop = asyncio.get_running_loop()

        def call(lease: Lease) -> None:
            made = next((made for made in self._leases if made.sync is lease), None)
            result = on_lost(made or AsyncLease(lease, self._calls, None))
            if inspect.isawaitable(result):
                future = asyncio.ensure_future(result)
                self._callbacks.add(future)
                future.add_done_callback(self._callbacks.discard)

        def report(lease: Lease) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(call, lease)

        return report


class _Task:
    """The task that requests a lock."""

    def __init__(self, channel: AsyncChannel) -> None:
        self._channel = channel
        self._task = asyncio.current_task()

    def _is_kept_by_caller(self, name: str, fence: int) -> bool:
        """Return whether the task holds that lease and has it renewed until it releases it."""
        return any(
            (lease._lock_name, lease.fence) == (name, fence) and KEEP_ALIVE.renews(lease)
            for lease in self._channel.leases_of(self._task)
        )

    def _keeps_slots(self, name: str, slots: int) -> bool:
        """Return whether the task holds that many leases of a lock."""
        leases = self._channel.leases_of(self._task)
        return sum(lease.name == name for lease in leases) >= slots
