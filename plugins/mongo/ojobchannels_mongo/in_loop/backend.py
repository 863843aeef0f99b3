"""The operations of one handle for an event loop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pymongo

from ojobchannels.hookspecs import hookimpl
from ojobchannels.remote.leases import HeldLeases
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.documents import Documents
from ojobchannels_mongo.in_loop.connection import LoopConnection
from ojobchannels_mongo.locks import Locks
from ojobchannels_mongo.reader import FieldIndexes

IS_SERVED = pymongo.version_tuple >= (4, 13)
"""Whether the driver's asyncio client is complete; otherwise threads are used."""


class LoopBackend(Documents, Locks):
    """One handle on a channel, in one event loop.

    Args:
        connection: The connection of the handle; the thread of its server wakes the waiters.
        indexes: The indexes on fields of the channel's values.
        leases: What the handle was granted, on threads or in the loop.

    Attributes:
        connection: The connection in the loop.
    """

    def __init__(self, connection: Connection, indexes: FieldIndexes, leases: HeldLeases) -> None:
        in_loop = LoopConnection(connection.channel, connection.server, connection.timeout)
        Documents.__init__(self, in_loop, indexes)
        Locks.__init__(self, in_loop, leases)
        self.connection = in_loop

    @hookimpl
    def close(self) -> Coroutine[Any, Any, bool]:
        return self.connection.close()
