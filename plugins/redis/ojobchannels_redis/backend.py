"""`redis`: documents and locks on a Redis or Valkey server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ojobchannels.hookspecs import Health, hookimpl
from ojobchannels_redis.change_feed import ChangeFeed
from ojobchannels_redis.checks.health import health
from ojobchannels_redis.checks.marks import sweep
from ojobchannels_redis.checks.opening import check
from ojobchannels_redis.documents import Documents
from ojobchannels_redis.keys import Keys
from ojobchannels_redis.locks import Held, Locks
from ojobchannels_redis.options import settings_of
from ojobchannels_redis.server import SERVERS, Client


def open_backend(channel: str, options: Mapping[str, Any]) -> RedisBackend:
    """Open a handle; the first one on a server checks that the server can serve.

    Raises:
        InvalidOption: The options contradict each other.
        ChannelUnavailable: The server cannot be reached, refuses the login, is too old, or is a
            replica.
    """
    settings, prefix = settings_of(options)
    keys = Keys(prefix, channel)
    server = SERVERS.open(settings, lambda server: check(Client(channel, server), keys))
    client = Client(channel, server)
    sweep(client, keys)
    return RedisBackend(client, keys)


def health_of(channel: str, options: Mapping[str, Any]) -> Health:
    """Return the state of the server of a channel; the errors are those of `open_backend`."""
    settings, prefix = settings_of(options)
    keys = Keys(prefix, channel)
    server = SERVERS.open(settings, lambda server: check(Client(channel, server), keys))
    try:
        return health(Client(channel, server), keys)
    finally:
        SERVERS.release(server)


class RedisBackend(Documents, Locks):
    """One handle on a channel."""

    def __init__(self, client: Client, keys: Keys) -> None:
        Documents.__init__(self, client, keys)
        Locks.__init__(self, client, keys, Held())
        self._server = client.server
        self._channel_keys = keys

    @hookimpl
    def subscribe(self, notify: Callable[[], None]) -> ChangeFeed:
        return ChangeFeed(self._server.subscriber, self._channel_keys.changes, notify)

    @hookimpl
    def asynchronous(self) -> object:
        from ojobchannels_redis.in_loop.backend import LoopBackend, serves

        if not serves(self._server.settings):
            return None
        return LoopBackend(self._channel, self._server, self._channel_keys, self._held)

    @hookimpl
    def close(self) -> bool:
        self.release_all()
        SERVERS.release(self._server)
        return True
