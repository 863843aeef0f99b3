"""The calls of one channel in an event loop, on connections of that loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from inspect import signature
from typing import Any, Final

from redis.asyncio.connection import SSLConnection

from ojobchannels.remote.pool import Pool
from ojobchannels.steps import Steps, drive_async
from ojobchannels_redis.connections import ERRORS
from ojobchannels_redis.in_loop.connections import LoopConnection, open_connection
from ojobchannels_redis.options import Settings
from ojobchannels_redis.server import Client, Server

_LOOK_SECONDS: Final = 0.002


def serves(settings: Settings) -> bool:
    """Return whether an event loop can use such a server; otherwise threads do."""
    has_tls = settings.tls is None or "ssl_password" in signature(SSLConnection).parameters
    return has_tls and not settings.cluster and settings.service is None


class LoopTopology:
    """The connections of one event loop to a server whose address does not change."""

    def __init__(self, server: Server) -> None:
        settings = server.settings
        connect = partial(open_connection, settings.addresses[0], settings)
        self._pool: Pool[LoopConnection] = Pool(connect, ERRORS, lambda: server.lost_at)

    def pool(self, key: str, limit: float) -> Pool[LoopConnection]:
        """Return the connections to the server."""
        del key, limit
        return self._pool

    def pools(self, limit: float) -> list[Pool[LoopConnection]]:
        """Return the connections to the server."""
        del limit
        return [self._pool]

    def known(self) -> Iterable[Pool[LoopConnection]]:
        """Return the connections to the server."""
        return (self._pool,)

    def invalidate(self) -> None:
        """Note that a connection failed."""


class LoopClient(Client):
    """The calls of one channel in the running event loop."""

    perform: Callable[[Steps[Any]], Any] = staticmethod(drive_async)
    asks_directly = False
    _sleep: Callable[[float], Any] = staticmethod(asyncio.sleep)

    def __init__(self, channel: str, server: Server) -> None:
        super().__init__(channel, server)
        self.topology = LoopTopology(server)

    async def wait_for(self, event: threading.Event, seconds: float) -> None:
        """Wait until an event is set, for at most `seconds`."""
        ends = time.monotonic() + seconds
        while not event.is_set() and time.monotonic() < ends:  # noqa: ASYNC110  a thread sets it
            await asyncio.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Close the connections, those in use when their reply has arrived."""
        for pool in self.topology.known():
            pool.close()
