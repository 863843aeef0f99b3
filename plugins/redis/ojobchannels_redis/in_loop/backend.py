"""The operations of one handle for an event loop."""

from __future__ import annotations

from ojobchannels.hookspecs import hookimpl
from ojobchannels_redis.documents import Documents
from ojobchannels_redis.in_loop.client import LoopClient, serves
from ojobchannels_redis.keys import Keys
from ojobchannels_redis.locks import Held, Locks
from ojobchannels_redis.server import Server

__all__ = ["LoopBackend", "serves"]


class LoopBackend(Documents, Locks):
    """One handle on a channel, in the running event loop.

    Args:
        channel: The name of the channel.
        server: The server of the handle; the thread of its subscriber wakes the waiters.
        keys: The names of the channel's keys.
        held: What the handle was granted, on threads or in the loop.
    """

    def __init__(self, channel: str, server: Server, keys: Keys, held: Held) -> None:
        client = LoopClient(channel, server)
        Documents.__init__(self, client, keys)
        Locks.__init__(self, client, keys, held)
        self._loop_client = client

    @hookimpl
    def close(self) -> bool:
        self._loop_client.close()
        return True
