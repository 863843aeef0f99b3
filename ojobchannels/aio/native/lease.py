"""The lease of a lock whose backend works in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from ojobchannels.aio.lease import AsyncLease
from ojobchannels.channels.arguments import Duration
from ojobchannels.channels.lease import Lease, noted_on
from ojobchannels.steps import Steps, drive_async

if TYPE_CHECKING:
    from ojobchannels.aio.calls import Calls
    from ojobchannels.aio.native.calls import NativeCalls

_LOOK_SECONDS: Final = 0.002


class _Mutex(Protocol):
    """A lock of threads."""

    def acquire(self, blocking: bool = ...) -> bool: ...

    def release(self) -> None: ...


class NativeLease(AsyncLease):
    """The temporary ownership of a lock, extended and released in the event loop.

    Args:
        lease: The lease.
        calls: The calls on threads.
        task: The task that acquired it.
        requests: The calls in the loop.
        hook: Returns the operations in the loop.
    """

    def __init__(
        self,
        lease: Lease,
        calls: Calls,
        task: asyncio.Task[Any] | None,
        requests: NativeCalls,
        hook: Callable[[], Any],
    ) -> None:
        super().__init__(lease, calls, task)
        self._requests = requests
        self._hook = hook
        self._turn = asyncio.Lock()

    async def extend(self, ttl: Duration | None = None) -> None:
        self.check()
        await self._requests.call(
            lambda: self._alone(
                self.sync._extending, lambda: self.sync._extend_steps(self._hook(), ttl)
            )
        )

    async def release(self) -> None:
        await self._requests.finish(
            lambda: self._alone(
                self.sync._releasing, lambda: self.sync._release_steps(self._hook())
            )
        )

    async def __aexit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        with noted_on(error):
            await self.release()

    async def _alone(self, mutex: _Mutex, steps: Callable[[], Steps[None]]) -> None:
        """Perform the steps while no other task, and no thread, does so with this lease."""
        async with self._turn:
            while not mutex.acquire(blocking=False):  # noqa: ASYNC110  a thread holds it
                await asyncio.sleep(_LOOK_SECONDS)
            try:
                await drive_async(steps())
            finally:
                mutex.release()
