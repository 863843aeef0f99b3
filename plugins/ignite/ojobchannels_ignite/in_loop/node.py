"""A connection to a node for an event loop."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ojobchannels.remote.options import Address
from ojobchannels.steps import drive_async
from ojobchannels_ignite.options import Settings
from ojobchannels_ignite.protocol.node import CLOSED, NO_REPLY, NodeConnection, tls_context


class TransportConnection(NodeConnection, asyncio.Protocol):
    """A connection, which one task uses at a time; the loop passes what arrives to it.

    Args:
        address: The node.
        ends: When the handshake must have ended, by `time.monotonic`.
    """

    def __init__(self, address: Address, ends: float) -> None:
        NodeConnection.__init__(self, address, ends)
        self._received = bytearray()
        self._reply: asyncio.Future[bytes] | None = None
        self._error: Exception | None = None

    async def exchange(self, data: bytes) -> bytes:
        if self._error is not None:
            raise self._error
        loop = asyncio.get_running_loop()
        # Not `asyncio.timeout`: where the loop was busy for longer, it drops a reply that has come.
        timer = loop.call_later(self._left(), self._end, TimeoutError(NO_REPLY))
        self._reply = loop.create_future()
        self._transport.write(data)
        try:
            return await self._reply
        finally:
            timer.cancel()

    def is_stale(self) -> bool:
        return self._error is not None

    def close(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._transport.abort()

    def abandon(self) -> None:
        descriptor = self._socket.fileno()
        if descriptor >= 0:
            # It remains in use, so that the end of the transport closes nothing else.
            with Path(os.devnull).open("rb") as nothing:
                os.dup2(nothing.fileno(), descriptor, inheritable=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport: Any = transport
        self._socket = transport.get_extra_info("socket")

    def data_received(self, data: bytes) -> None:
        """Pass on a reply that is complete."""
        self._received += data
        if self._reply is None or self._reply.done():
            self._end(ConnectionError("the node sent something unasked"))
            return
        try:
            missing = self._missing(self._received)
        except ConnectionError as error:
            self._end(error)
            return
        if not missing:
            self._reply.set_result(bytes(self._received))
            self._received.clear()

    def connection_lost(self, error: Exception | None) -> None:
        """End the wait for a reply."""
        self._end(error or ConnectionResetError(CLOSED))

    def _end(self, error: Exception) -> None:
        self._error = self._error or error
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(self._error)


async def open_connection(address: Address, settings: Settings, limit: float) -> Any:
    """Return an open connection; see `SocketConnection`."""
    ends = time.monotonic() + limit
    loop, tls = asyncio.get_running_loop(), tls_context(settings)
    try:
        async with asyncio.timeout(limit):
            _, connection = await loop.create_connection(
                lambda: TransportConnection(address, ends), *address, ssl=tls
            )
    except TimeoutError:
        raise TimeoutError(NO_REPLY) from None
    try:
        await drive_async(connection.shaking_hands(settings))
    except BaseException:
        connection.close()
        raise
    return connection
