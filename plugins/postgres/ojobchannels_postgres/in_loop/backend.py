"""The operations of one handle for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ojobchannels.hookspecs import hookimpl
from ojobchannels.host.forks import forget_in_children
from ojobchannels.remote.leases import HeldLeases
from ojobchannels.remote.pool import Pool
from ojobchannels.steps import Steps, drive_async
from ojobchannels_postgres.calls import Connection
from ojobchannels_postgres.documents import Documents
from ojobchannels_postgres.errors import DRIVER_ERRORS
from ojobchannels_postgres.in_loop.session import open_loop_session
from ojobchannels_postgres.locks import Locks
from ojobchannels_postgres.schema import FieldIndexes
from ojobchannels_postgres.server import Server
from ojobchannels_postgres.session import Session


class LoopConnection(Connection):
    """The calls of one channel in the running event loop, on connections of that loop."""

    perform: Callable[[Steps[Any]], Any] = staticmethod(drive_async)
    _sleep: Callable[[float], Any] = staticmethod(asyncio.sleep)

    def __init__(self, channel: str, server: Server) -> None:
        super().__init__(channel, server)
        self.pool = Pool(self._connect, DRIVER_ERRORS)
        forget_in_children(self)

    def forget(self) -> None:
        """Leave the connections to the parent, in a forked child."""
        self.pool.forget()

    async def _connect(self, limit: float) -> Session:
        server = self.server
        return await drive_async(server.hosts.connecting(limit, server.prepares, open_loop_session))


class LoopBackend(Documents, Locks):
    """One handle on a channel, in the running event loop.

    Args:
        channel: The name of the channel.
        server: The server of the handle; the thread of its listener wakes the waiters.
        indexes: The indexes of the channel.
        leases: What the handle was granted, on threads or in the loop.
    """

    def __init__(
        self, channel: str, server: Server, indexes: FieldIndexes, leases: HeldLeases
    ) -> None:
        connection = LoopConnection(channel, server)
        Documents.__init__(self, connection, indexes)
        Locks.__init__(self, connection, leases)

    @hookimpl
    def close(self) -> bool:
        self._connection.closed = True
        self._connection.pool.close()
        return True
