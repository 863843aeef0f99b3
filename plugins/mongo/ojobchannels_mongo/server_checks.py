"""The first look at a server: whether it can serve, what it offers, and its indexes."""

from __future__ import annotations

from typing import Any, Final

from ojobchannels.errors import NotSupported
from ojobchannels_mongo.connection import Line
from ojobchannels_mongo.errors import OLDEST, Operation, Rule
from ojobchannels_mongo.servers import Link
from ojobchannels_mongo.statements import THERE

_OPEN: Final = Operation("open", Rule.REPEATABLE, "open the channel again")
_OLDEST_WIRE_VERSION: Final = 13  # MongoDB 5.0
_DAY: Final = 86_400

_DOCUMENT_INDEXES: Final = [
    {
        "name": "in_order",
        "key": {"c": 1, "o": 1},
        "unique": True,
        "partialFilterExpression": {"o": THERE},
    },
    {"name": "broom", "key": {"gone": 1}, "expireAfterSeconds": 60},
]
_LOCK_INDEXES: Final = [
    {"name": "by_channel", "key": {"c": 1}},
    {"name": "broom", "key": {"sweep": 1}, "expireAfterSeconds": _DAY},
]


def check(line: Line) -> None:
    """Looks at the server once for all handles that share it.

    Raises:
        NotSupported: It is too old.
        ChannelUnavailable: It cannot be reached, or refuses the login.
    """
    if not line.server.checked:
        hello = line.call(_OPEN, _greet)
        refuse_old(line.channel, hello)
        line.server.replicated = "setName" in hello or hello.get("msg") == "isdbgrid"
        line.call(_OPEN, _make_indexes)
        line.server.checked = True


def refuse_old(channel: str, hello: dict[str, Any]) -> None:
    """Raises NotSupported for a server that lacks what the statements need."""
    if hello.get("maxWireVersion", 0) < _OLDEST_WIRE_VERSION:
        raise NotSupported(
            channel, f"a MongoDB server before {OLDEST}", f"use MongoDB {OLDEST} or later"
        )


def _greet(link: Link, _: bool) -> dict[str, Any]:
    return link.client.admin.command("hello")


def _make_indexes(link: Link, _: bool) -> None:
    for collection, indexes in (
        (link.documents, _DOCUMENT_INDEXES),
        (link.locks, _LOCK_INDEXES),
    ):
        link.database.command({"createIndexes": collection.name, "indexes": indexes})
