"""`postgres`: documents and locks in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ojobchannels.changes import Feed
from ojobchannels.hookspecs import Finding, Health, hookimpl
from ojobchannels.remote import Operation
from ojobchannels.steps import drive
from ojobchannels_postgres import statements
from ojobchannels_postgres.calls import Connection
from ojobchannels_postgres.change_feed import ChangeFeed
from ojobchannels_postgres.documents import Documents
from ojobchannels_postgres.locks import Locks
from ojobchannels_postgres.options import settings_of
from ojobchannels_postgres.schema import FieldIndexes, check
from ojobchannels_postgres.server import SERVERS

_HEALTH: Final = Operation("health")


def open_backend(channel: str, options: Mapping[str, Any]) -> PostgresBackend:
    """Open a handle; the first one on a server checks the server and its tables.

    Raises:
        InvalidOption: An option is not valid.
        NotSupported: The server is too old, or its tables are too new.
        ChannelUnavailable: The server cannot be reached, or refuses the login.
    """
    server = SERVERS.open(settings_of(options), lambda server: check(Connection(channel, server)))
    return PostgresBackend(Connection(channel, server))


def health_of(channel: str, options: Mapping[str, Any]) -> Health:
    """Return the state of the server of a channel; the errors are those of `open_backend`."""
    server = SERVERS.open(settings_of(options), lambda server: check(Connection(channel, server)))
    try:
        connection = Connection(channel, server)
        ((version, wall, fsync, commit),) = drive(
            connection.calling(_HEALTH, lambda client, _: client.run(statements.HEALTH))
        )
        return Health(f"PostgreSQL {version}", wall, tuple(_findings(fsync, commit)))
    finally:
        SERVERS.release(server)


def _findings(fsync: str, commit: str) -> Iterator[Finding]:
    if fsync != "on":
        text = "a power cut of the server can destroy the database (fsync off)"
        yield Finding(text, "set fsync = on in its configuration")
    if commit == "off":
        text = "a crash of the server can lose the last writes (synchronous_commit off)"
        advice = "set synchronous_commit = on for the user or the database, or protect with fences"
        yield Finding(text, advice, is_problem=False)


class PostgresBackend(Documents, Locks):
    """One handle on a channel."""

    def __init__(self, connection: Connection) -> None:
        Documents.__init__(self, connection, FieldIndexes(connection))
        Locks.__init__(self, connection)

    @hookimpl
    def subscribe(self, notify: Callable[[], None]) -> Feed:
        return ChangeFeed(self._connection, notify)

    @hookimpl
    def asynchronous(self) -> object:
        from ojobchannels_postgres.in_loop.backend import LoopBackend

        connection = self._connection
        return LoopBackend(connection.channel, connection.server, self._indexes, self._leases)

    @hookimpl
    def close(self) -> bool:
        self.close_locks()
        if not self._connection.closed:  # a close that was interrupted is repeated
            self._connection.closed = True
            SERVERS.release(self._connection.server)
        return True
