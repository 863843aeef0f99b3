"""Servers in an event loop: one AsyncMongoClient for all channels with equal settings."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pymongo
from pymongo import AsyncMongoClient
from pymongo.errors import InvalidOperation

from ojobchannels.remote import Servers
from ojobchannels_mongo.options import Settings
from ojobchannels_mongo.servers import CLOSING, Collections, connect

_Key = tuple[Settings, asyncio.AbstractEventLoop]


class LoopServer:
    """A database on a server, in one event loop; `collections` connects to it."""

    def __init__(self, key: _Key) -> None:
        self._settings, self._loop = key
        self._collections: Collections | None = None
        self._abandoned: list[Collections] = []
        self._closed = False

    def collections(self) -> Collections:
        """Return the client and the collections, whose methods return coroutines.

        Raises:
            InvalidOperation: The last channel was closed.
        """
        if self._closed:
            raise InvalidOperation("closed")
        if self._collections is None:
            client: Any = AsyncMongoClient
            self._collections = connect(self._settings, client)
        return self._collections

    def close(self) -> None:
        """Refuse later calls; `closed` closes the client."""
        self._closed = True

    async def closed(self) -> None:
        """Close the client after its last channel, within a moment.

        It is of no use to a later event loop, when its own has ended.
        """
        connected = self._collections
        if not self._closed or connected is None:
            return
        self._collections = None
        client: Any = connected.client
        if self._loop is asyncio.get_running_loop():
            with pymongo.timeout(CLOSING):  # it ends its sessions at the server
                await client.close()

    def forget(self) -> None:
        """Leave the client to the parent, in a forked child."""
        if self._collections is not None:
            self._abandoned.append(self._collections)
            self._collections = None


SERVERS: Final[Servers[_Key, LoopServer]] = Servers(LoopServer)
