"""`postgres`: documents and locks in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ojobchannels.changes import Feed
from ojobchannels.hookspecs import hookimpl
from ojobchannels_postgres.calls import Connection
from ojobchannels_postgres.change_feed import ChangeFeed
from ojobchannels_postgres.documents import Documents
from ojobchannels_postgres.locks import Locks
from ojobchannels_postgres.options import settings_of
from ojobchannels_postgres.schema import check
from ojobchannels_postgres.server import SERVERS


def open_backend(channel: str, options: Mapping[str, Any]) -> PostgresBackend:
    """Open a handle; the first one on a server checks the server and its tables.

    Raises:
        InvalidOption: An option is not valid.
        NotSupported: The server is too old, or its tables are too new.
        ChannelUnavailable: The server cannot be reached, or refuses the login.
    """
    server = SERVERS.open(settings_of(options), lambda server: check(Connection(channel, server)))
    return PostgresBackend(Connection(channel, server))


class PostgresBackend(Documents, Locks):
    """One handle on a channel."""

    def __init__(self, connection: Connection) -> None:
        Documents.__init__(self, connection)
        Locks.__init__(self, connection)

    @hookimpl
    def subscribe(self, ring: Callable[[], None]) -> Feed:
        return ChangeFeed(self._connection, ring)

    @hookimpl
    def close(self) -> bool:
        self.close_locks()
        if not self._connection.closed:  # a close that was interrupted is repeated
            self._connection.closed = True
            SERVERS.release(self._connection.server)
        return True
