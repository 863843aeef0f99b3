"""The channel type ``native`` of tests: `simple`, whose backend also works in the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

import ojobchannels as oc
from ojobchannels.aio.native.hookspecs import AWAITED
from ojobchannels.backends.simple.backend import SimpleBackend


class InLoop:
    """The operations of `simple` in an event loop; those of `AWAITED` are added below.

    Attributes:
        slow: Those that wait for an event before they are performed.
    """

    slow: ClassVar[dict[str, asyncio.Event]] = {}

    def __init__(self, backend: SimpleBackend) -> None:
        self.backend = backend

    @oc.hookimpl
    def close(self) -> bool:
        return True


def awaited(name: str) -> Callable[..., Any]:
    method = getattr(SimpleBackend, name)

    @wraps(method)
    async def perform(self: InLoop, *arguments: Any) -> Any:
        if name in self.slow:
            await self.slow[name].wait()
        await asyncio.sleep(0)
        return method(self.backend, *arguments)

    return perform


for each in AWAITED:
    setattr(InLoop, each, awaited(each))


class Backend(SimpleBackend):
    """`simple`, with operations for an event loop."""

    opened_on: ClassVar[list[int]] = []

    @oc.hookimpl
    def asynchronous(self) -> InLoop:
        self.opened_on.append(threading.get_ident())
        return InLoop(self)
