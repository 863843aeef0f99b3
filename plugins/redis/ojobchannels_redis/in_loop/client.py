"""The calls of one channel in an event loop, on connections of that loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from inspect import signature
from typing import Any, Final

from redis.asyncio.connection import SSLConnection

from ojobchannels.steps import Steps, drive_async
from ojobchannels_redis.in_loop.connections import open_connection
from ojobchannels_redis.options import Settings
from ojobchannels_redis.server import Client, Server
from ojobchannels_redis.topology.pools import Pools

_LOOK_SECONDS: Final = 0.002


def serves(settings: Settings) -> bool:
    """Return whether an event loop can use such a server; otherwise threads do."""
    return settings.tls is None or "ssl_password" in signature(SSLConnection).parameters


class LoopClient(Client):
    """The calls of one channel in the running event loop."""

    perform: Callable[[Steps[Any]], Any] = staticmethod(drive_async)
    asks_directly = False
    _sleep: Callable[[float], Any] = staticmethod(asyncio.sleep)

    def __init__(self, channel: str, server: Server) -> None:
        super().__init__(channel, server)
        self.pools = Pools(server.topology, open_connection, drive_async)

    async def wait_for(self, event: threading.Event, seconds: float) -> None:
        """Wait until an event is set, for at most `seconds`."""
        ends = time.monotonic() + seconds
        while not event.is_set() and time.monotonic() < ends:  # noqa: ASYNC110  a thread sets it
            await asyncio.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Close the connections, those in use when their reply has arrived."""
        self.pools.close()
