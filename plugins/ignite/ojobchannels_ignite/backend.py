"""`ignite`: documents and locks on an Apache Ignite 2 cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ojobchannels.hookspecs import Health, hookimpl
from ojobchannels_ignite.cache import check
from ojobchannels_ignite.cluster import SERVERS
from ojobchannels_ignite.connection import Connection
from ojobchannels_ignite.documents import Documents
from ojobchannels_ignite.locks import Locks
from ojobchannels_ignite.options import settings_of
from ojobchannels_ignite.server_checks import health


def open_backend(channel: str, options: Mapping[str, Any]) -> IgniteBackend:
    """Open a handle; the first one on a cache creates it or checks it.

    Raises:
        InvalidOption: An option is not valid, or the cache was made for something else.
        NotSupported: The cluster is too old, or has no SQL.
        ChannelUnavailable: No node can be reached, or the login is refused.
    """
    return IgniteBackend(_connection(channel, options))


def health_of(channel: str, options: Mapping[str, Any]) -> Health:
    """Return the state of the cluster of a channel; the errors are those of `open_backend`."""
    connection = _connection(channel, options)
    try:
        return health(connection)
    finally:
        SERVERS.release(connection.cluster)


def _connection(channel: str, options: Mapping[str, Any]) -> Connection:
    timeout = options["timeout"]
    cluster = SERVERS.open(
        settings_of(options), lambda cluster: check(Connection(channel, cluster, timeout))
    )
    return Connection(channel, cluster, timeout)


class IgniteBackend(Documents, Locks):
    """One handle on a channel."""

    def __init__(self, connection: Connection) -> None:
        Documents.__init__(self, connection)
        Locks.__init__(self, connection)
        self.connection = connection

    @hookimpl
    def asynchronous(self) -> object:
        from ojobchannels_ignite.in_loop.backend import LoopBackend

        return LoopBackend(self.connection, self._leases)

    @hookimpl
    def close(self) -> bool:
        self.close_locks()
        if not self.connection.closed:  # a close that was interrupted is repeated
            self.connection.closed = True
            SERVERS.release(self.connection.cluster)
        return True
