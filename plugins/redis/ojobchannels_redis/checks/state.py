"""The state of a server, or of one node of a cluster."""

from typing import Any, Final, NamedTuple

from redis.exceptions import NoPermissionError, ReadOnlyError, ResponseError

from ojobchannels_redis.connections import Connection
from ojobchannels_redis.keys import Keys

OLDEST: Final = (6, 2)


class State(NamedTuple):
    """The state of a server.

    Attributes:
        info: The reply to INFO; empty if the user lacks the permission.
        is_read_only: Whether it refuses to write.
        default_may_write: Whether the user `default` has the right to write our documents; None if
            that cannot be seen.
    """

    info: dict[str, str]
    is_read_only: bool
    default_may_write: bool | None

    @property
    def version(self) -> tuple[int, ...]:
        """The version as two numbers; that of the oldest supported server if it is not readable."""
        try:
            return tuple(int(part) for part in self.info.get("redis_version", "").split(".")[:2])
        except ValueError:
            return OLDEST


def read_state(keys: Keys, connection: Connection, limit: float) -> State:
    """Read the state of the server of a connection."""
    connection.ask(("PING",), limit)
    return State(
        _read_info(connection, limit),
        _is_read_only(keys, connection, limit),
        _default_may_write(keys, connection, limit),
    )


def _read_info(connection: Connection, limit: float) -> dict[str, str]:
    try:
        reply: Any = connection.ask(("INFO",), limit)
    except ResponseError:  # the user may lack the permission
        return {}
    rows = (row.partition(":") for row in reply.decode("utf-8", "replace").splitlines())
    return {name: value for name, _, value in rows}


def _is_read_only(keys: Keys, connection: Connection, limit: float) -> bool:
    try:
        connection.ask(("HDEL", keys.values, ""), limit)  # the empty text is the key of no document
    except ReadOnlyError:
        return True
    except ResponseError:  # of another kind, or of a cluster; the first call shows it
        pass
    return False


def _default_may_write(keys: Keys, connection: Connection, limit: float) -> bool | None:
    try:
        reply = connection.ask(("ACL", "DRYRUN", "default", "HDEL", keys.values, ""), limit)
    except NoPermissionError:
        return None
    except ResponseError:  # the server has no such command
        return True
    return bool(reply == b"OK")
