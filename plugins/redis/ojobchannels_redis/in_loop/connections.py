"""Connections for one event loop: those of redis-py's asyncio client, one user at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio import connection as driver

from ojobchannels.remote.options import Address
from ojobchannels_redis.connections import Command, by_digest, new_connection
from ojobchannels_redis.options import Settings

_T = TypeVar("_T")


class LoopConnection:
    """An open connection; `ojobchannels_redis.connections.Connection` describes it.

    What is cut short, by a timeout or because the loop ends, leaves a reply that no request reads:
    the driver closes such a connection.
    """

    def __init__(self, connection: Any) -> None:
        self.asking = False
        self.used_at = 0.0
        self._connection = connection
        self._reader: asyncio.StreamReader = connection._reader
        self._writer: asyncio.StreamWriter = connection._writer
        self._timer: asyncio.Timeout | None = None
        self._limit = 0.0
        self._unasked = False
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
        _abort(self._connection)

    abandon = close

    async def _ask(self, command: Command) -> Any:
        connection = self._connection
        if self.asking:
            await self._send_asking()
        await self._send(connection.pack_command(*by_digest(command)))
        try:
            return await connection.read_response()
        except exceptions.NoScriptError:
            if self.asking:
                await self._send_asking()
            await self._send(connection.pack_command("EVAL", command[0].text, *command[1:]))
            return await connection.read_response()

    async def _ask_all(self, commands: list[Command]) -> list[Any]:
        await self._send(self._connection.pack_commands(list(map(by_digest, commands))))
        return [await self._read() for _ in commands]

    def _is_closed(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()

    async def _send(self, packed: list[bytes]) -> None:
        if self._is_closed():  # asyncio would not notice before the reply is missed
            raise exceptions.ConnectionError("Connection closed by server")
        await self._connection.send_packed_command(packed, check_health=False)

    async def _send_asking(self) -> None:
        await self._send(self._connection.pack_command("ASKING"))
        await self._connection.read_response()

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response()
        except exceptions.ResponseError as error:
            return error

    async def _within(self, limit: float, exchange: Coroutine[Any, Any, _T]) -> _T:
        self._limit = limit
        try:
            async with asyncio.timeout(limit) as self._timer:
                return await exchange
        except TimeoutError as error:
            self.close()
            raise exceptions.TimeoutError("Timeout reading from socket") from error
        finally:
            self._timer = None

    def _notice_data(self) -> None:
        """Have each part of a reply extend the time for the next one."""
        feed, loop = self._reader.feed_data, asyncio.get_running_loop()

        def noticed(data: bytes) -> None:
            timer = self._timer
            if timer is None:
                self._unasked = True
            elif not timer.expired() and (timer.when() or 0) < loop.time() + self._limit / 2:
                timer.reschedule(loop.time() + self._limit)
            feed(data)

        vars(self._reader)["feed_data"] = noticed


async def open_connection(address: Address, settings: Settings, limit: float) -> LoopConnection:
    """Return an open connection, with the driver's own retries and timeouts off."""
    connection = new_connection(driver, address, settings, limit)
    try:
        await connection.connect()
    except BaseException as error:
        _abort(connection)
        if isinstance(error, AttributeError | ValueError):  # such as a host name that is not valid
            raise exceptions.ConnectionError(f"cannot connect: {error}") from error
        raise
    connection.socket_timeout = None
    return LoopConnection(connection)


def _abort(connection: Any) -> None:
    writer = connection._writer
    if writer is not None:
        connection._parser.on_disconnect()
        connection._reader = connection._writer = None
        writer.transport.abort()
