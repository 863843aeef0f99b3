"""Connections to one server: redis-py's, one user at a time, never shared with a forked child."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakSet

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError, NoScriptError, RedisError, ResponseError

from ojobchannels_redis.options import Address, Settings
from ojobchannels_redis.scripts import Script

_IDLE: Final = 1.0
Command = tuple[Any, ...]
"""What is asked: the name of a command or a script, and its arguments."""


class Wire:
    """A connection that is open.

    Attributes:
        asking: Whether it is to say that a cluster's node sent us here with ASK.
        used_at: When it was given back, by the monotonic clock.
    """

    __slots__ = ("__weakref__", "_connection", "_limit", "asking", "used_at")

    def __init__(self, connection: Any, limit: float) -> None:
        self._connection = connection
        self._limit = limit
        self.asking = False
        self.used_at = 0.0

    def ask(self, command: Command, limit: float) -> Any:
        """Sends a command and returns the reply, waiting `limit` seconds at most for each part."""
        connection = self._connection
        if limit != self._limit:
            self._set_limit(limit)
        if self.asking:
            self._say_asking()
        connection.send_packed_command(connection.pack_command(*_called(command)), False)
        try:
            return connection.read_response()
        except NoScriptError:
            if self.asking:
                self._say_asking()
            connection.send_command(*_spelled(command), check_health=False)
            return connection.read_response()

    def ask_all(self, commands: list[Command], limit: float) -> list[Any]:
        """Sends all commands at once and returns the replies, errors among them."""
        connection = self._connection
        self._set_limit(limit)
        packed = connection.pack_commands([_called(command) for command in commands])
        connection.send_packed_command(packed, False)
        return [self._read() for _ in commands]

    def is_stale(self) -> bool:
        """Tells whether the server has closed the connection, or said what nobody asked."""
        self._limit = 0  # the look may change that of the socket
        try:
            return bool(self._connection.can_read(0))
        except (RedisError, OSError):
            return True

    def close(self) -> None:
        """Closes the connection."""
        self._connection.disconnect()

    def _say_asking(self) -> None:
        self._connection.send_command("ASKING", check_health=False)
        self._connection.read_response()

    def _read(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error

    def _set_limit(self, limit: float) -> None:
        # redis-py 5 and 6 have no other way to change it on an open connection
        self._connection._sock.settimeout(limit)
        self._limit = limit


class Pool:
    """Connections to one server: idle ones are lent again, the latest used first."""

    def __init__(self, connect: Callable[[float], Wire]) -> None:
        self._connect = connect
        self._idle: deque[Wire] = deque()
        self._all: WeakSet[Wire] = WeakSet()
        self._closed = False

    def take(self, limit: float, lively: bool) -> Wire:
        """Lends a connection; a `lively` one was not closed by the server while it was idle.

        One that was idle for long is never lent without that look: servers close such, and then a
        request that was not even read would count as one whose reply was lost.
        """
        while True:
            try:
                wire = self._idle.pop()
            except IndexError:
                wire = self._connect(limit)
                self._all.add(wire)
                return wire
            if not lively and time.monotonic() < wire.used_at + _IDLE:
                return wire
            if not wire.is_stale():
                return wire
            wire.close()

    def give_back(self, wire: Wire) -> None:
        """Takes back a connection on which every reply was read."""
        wire.used_at = time.monotonic()
        self._idle.append(wire)
        if self._closed:
            self.purge()

    def purge(self) -> None:
        """Closes the idle connections: another one to the same server was found broken."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def close(self) -> None:
        """Closes the idle connections, and those that are lent when they come back."""
        self._closed = True
        self.purge()

    def forget(self) -> None:
        """Closes, in a forked child, its copies of the parent's sockets, and no more than them."""
        self._idle = deque()
        for wire in list(self._all):
            wire.close()
        self._all = WeakSet()


def connect(address: Address, settings: Settings, limit: float) -> Wire:
    """Opens a connection, logs in and selects the database.

    Raises:
        RedisError: It could not, within about `limit` seconds.
    """
    return Wire(open_connection(address, settings, limit), limit)


def open_connection(
    address: Address, settings: Settings, limit: float, sentinel: bool = False
) -> Any:
    """Returns redis-py's connection, open; its own retries are off."""
    options: dict[str, Any] = {
        "username": settings.sentinel_username if sentinel else settings.username,
        "password": settings.sentinel_password if sentinel else settings.password,
        "db": 0 if sentinel else settings.db,
        "socket_timeout": limit,
        "socket_connect_timeout": limit,
        "protocol": 2,
    }
    kind: Any
    if address.port == 0:
        kind, options["path"] = UnixDomainSocketConnection, address.host
    else:
        kind = SSLConnection if settings.tls else Connection
        options |= {"host": address.host, "port": address.port}
    if settings.tls:
        options |= {
            "ssl_ca_certs": settings.tls.ca,
            "ssl_certfile": settings.tls.cert,
            "ssl_keyfile": settings.tls.key,
            "ssl_password": settings.tls.word,
            "ssl_cert_reqs": "required" if settings.tls.verify else "none",
            "ssl_check_hostname": settings.tls.verify,
        }
    connection = kind(**options)
    try:
        connection.connect()
    except (AttributeError, ValueError) as error:  # a host name that is none, for one
        raise ConnectionError(f"cannot connect: {error}") from error
    return connection


def _called(command: Command) -> Command:
    script = command[0]
    if isinstance(script, Script):
        return (b"EVALSHA", script.digest, *command[1:])  # as text, redis-py takes it apart
    return command


def _spelled(command: Command) -> Command:
    return ("EVAL", command[0].text, *command[1:])
