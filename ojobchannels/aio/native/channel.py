"""NativeChannel: a channel whose backend works in the event loop."""

from __future__ import annotations

import asyncio
from typing import Any

from ojobchannels.aio.channel import AsyncChannel
from ojobchannels.aio.native.calls import NativeCalls
from ojobchannels.aio.native.documents import NativeDocuments
from ojobchannels.aio.native.hookspecs import async_hooks
from ojobchannels.aio.native.lease import NativeLease
from ojobchannels.aio.waiting import Waiting
from ojobchannels.channels.channel import Channel, ClosedHooks
from ojobchannels.channels.held_locks import describing, describing_all, evicting
from ojobchannels.channels.lease import Lease
from ojobchannels.hookspecs import LockInfo


class NativeChannel(NativeDocuments):
    """A channel whose documents and locks are requested in the event loop.

    It is opened and closed on a thread; subscriptions read on threads, too, and leases are renewed
    and handed over there.

    Args:
        channel: The channel itself.
        threads: The number of threads for the rest.
        at_once: How many requests may be under way at once.
        hook: The operations in the loop.
    """

    def __init__(self, channel: Channel, threads: int, at_once: int, hook: Any) -> None:
        super().__init__(channel, threads)
        self._in_loop = hook
        self._at_once = at_once
        self._requests: NativeCalls = NativeCalls(at_once, self._calls.owner)
        self._waiting = Waiting(self._requests, at_once, queues=True)

    async def lock_info(self, name: str, *, slot: int = 1) -> LockInfo | None:
        return await self._requests.call(
            lambda: self._requests.run(describing(self._hook, name, slot))
        )

    async def locks(self) -> list[LockInfo]:
        return await self._requests.call(lambda: self._requests.run(describing_all(self._hook)))

    async def force_unlock(self, name: str, *, slot: int = 1) -> LockInfo | None:
        return await self._requests.call(
            lambda: self._requests.run(evicting(self._hook, name, slot))
        )

    async def close(self) -> None:
        self._calls.owner.check(ending=True)
        try:
            await super().close()
        finally:
            await self._requests.close(self._in_loop.close)

    @property
    def _hook(self) -> Any:
        is_closed = isinstance(self.sync.hook, ClosedHooks)
        return self.sync.hook if is_closed else self._in_loop

    def _face_of(self, channel: Channel) -> AsyncChannel:
        hook = async_hooks(channel.hook)
        if hook is None:  # an extension that may block was added since
            return AsyncChannel(channel, self._calls.threads)
        return NativeChannel(channel, self._calls.threads, self._at_once, hook)

    def _made(self, lease: Lease) -> NativeLease:
        made = NativeLease(
            lease, self._calls, asyncio.current_task(), self._requests, lambda: self._hook
        )
        self._leases.add(made)
        return made
