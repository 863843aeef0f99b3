"""Opening channels from an event loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ojobchannels.aio.calls import Calls
from ojobchannels.aio.channel import AsyncChannel
from ojobchannels.aio.native.channel import NativeChannel
from ojobchannels.aio.native.hookspecs import async_hooks
from ojobchannels.aio.pending import Pending
from ojobchannels.channels.channel import Channel
from ojobchannels.channels.opening import prepared
from ojobchannels.documents import check_name
from ojobchannels.plugins import registry


def open_async_channel(
    name: str,
    config: Mapping[str, Any] | str | None = None,
    *,
    extensions: Iterable[object] = (),
    **options: Any,
) -> Pending[AsyncChannel]:
    """Open a channel whose operations are awaited.

    Use it as ``async with open_async_channel(…) as channel``, or ``await`` it and close the channel
    later. The arguments and errors are those of `open_channel`.

    Example:
        >>> import asyncio, ojobchannels as oc
        >>> async def main() -> int:
        ...     async with oc.open_async_channel("docs", type="simple") as channel:
        ...         await channel.set("a", 1)
        ...         return await channel.size()
        >>> asyncio.run(main())
        1
    """
    check_name("channel", name)

    def open_on_thread() -> AsyncChannel:
        return asynchronous(prepared(config, extensions=extensions, **options)(name))

    async def open() -> AsyncChannel:
        calls = Calls(name, 1)
        try:
            return await calls.obtain(open_on_thread, lambda channel: channel.sync.close())
        finally:
            calls.close()

    return Pending(f"the channel {name!r}", open)


def asynchronous(channel: Channel) -> AsyncChannel:
    """Return the asynchronous face of an open channel, for one event loop.

    Call it on a thread: the first one in a process imports the asyncio client of the driver.
    """
    kind, hook = registry().find(channel.type), async_hooks(channel.hook)
    if hook is None:
        return AsyncChannel(channel, kind.async_threads)
    return NativeChannel(channel, kind.async_threads, kind.async_requests, hook)
