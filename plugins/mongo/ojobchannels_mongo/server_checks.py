"""Looking at a server.

At its first open: its version, whether it is replicated, its indexes. For ``ojob doctor``: its
clock, and what it keeps.
"""

from collections.abc import Iterator
from datetime import UTC
from typing import Any, Final

from ojobchannels.errors import ChannelUnavailable, NotSupported
from ojobchannels.hookspecs import Finding, Health
from ojobchannels.remote import Operation, Rule
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.errors import OLDEST
from ojobchannels_mongo.servers import Collections
from ojobchannels_mongo.statements import EXISTS

_OPEN: Final = Operation("open", Rule.REPEATABLE, "open the channel again")
_HEALTH: Final = Operation("health")
_OLDEST_WIRE_VERSION: Final = 13  # MongoDB 5.0
_DAY: Final = 86_400

_DOCUMENT_INDEXES: Final = [
    {
        "name": "in_order",
        "key": {"c": 1, "o": 1},
        "unique": True,
        "partialFilterExpression": {"o": EXISTS},
    },
    {"name": "broom", "key": {"gone": 1}, "expireAfterSeconds": 60},
]
_LOCK_INDEXES: Final = [
    {"name": "by_channel", "key": {"c": 1}},
    {"name": "broom", "key": {"sweep": 1}, "expireAfterSeconds": _DAY},
]


def check(connection: Connection) -> None:
    """Check that the server can serve, and create its indexes.

    Raises:
        NotSupported: The server is too old.
        ChannelUnavailable: The server cannot be reached, refuses the login, or is not a primary.
    """
    hello = connection.call(_OPEN, _hello)
    refuse_old(connection.channel, hello)
    _refuse_replica(connection.channel, hello)
    connection.server.replicated = "setName" in hello or hello.get("msg") == "isdbgrid"
    connection.call(_OPEN, _create_indexes)


def health(connection: Connection) -> Health:
    """Return the state of the server."""
    hello = connection.call(_HEALTH, _hello)
    build = connection.call(_HEALTH, lambda at, _: at.client.admin.command("buildInfo"))
    wall = round(hello["localTime"].replace(tzinfo=UTC).timestamp() * 1000)
    return Health(f"MongoDB {build['version']}", wall, tuple(_findings(connection)))


def _findings(connection: Connection) -> Iterator[Finding]:
    settings = connection.server.settings
    if not connection.server.replicated:
        text = f"{settings} is not a replica set: a single server that fails stops all jobs"
        advice = "start it as a replica set; then waiters are woken by change streams, too"
        yield Finding(text, advice, is_problem=False)


def refuse_old(channel: str, hello: dict[str, Any]) -> None:
    """Raise NotSupported for a server that lacks what the statements need."""
    if hello.get("maxWireVersion", 0) < _OLDEST_WIRE_VERSION:
        raise NotSupported(
            channel, f"a MongoDB server before {OLDEST}", f"use MongoDB {OLDEST} or later"
        )


def _refuse_replica(channel: str, hello: dict[str, Any]) -> None:
    """Raise ChannelUnavailable for a member that does not accept writes.

    The driver reports one only where the URL asks for a direct connection; otherwise it finds the
    primary.
    """
    if not hello.get("isWritablePrimary", True):
        reason = f"{hello.get('me', 'the server')} is a replica that accepts no writes"
        primary = f" ({hello['primary']})" if "primary" in hello else ""
        advice = f"connect to its primary{primary}, or name the replica set in the URL: replicaSet="
        raise ChannelUnavailable(channel, reason, f"{advice}{hello.get('setName', 'NAME')}")


def _hello(at: Collections, _: bool) -> dict[str, Any]:
    return at.client.admin.command("hello")


def _create_indexes(at: Collections, _: bool) -> None:
    for collection, indexes in ((at.documents, _DOCUMENT_INDEXES), (at.locks, _LOCK_INDEXES)):
        at.database.command({"createIndexes": collection.name, "indexes": indexes})
