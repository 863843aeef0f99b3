"""A connection of an event loop, which psycopg's asyncio client opens."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from ojobchannels.steps import Steps, drive_async
from ojobchannels_postgres.session import (
    NO_REPLY,
    ConnectError,
    LimitAtConnect,
    LimitError,
    Session,
)


class LoopSession(Session):
    """An open connection; `Session` describes it.

    The loop reads what arrives, also between statements: then the server has closed the connection,
    or sent something unasked.

    Args:
        connection: The driver's connection.
        prepares: Whether to prepare each statement at its first use.
    """

    perform: Callable[[Steps[Any]], Any] = staticmethod(drive_async)

    def __init__(self, connection: psycopg.AsyncConnection[Any], prepares: bool) -> None:
        super().__init__(connection.pgconn, prepares=prepares)
        self._connection = connection  # which would close what it opened
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._error: psycopg.Error | None = None
        self._is_stale = False
        self._loop.add_reader(self._socket, self._read)

    def is_stale(self) -> bool:
        """Return whether the server has closed the connection, or sent something unasked."""
        return self._is_stale or super().is_stale()

    def close(self) -> None:
        """Close the connection."""
        if self._timer is not None:
            self._timer.cancel()
        self._end_reading()
        super().close()

    def _set_limit(self, limit: float) -> None:
        if self._is_stale:  # so that nothing is sent of which the outcome would not be known
            raise ConnectError("the server closed the connection")
        self._ends = self._loop.time() + limit

    async def _receive(self) -> None:
        if self._error is not None:
            raise self._error
        if self._timer is None or self._timer.when() > self._ends:
            self._set_timer()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _await_room(self) -> None:
        self._loop.add_writer(self._socket, self._wake)
        try:
            await self._receive()
        finally:
            self._loop.remove_writer(self._socket)

    async def _wait(self, events: int, socket: int) -> None:
        loop, ready = self._loop, asyncio.Event()
        if events == select.POLLIN:
            add, remove = loop.add_reader, loop.remove_reader
        else:
            add, remove = loop.add_writer, loop.remove_writer
        add(socket, ready.set)
        try:
            async with asyncio.timeout_at(self._ends):
                await ready.wait()
        except TimeoutError:
            raise LimitError(NO_REPLY) from None
        finally:
            remove(socket)

    def _read(self) -> None:
        """Read what has arrived; wake the waiter if it is a reply, or the connection is lost."""
        try:
            self._pgconn.consume_input()
        except psycopg.Error as error:
            self._error = error
            self._end_reading()
        if self._waiter is None:
            self._is_stale = True
        elif self._error is not None or not self._pgconn.is_busy():
            self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if self._error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(self._error)

    def _end_reading(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.remove_reader(self._socket)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._ends, self._check_time)

    def _check_time(self) -> None:
        """End a wait that took too long; one timer serves many statements."""
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() >= self._ends:
            self._waiter.set_exception(LimitError(NO_REPLY))
        else:
            self._set_timer()


class _Connection(psycopg.AsyncConnection[Any]):
    """A connection that its session closes."""

    def __del__(self, _: Any = None, /) -> None:
        """Do not warn if it is open: an event loop may end before its channel is closed."""


async def open_loop_session(conninfo: str, limit: float, prepares: bool) -> LoopSession:
    """Return an open connection; see `open_session`."""
    try:
        async with asyncio.timeout(limit):
            connection = await _Connection.connect(conninfo, autocommit=True)
    except TimeoutError:
        raise LimitAtConnect(NO_REPLY) from None
    except psycopg.Error as error:
        raise ConnectError(str(error)) from None
    return LoopSession(connection, prepares)
