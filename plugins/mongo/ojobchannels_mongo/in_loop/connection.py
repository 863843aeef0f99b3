"""The connection of one channel in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pymongo.errors import InvalidOperation

from ojobchannels.steps import Steps, drive_async
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.in_loop.servers import SERVERS, LoopServer
from ojobchannels_mongo.servers import Collections


class LoopConnection(Connection):
    """The connection of one channel in the event loop of its first call."""

    perform: Callable[[Steps[Any]], Any] = staticmethod(drive_async)
    _sleep: Callable[[float], Any] = staticmethod(asyncio.sleep)
    _in_loop: LoopServer | None = None

    def collections(self) -> Collections:
        """Return the client and the collections to use."""
        if self.closed:
            raise InvalidOperation("closed")
        if self._in_loop is None:
            key = (self.server.settings, asyncio.get_running_loop())
            self._in_loop = SERVERS.open(key, lambda _: None)
        return self._in_loop.collections()

    async def within(self, context: Any, work: Callable[[Any], Steps[Any]]) -> Any:
        """Perform the steps of `work` with a session or a cursor, and close it."""
        async with context as entered:
            return await drive_async(work(entered))

    async def close(self) -> bool:
        """Close the client if no other channel uses it."""
        self.closed = True
        in_loop, self._in_loop = self._in_loop, None
        if in_loop is not None:
            SERVERS.release(in_loop)
            await in_loop.closed()
        return True
