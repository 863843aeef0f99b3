"""Connections to one server: redis-py's, one user at a time."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any, Final

from redis import connection as driver
from redis.exceptions import ConnectionError, NoScriptError, RedisError, ResponseError

from ojobchannels.remote import pool
from ojobchannels.remote.options import Address
from ojobchannels_redis.options import Settings
from ojobchannels_redis.scripts import Script
from ojobchannels_redis.wire import Wire

# A connection does not name its driver to the server: servers before 7.2 have no command for it,
# and a restricted user would need a permission for it.
_UNNAMED: Final[dict[str, None]] = (
    {"driver_info": None}
    if "driver_info" in signature(driver.AbstractConnection).parameters
    else {"lib_name": None, "lib_version": None}
)
ERRORS: Final = (RedisError, OSError)
Command = tuple[Any, ...]
"""The name of a command, or a script, and its arguments."""


class Connection:
    """An open connection.

    Attributes:
        raw: The driver's connection.
        asking: Whether to send ASKING first, since another node of the cluster redirected with ASK.
        used_at: When it was given back, in seconds of the monotonic clock.
    """

    __slots__ = ("__weakref__", "_limit", "_wire", "asking", "raw", "used_at")

    def __init__(self, connection: Any) -> None:
        self.raw = connection
        self._wire = Wire(connection)
        self._limit = 0.0
        self.asking = False
        self.used_at = 0.0

    def ask(self, command: Command, limit: float) -> Any:
        """Send a command and return the reply; wait at most `limit` seconds for each part."""
        wire = self._wire
        if limit != self._limit:
            self._set_limit(limit)
        if self.asking:
            self._ask_for_permission()
        wire.send(by_digest(command))
        try:
            return wire.receive()
        except NoScriptError:
            if self.asking:
                self._ask_for_permission()
            wire.send(("EVAL", command[0].text, *command[1:]))
            return wire.receive()

    def ask_all(self, commands: list[Command], limit: float) -> list[Any]:
        """Send all commands at once and return the replies; a ResponseError is returned, too."""
        self._set_limit(limit)
        self._wire.send(*map(by_digest, commands))
        return [self._read() for _ in commands]

    def is_stale(self) -> bool:
        """Return whether the server has closed the connection, or sent something unasked."""
        silent = self._wire.is_silent()
        if silent is not None:
            return not silent
        self._limit = 0.0  # can_read may change the timeout of the socket
        try:
            return bool(self.raw.can_read(0))
        except ERRORS:
            return True

    def ping(self, limit: float) -> None:
        """Have the server reply to PING within `limit` seconds."""
        self.ask(("PING",), limit)

    def close(self) -> None:
        """Close the connection."""
        self.raw.disconnect()

    abandon = close  # sends nothing

    def _ask_for_permission(self) -> None:
        self._wire.send(("ASKING",))
        self._wire.receive()

    def _read(self) -> Any:
        try:
            return self._wire.receive()
        except ResponseError as error:
            return error

    def _set_limit(self, limit: float) -> None:
        self._wire.set_limit(limit)
        self._limit = limit


class Pool(pool.Pool[Any]):
    """Connections to one node.

    Args:
        node: What the node is known by.
        connect: Opens a connection to it within a number of seconds.
        usable_since: As for any pool.

    Attributes:
        node: What the node is known by.
    """

    def __init__(
        self,
        node: Address,
        connect: Callable[[Address, float], Any],
        usable_since: Callable[[], float],
    ) -> None:
        super().__init__(partial(connect, node), ERRORS, usable_since)
        self.node = node


def open_connection(
    address: Address, settings: Settings, limit: float, sentinel: bool = False
) -> Connection:
    """Return an open connection, with the retries of redis-py off."""
    connection = new_connection(driver, address, settings, limit, sentinel)
    try:
        connection.connect()
    except (AttributeError, ValueError) as error:  # such as a host name that is not valid
        raise ConnectionError(f"cannot connect: {error}") from error
    return Connection(connection)


def new_connection(
    driver: Any, address: Address, settings: Settings, limit: float, sentinel: bool = False
) -> Any:
    """Return a connection of redis-py that is not open; `driver` is its module, for either face."""
    options: dict[str, Any] = {
        "username": settings.sentinel_username if sentinel else settings.username,
        "password": settings.sentinel_password if sentinel else settings.password,
        "db": 0 if sentinel else settings.db,
        "socket_timeout": limit,
        "socket_connect_timeout": limit,
        "protocol": 2,
        **_UNNAMED,
    }
    if address.port == 0:
        return driver.UnixDomainSocketConnection(path=address.host, **options)
    options |= {"host": address.host, "port": address.port}
    if settings.tls is None:
        return driver.Connection(**options)
    options |= {
        "ssl_ca_certs": settings.tls.ca,
        "ssl_certfile": settings.tls.cert,
        "ssl_keyfile": settings.tls.key,
        "ssl_password": settings.tls.password,
        "ssl_cert_reqs": "required" if settings.tls.verify else "none",
        "ssl_check_hostname": settings.tls.verify,
    }
    return driver.SSLConnection(**options)


def by_digest(command: Command) -> Command:
    """Return a command, with a script replaced by its digest."""
    script = command[0]
    if isinstance(script, Script):
        return (b"EVALSHA", script.digest, *command[1:])
    return command
