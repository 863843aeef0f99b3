"""Connections for one event loop: those of redis-py's asyncio client, one user at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from redis import connection as sync_driver
from redis import exceptions
from redis.asyncio import connection as driver

from ojobchannels.remote.options import Address
from ojobchannels_redis.connections import Command, by_digest, new_connection
from ojobchannels_redis.options import Settings

_T = TypeVar("_T")


class LoopConnection:
    """An open connection; `ojobchannels_redis.connections.Connection` describes it.

    What is cut short, by a timeout or because the loop ends, leaves a reply that no request reads:
    such a connection is closed.

    Args:
        connection: The driver's connection, which is open.
        packer: One of the driver's synchronous client, which packs commands in a third of the time.
    """

    def __init__(self, connection: Any, packer: Any) -> None:
        self.asking = False
        self.used_at = 0.0
        self._connection = connection
        self._packer = packer
        self._reader: asyncio.StreamReader = connection._reader
        self._writer: asyncio.StreamWriter = connection._writer
        self._loop = asyncio.get_running_loop()
        self._unasked = False
        self._limit: float | None = None
        self._ends = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._notice_data()

    async def ask(self, command: Command, limit: float) -> Any:
        """Send a command and return the reply; wait at most `limit` seconds for each part."""
        return await self._within(limit, self._ask(command))

    async def ask_all(self, commands: list[Command], limit: float) -> list[Any]:
        """Send all commands at once and return the replies; a ResponseError is returned, too."""
        return await self._within(limit, self._ask_all(commands)) if commands else []

    async def is_stale(self) -> bool:
        """Return whether the server has closed the connection, or sent something unasked."""
        for _ in range(2):  # in which the loop handles what has arrived
            await asyncio.sleep(0)
        return self._unasked or self._is_closed()

    async def ping(self, limit: float) -> None:
        """Have the server reply to PING within `limit` seconds."""
        await self.ask(("PING",), limit)

    def close(self) -> None:
        """Close the connection."""
        if self._timer is not None:
            self._timer.cancel()
        _abort(self._connection)

    abandon = close

    async def _ask(self, command: Command) -> Any:
        if self.asking:
            await self._ask_for_next()
        await self._send(self._packer.pack_command(*by_digest(command)))
        try:
            return await self._connection.read_response()
        except exceptions.NoScriptError:
            if self.asking:
                await self._ask_for_next()
            await self._send(self._packer.pack_command("EVAL", command[0].text, *command[1:]))
            return await self._connection.read_response()

    async def _ask_all(self, commands: list[Command]) -> list[Any]:
        await self._send(self._packer.pack_commands(list(map(by_digest, commands))))
        return [await self._read() for _ in commands]

    async def _ask_for_next(self) -> None:
        await self._send(self._packer.pack_command("ASKING"))
        await self._connection.read_response()

    async def _send(self, packed: list[bytes]) -> None:
        if self._is_closed():  # asyncio would not notice before the reply is missed
            raise exceptions.ConnectionError("Connection closed by server")
        try:
            self._writer.write(b"".join(packed))
            if self._writer.transport.get_write_buffer_size():
                await self._writer.drain()
        except OSError as error:
            raise exceptions.ConnectionError(f"Error while writing to socket: {error}") from error

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response()
        except exceptions.ResponseError as error:
            return error

    def _is_closed(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()

    async def _within(self, limit: float, exchange: Coroutine[Any, Any, _T]) -> _T:
        self._limit = limit
        self._ends = self._loop.time() + limit
        if self._timer is None or self._timer.when() > self._ends:
            self._set_timer()
        try:
            return await exchange
        except exceptions.ConnectionError as error:
            if self._loop.time() < self._ends:
                raise
            raise exceptions.TimeoutError("Timeout reading from socket") from error
        finally:
            self._limit = None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._ends, self._check_time)

    def _check_time(self) -> None:
        """Close the connection if no part of a reply came in time; a timer serves many requests."""
        self._timer = None
        if self._limit is None:
            return
        if self._loop.time() >= self._ends:
            self._writer.transport.abort()  # which ends the wait for the reply
        else:
            self._set_timer()

    def _notice_data(self) -> None:
        """Have each part of a reply extend the time for the next one."""
        feed = self._reader.feed_data

        def noticed(data: bytes) -> None:
            if self._limit is None:
                self._unasked = True
            else:
                self._ends = self._loop.time() + self._limit
            feed(data)

        vars(self._reader)["feed_data"] = noticed


async def open_connection(
    address: Address, settings: Settings, limit: float, sentinel: bool = False
) -> LoopConnection:
    """Return an open connection, with the driver's own retries and timeouts off."""
    connection = new_connection(driver, address, settings, limit, sentinel)
    try:
        await connection.connect()
    except BaseException as error:
        _abort(connection)
        if isinstance(error, AttributeError | ValueError):  # such as a host name that is not valid
            raise exceptions.ConnectionError(f"cannot connect: {error}") from error
        raise
    connection.socket_timeout = None
    return LoopConnection(connection, new_connection(sync_driver, address, settings, limit))


def _abort(connection: Any) -> None:
    writer = connection._writer
    if writer is not None:
        connection._parser.on_disconnect()
        connection._reader = connection._writer = None
        with suppress(RuntimeError):  # the loop is closed
            writer.transport.abort()
