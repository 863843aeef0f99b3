"""`mongo`: documents and locks on a MongoDB server or replica set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ojobchannels.changes import Feed
from ojobchannels.hookspecs import hookimpl
from ojobchannels_mongo.change_feed import feed_of
from ojobchannels_mongo.connection import Line
from ojobchannels_mongo.documents import Documents
from ojobchannels_mongo.locks import Locks
from ojobchannels_mongo.options import settle
from ojobchannels_mongo.server_checks import check
from ojobchannels_mongo.servers import SERVERS


def open_backend(channel: str, options: Mapping[str, Any]) -> MongoBackend:
    """Opens a handle; the first on a server looks whether it can serve.

    Raises:
        InvalidOption: An option is wrong.
        NotSupported: The server is too old.
        ChannelUnavailable: The server cannot be reached, or refuses the login.
    """
    server = SERVERS.take(settle(options))
    line = Line(channel, server, options["timeout"])
    try:
        check(line)
    except BaseException:
        SERVERS.give_back(server)
        raise
    return MongoBackend(line)


class MongoBackend(Documents, Locks):
    """One handle on a channel.

    Attributes:
        line: The way to its server.
        capabilities: What this server offers beyond what the channel type says.
    """

    def __init__(self, line: Line) -> None:
        Documents.__init__(self, line)
        Locks.__init__(self, line)
        self.line = line
        self.capabilities = frozenset(
            {"atomic_batches", "events_every"} if line.server.replicated else {"events_coalesced"}
        )

    @hookimpl
    def subscribe(self, ring: Callable[[], None]) -> Feed:
        return feed_of(self.line, ring)

    @hookimpl
    def close(self) -> bool:
        self.close_locks()
        if not self.line.closed:  # a close that was interrupted is done again
            self.line.closed = True
            SERVERS.give_back(self.line.server)
        return True
