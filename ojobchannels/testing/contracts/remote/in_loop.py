"""A storage whose handles work in an event loop, for the contracts that are written for threads.

The operations of a handle are those that its backend has for an event loop; the thread of the test
has them performed there. So they keep the same promises.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import CoroutineType
from typing import Any

import pluggy

from ojobchannels.aio.channel import AsyncChannel
from ojobchannels.aio.native.channel import NativeChannel
from ojobchannels.aio.native.hookspecs import AWAITED, async_manager
from ojobchannels.channels.channel import Channel
from ojobchannels.testing.contracts.documents.comparing import CompareAndSetContract
from ojobchannels.testing.contracts.documents.fence_marks import FenceContract
from ojobchannels.testing.contracts.documents.ordering import OrderContract
from ojobchannels.testing.contracts.documents.values import DocumentContract
from ojobchannels.testing.contracts.locks.exclusion import LockContract
from ojobchannels.testing.contracts.locks.retries import RetryContract
from ojobchannels.testing.contracts.locks.tokens import TokenContract
from ojobchannels.testing.contracts.locks.waking import WakeupContract
from ojobchannels.testing.kit.subject import Subject


class OperationContracts(
    DocumentContract,
    OrderContract,
    CompareAndSetContract,
    FenceContract,
    LockContract,
    TokenContract,
    RetryContract,
    WakeupContract,
):
    """What the kit demands of the operations that a backend has for an event loop."""


async def use_without_a_thread(channel: NativeChannel) -> None:
    """Store, read and lock; only a wait for a lock may start a thread."""
    opened = set(threading.enumerate())
    await channel.set("key", 1)
    assert await channel.get("key") == 1
    assert [item async for item in channel.items()] == [("key", 1)]
    async with channel.lock("nightly", ttl=60) as lease:
        await lease.extend()
        assert await channel.try_lock("nightly", ttl=60) is None
        assert [info.name for info in await channel.locks()] == ["nightly"]
    assert set(threading.enumerate()) <= opened


async def use_in_forked_child(
    channel: AsyncChannel, again: Callable[[], AbstractAsyncContextManager[AsyncChannel]]
) -> None:
    """Fork while a lease is held; the child opens the channel again, and the parent continues."""

    async def in_child() -> None:
        async with again() as other:
            await other.set("child", await other.get("parent"))
            assert await other.try_lock("nightly", ttl=60) is None

    async with channel.lock("nightly", ttl=600):
        await channel.set("parent", 1)
        child = os.fork()
        if not child:
            status = 1
            try:
                asyncio.run(in_child())
                status = 0
            finally:
                os._exit(status)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert status == 0
        assert await channel.get("child") == 1


async def match_by_index(channel: NativeChannel) -> None:
    """Match a field of which the index was created on a thread, by whoever keeps records."""
    await channel.set_all({1: {"name": "one"}, 2: {"name": "two"}})
    assert channel.sync.hook.index(fields=("name",))
    found = [key async for key, _ in channel.items(match={"name": "two"})]
    assert found == [2]


class LoopSubject(Subject):
    """A storage whose handles request documents and locks in an event loop."""

    def open(
        self, name: str | None = None, *, extensions: Iterable[object] = (), **options: Any
    ) -> Channel:
        """Open one more handle; the kit closes it at the end of the test."""
        channel = super().open(name, extensions=extensions, **options)
        loop = Loop(async_manager(channel.hook.asynchronous()).hook)
        for operation in AWAITED:
            hook = getattr(channel.hook, operation)
            _of_backend(hook).argnames = hook.spec.argnames
            _replace(channel, operation, partial(loop.perform, operation, hook.spec.argnames))
        close = _of_backend(channel.hook.close).function
        _replace(channel, "close", partial(loop.close, close))
        return channel


class Loop:
    """An event loop on a thread, in which the operations of a handle are performed."""

    def __init__(self, hook: Any) -> None:
        self._hook = hook
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="ojobchannels-kit-loop", daemon=True
        )
        self._thread.start()

    def perform(self, operation: str, names: Iterable[str], *arguments: Any) -> Any:
        """Perform an operation, and return its result."""

        async def call() -> Any:
            named = dict(zip(names, arguments, strict=True))
            return await getattr(self._hook, operation)(**named)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def close(self, close: Callable[[], object]) -> object:
        """Close the handle, then its connections in the loop, and end the loop."""

        async def end() -> None:
            closing = self._hook.close()
            if isinstance(closing, CoroutineType):
                await closing
            await asyncio.sleep(0)  # in which the connections are closed

        result = close()
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        return result


def _replace(channel: Channel, operation: str, function: Callable[..., object]) -> None:
    """Let the backend's implementation of an operation be another function."""
    hook = getattr(channel.hook, operation)
    _of_backend(hook).function = function
    # Without extensions, the hook is a call of the former function, made for speed.
    setattr(channel.hook, operation, getattr(hook, "_caller", hook))


def _of_backend(hook: Any) -> Any:
    implementations: list[pluggy.HookImpl] = hook.get_hookimpls()
    return next(each for each in implementations if not each.wrapper)
