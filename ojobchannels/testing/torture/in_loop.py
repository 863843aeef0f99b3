"""The asynchronous face of a channel, for a worker that is written for threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

import ojobchannels as oc
from ojobchannels.aio.channel import AsyncChannel
from ojobchannels.aio.lease import AsyncLease
from ojobchannels.aio.opening import asynchronous

_T = TypeVar("_T")


class LoopChannel:
    """A channel whose locks and documents are requested by tasks of an event loop.

    Attributes:
        hook: The operations of the channel itself.
    """

    def __init__(self, channel: oc.Channel) -> None:
        self.hook = channel.hook
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._channel = self.wait_for(_opened(channel))

    def wait_for(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Return the result of a coroutine that runs in the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def lock(self, name: str, **options: Any) -> LoopLease:
        """Acquire a lock like `Channel.lock`."""

        async def lock() -> AsyncLease:
            return await self._channel.lock(name, **options)

        return LoopLease(self, self.wait_for(lock()))

    def get(self, key: Any) -> Any:
        """Return the value of a key."""
        return self.wait_for(self._channel.get(key))

    def set(self, key: Any, value: Any, fence: int) -> None:
        """Store a value."""
        self.wait_for(self._channel.set(key, value, fence))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait_for(self._channel.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class LoopLease:
    """A lease that a task releases; the rest is that of the lease itself."""

    def __init__(self, channel: LoopChannel, lease: AsyncLease) -> None:
        self._channel = channel
        self._lease = lease

    def release(self) -> None:
        """Release the lease in the loop."""
        self._channel.wait_for(self._lease.release())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lease.sync, name)


async def _opened(channel: oc.Channel) -> AsyncChannel:
    return asynchronous(channel)
