"""`redis`: documents and locks on a Redis or Valkey server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ojobchannels.hookspecs import hookimpl
from ojobchannels_redis.change_feed import Ear
from ojobchannels_redis.documents import Documents
from ojobchannels_redis.keys import Keys
from ojobchannels_redis.locks import Locks
from ojobchannels_redis.options import settle
from ojobchannels_redis.server import SERVERS, Line
from ojobchannels_redis.server_checks import check


def open_backend(channel: str, options: Mapping[str, Any]) -> RedisBackend:
    """Opens a handle; the first on a server looks whether it can serve.

    Raises:
        InvalidOption: The options do not go together.
        ChannelUnavailable: The server cannot be reached, refuses the login, or is too old.
    """
    settings, prefix = settle(options)
    server = SERVERS.take(settings)
    line = Line(channel, server)
    try:
        check(line)
    except BaseException:
        SERVERS.give_back(server)
        raise
    return RedisBackend(line, Keys(prefix, channel))


class RedisBackend(Documents, Locks):
    """One handle on a channel."""

    def __init__(self, line: Line, keys: Keys) -> None:
        Documents.__init__(self, line, keys)
        Locks.__init__(self, line, keys)
        self._server = line.server
        self._changes = keys.changes

    @hookimpl
    def subscribe(self, ring: Callable[[], None]) -> Ear:
        return Ear(self._server.subscriber, self._changes, ring)

    @hookimpl
    def close(self) -> bool:
        self.give_up()
        SERVERS.give_back(self._server)
        return True
