"""`mongo`: documents and locks on a MongoDB server or replica set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ojobchannels.changes import Feed
from ojobchannels.hookspecs import Health, hookimpl
from ojobchannels_mongo.change_feed import feed_of
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.documents import Documents
from ojobchannels_mongo.locks import Locks
from ojobchannels_mongo.options import settings_of
from ojobchannels_mongo.reader import FieldIndexes
from ojobchannels_mongo.server_checks import check, health
from ojobchannels_mongo.servers import SERVERS


def open_backend(channel: str, options: Mapping[str, Any]) -> MongoBackend:
    """Open a handle; the first one on a server checks that the server can serve.

    Raises:
        InvalidOption: An option is not valid.
        NotSupported: The server is too old.
        ChannelUnavailable: The server cannot be reached, or refuses the login.
    """
    timeout = options["timeout"]
    server = SERVERS.open(
        settings_of(options), lambda server: check(Connection(channel, server, timeout))
    )
    return MongoBackend(Connection(channel, server, timeout))


def health_of(channel: str, options: Mapping[str, Any]) -> Health:
    """Return the state of the server of a channel; the errors are those of `open_backend`."""
    backend = open_backend(channel, options)
    try:
        return health(backend.connection)
    finally:
        backend.close()


class MongoBackend(Documents, Locks):
    """One handle on a channel.

    Attributes:
        capabilities: What this server offers beyond the capabilities of the channel type.
    """

    def __init__(self, connection: Connection) -> None:
        Documents.__init__(self, connection, FieldIndexes(connection))
        Locks.__init__(self, connection)
        self.connection = connection
        replicated = {"atomic_batches", "events_every"}
        offered = replicated if connection.server.replicated else {"events_coalesced"}
        self.capabilities = frozenset(offered)

    @hookimpl
    def subscribe(self, notify: Callable[[], None]) -> Feed:
        return feed_of(self.connection, notify)

    @hookimpl
    def asynchronous(self) -> object:
        from ojobchannels_mongo.in_loop.backend import IS_SERVED, LoopBackend

        if not IS_SERVED:
            return None
        return LoopBackend(self.connection, self._indexes, self._leases)

    @hookimpl
    def close(self) -> bool:
        self.close_locks()
        if not self.connection.closed:  # a close that was interrupted is repeated
            self.connection.closed = True
            SERVERS.release(self.connection.server)
        return True
