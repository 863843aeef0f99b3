"""The operations of one handle for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ojobchannels.hookspecs import hookimpl
from ojobchannels.host.forks import forget_in_children
from ojobchannels.remote.leases import HeldLeases
from ojobchannels.steps import Steps, drive_async
from ojobchannels_ignite.cluster import Nodes
from ojobchannels_ignite.connection import Connection
from ojobchannels_ignite.documents import Documents
from ojobchannels_ignite.in_loop.node import open_connection
from ojobchannels_ignite.locks import Locks


class LoopConnection(Connection):
    """The calls of one channel in the running event loop, on connections of that loop."""

    perform: Callable[[Steps[Any]], Any] = staticmethod(drive_async)
    _sleep: Callable[[float], Any] = staticmethod(asyncio.sleep)

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.channel, connection.cluster, connection.timeout)
        self.nodes = Nodes(connection.cluster.settings, open_connection)
        forget_in_children(self)

    def forget(self) -> None:
        """Leave the connections to the parent, in a forked child."""
        self.nodes.forget()

    def _slot(self, seconds: float) -> AbstractContextManager[None]:
        return nullcontext()  # the channel limits its requests


class LoopBackend(Documents, Locks):
    """One handle on a channel, in the running event loop.

    Args:
        connection: The connection of the handle, whose threads wake the same waiters.
        leases: What the handle was granted, on threads or in the loop.
    """

    def __init__(self, connection: Connection, leases: HeldLeases) -> None:
        in_loop = LoopConnection(connection)
        Documents.__init__(self, in_loop)
        Locks.__init__(self, in_loop, leases)
        self.connection = in_loop

    @hookimpl
    def close(self) -> bool:
        self.connection.closed = True
        self.connection.nodes.close()
        return True
