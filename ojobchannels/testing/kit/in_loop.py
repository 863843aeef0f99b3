"""A storage whose handles work in an event loop, for the contracts that are written for threads.

The operations of a handle are those that its backend has for an event loop; the thread of the test
has them performed there. So they keep the same promises.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

from ojobchannels.aio.native.hookspecs import AWAITED, async_manager
from ojobchannels.channels.channel import Channel
from ojobchannels.hookspecs import ChannelSpec, hookimpl
from ojobchannels.testing.kit.subject import Subject


class LoopSubject(Subject):
    """A storage whose handles request documents and locks in an event loop."""

    def open(
        self, name: str | None = None, *, extensions: Iterable[object] = (), **options: Any
    ) -> Channel:
        """Open one more handle; the kit closes it at the end of the test."""
        bridge = _Bridge()
        channel = super().open(name, extensions=(*extensions, bridge), **options)
        bridge.begin(channel)
        return channel


class _Operations:
    """Operations that a thread has performed in a loop, before those of the backend."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kit-loop", daemon=True)
        self._hook: Any = None

    def begin(self, channel: Channel) -> None:
        """Have the operations of a channel performed in the loop from now on."""
        self._thread.start()
        self._hook = async_manager(channel.hook.asynchronous()).hook

    def perform(self, name: str, arguments: dict[str, Any]) -> Any:
        """Perform an operation in the loop, and return its result."""

        async def call() -> Any:
            return await getattr(self._hook, name)(**arguments)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    @hookimpl(wrapper=True)
    def close(self) -> Iterator[None]:
        """End the loop after the channel was closed."""
        try:
            return (yield)
        finally:
            self._loop.call_soon_threadsafe(self._hook.close)
            self._loop.call_soon_threadsafe(self._loop.call_soon, self._loop.stop)
            self._thread.join()
            self._loop.close()


def _in_loop(name: str) -> Callable[..., Any]:
    spec = getattr(ChannelSpec, name)
    names = spec.__code__.co_varnames[1 : spec.__code__.co_argcount]

    @hookimpl(tryfirst=True)
    @wraps(spec)
    def call(self: _Operations, *arguments: Any) -> Any:
        return self.perform(name, dict(zip(names, arguments, strict=True)))

    return call


_Bridge = type(
    "_Bridge", (_Operations,), {name: _in_loop(name) for name in AWAITED if name != "watch"}
)
