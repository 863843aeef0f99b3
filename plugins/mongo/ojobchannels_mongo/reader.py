"""Reads the rows that match, as a snapshot.

A replica set has snapshot reads. On a standalone server all rows are read, and then their positions
again; if these are equal, all rows existed together at a moment between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Any, Final, TypeVar

from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession
from pymongo.cursor import Cursor
from pymongo.errors import OperationFailure

from ojobchannels import remote
from ojobchannels.documents import Document, Item, indexed_text, is_below
from ojobchannels.errors import ChannelUnavailable
from ojobchannels.remote import Operation
from ojobchannels.steps import Steps, one
from ojobchannels_mongo.codec import FIRST, ids_of, items_of, value_of
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.servers import Collections, Row
from ojobchannels_mongo.statements import EXISTS

_T = TypeVar("_T")
_PAGE: Final = 20_000
_POSITIONS: Final = {"_id": 0, "o": 1}
_LARGEST_STABLE: Final = 10_000
_SNAPSHOT_GONE: Final = {239, 246}
_SNAPSHOTS: Final = 3
_MOST_CONDITIONS: Final = 100
_LONGEST_TEXT: Final = 1000
_A_MAP: Final = {"$type": "object"}
_INDEX: Final = Operation("index")
_SECONDS: Final = 300.0  # for a large collection; it is done once
_NOT_ALLOWED: Final = 13


class _SnapshotGone(Exception):
    """The server has discarded the snapshot, or another one took over that does not have it."""


class Reader:
    """Reads the entries of one channel."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._own: Row = {"c": connection.channel}

    def reading(
        self, operation: Operation, condition: Row, fields: tuple[str, ...]
    ) -> Steps[list[Row]]:
        """Return these fields of all entries that fulfil the condition, oldest change first."""
        shown: Row = dict.fromkeys(fields, 1)
        if self._connection.server.replicated:
            pages = partial(self._pages, operation, condition, {"_id": 0} | shown)
            return self._in_snapshot(pages)
        return self._stable(operation, condition, {"_id": 1, "o": 1} | shown)

    def counting(self) -> Steps[int]:
        """Return the number of entries.

        Outside of a snapshot, a count in the order of change counts an entry twice that moves to
        the end meanwhile. Its `_id` stays where it is.
        """
        if self._connection.server.replicated:
            return self._in_snapshot(partial(self._count, self._own | {"o": {"$gt": FIRST}}))
        return self._count({"_id": ids_of(self._connection.channel), "o": EXISTS}, None)

    def _count(self, wanted: Row, session: ClientSession | None) -> Steps[int]:
        def count(at: Collections, _: bool) -> Steps[int]:
            pipeline: list[Row] = [{"$match": wanted}, {"$count": "n"}]
            with _detecting_loss_of(session):
                cursor = yield partial(at.documents.aggregate, pipeline, session=session)
                rows: list[dict[str, int]] = yield cursor.to_list
            return rows[0]["n"] if rows else 0

        return self._connection.calling(remote.SIZE, count)

    def _in_snapshot(self, read: Callable[[ClientSession], Steps[_T]]) -> Steps[_T]:
        tries = 0
        while True:
            tries += 1
            session = self._connection.collections().client.start_session(snapshot=True)
            reading: Steps[_T] = one(partial(self._connection.within, session, read))
            try:
                return (yield from reading)
            except _SnapshotGone as error:
                if tries == _SNAPSHOTS:
                    raise ChannelUnavailable(
                        self._connection.channel, str(error.__cause__), "try again"
                    ) from error.__cause__

    def _stable(self, operation: Operation, condition: Row, shown: Row) -> Steps[list[Row]]:
        ends = time.monotonic() + self._connection.timeout / 2
        while True:
            rows = yield from self._pages(operation, condition, shown, None)
            if len(rows) < 2:
                return rows
            if len(rows) > _LARGEST_STABLE or time.monotonic() > ends:
                return _once_each(rows)
            again = yield from self._pages(operation, condition, _POSITIONS, None)
            if [row["o"] for row in rows] == [row["o"] for row in again]:
                return rows

    def _pages(
        self, operation: Operation, condition: Row, shown: Row, session: ClientSession | None
    ) -> Steps[list[Row]]:
        after = FIRST
        rows: list[Row] = []

        def find(at: Collections, shown: Row) -> Cursor[Row]:
            wanted = self._own | {"o": {"$gt": after}} | condition
            return at.documents.find(wanted, shown, session=session).sort("o", 1)

        def page(at: Collections, _: bool) -> Steps[list[Row]]:
            with _detecting_loss_of(session):
                found: list[Row] = yield find(at, shown).limit(_PAGE).to_list
                return found

        def end_of_page(at: Collections, _: bool) -> Steps[Timestamp]:
            with _detecting_loss_of(session):
                (row,) = yield find(at, _POSITIONS).skip(_PAGE - 1).limit(1).to_list
                last: Timestamp = row["o"]
                return last

        while True:
            more = yield from self._connection.calling(operation, page)
            rows += more
            if len(more) < _PAGE:
                return rows
            # Reading all positions, for the last one only, would take as long as the values.
            if "o" in shown:
                after = more[-1]["o"]
            else:
                after = yield from self._connection.calling(operation, end_of_page)


@contextmanager
def _detecting_loss_of(session: ClientSession | None) -> Iterator[None]:
    try:
        yield
    except OperationFailure as error:
        if session is not None and error.code in _SNAPSHOT_GONE:
            raise _SnapshotGone from error
        raise


def _once_each(rows: list[Row]) -> list[Row]:
    """Return the last row of each entry: an entry that changed meanwhile was read twice."""
    last: dict[str, Row] = {}
    for row in rows:
        last.pop(row["_id"], None)
        last[row["_id"]] = row
    return list(last.values())


def reading_first(rows: Cursor[Row], limit: int, fits: Callable[[Row], bool]) -> Steps[list[Item]]:
    """Read the entries that fit, until there are enough, and return them."""
    found: dict[str, Row] = {}
    while len(found) < limit and (batch := (yield partial(rows.to_list, max(limit, 2)))):
        for row in filter(fits, batch):
            found.pop(row["_id"], None)  # it changed meanwhile
            found[row["_id"]] = row
            if len(found) == limit:
                break
    return items_of(list(found.values()))


def filter_for(match: Document) -> dict[str, Any]:
    """Return a filter on rows that selects all values that match; an empty one for None.

    It may select more, and `ojobchannels.documents.matches` decides: the server also matches a
    scalar inside a list, treats a missing field as null, and compares maps by the order of their
    fields.
    """
    if match is None:
        return {}
    conditions: list[dict[str, Any]] = []
    _collect("v", match, conditions)
    # The server cannot look into a value that is stored as JSON text.
    return {"$or": [{"$and": conditions[:_MOST_CONDITIONS]}, {"j": {"$exists": True}}]}


def _collect(path: str, match: Document, conditions: list[dict[str, Any]]) -> None:
    if isinstance(match, dict):
        reachable = [field for field in match if _is_reachable(field)]
        if len(reachable) < len(match) or not match:
            conditions.append({path: _A_MAP})
        for field in reachable:
            _collect(f"{path}.{field}", match[field], conditions)
    elif isinstance(match, list):
        conditions.append({path: {"$size": len(match)}})
    elif isinstance(match, str) and len(match) > _LONGEST_TEXT:
        conditions.append({path: {"$type": "string"}})
    else:
        conditions.append({path: {"$eq": match}})


def _is_reachable(field: str) -> bool:
    return bool(field) and "." not in field and not field.startswith("$")


class FieldIndexes:
    """Indexes on fields of the values of one channel, for reads with a match.

    They are partial indexes of the server, which programs of every version keep.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._fields: tuple[str, ...] = ()

    def creating(self, fields: tuple[str, ...]) -> Steps[bool]:
        """Create what is missing; return whether all exist."""
        if not (yield from self._preparing(fields)):
            return False
        self._fields = tuple(dict.fromkeys((*fields, *self._fields)))
        return True

    def reading_below(self, field: str, bound: int, limit: int) -> Steps[list[Item] | None]:
        """Return items with a number below `bound`; None if the index may not be created."""
        if not (yield from self._preparing((field,))):
            return None
        own = {"c": self._connection.channel, "o": {"$gt": FIRST}}
        wanted = {"$or": [own | {f"v.{field}": {"$lt": bound}}, own | {"j": EXISTS}]}
        fields = {"k": 1, "v": 1, "j": 1, "o": 1}

        def find(at: Collections, _: bool) -> Steps[list[Item]]:
            rows = at.documents.find(wanted, fields, batch_size=max(limit, 2))
            return one(partial(self._connection.within, rows, first))

        first = partial(
            reading_first, limit=limit, fits=lambda row: is_below(value_of(row), field, bound)
        )
        return (yield from self._connection.calling(remote.ITEMS, find))

    def _preparing(self, fields: tuple[str, ...]) -> Steps[bool]:
        def create(at: Collections, _: bool) -> Steps[bool]:
            indexes = [*map(self._by_field, fields), self._of_texts()]
            command = {"createIndexes": at.documents.name, "indexes": indexes}
            try:
                yield partial(at.database.command, command)
            except OperationFailure as error:
                if error.code == _NOT_ALLOWED:
                    return False
                raise
            return True

        return self._connection.calling(_INDEX, create, _SECONDS)

    def filter(self, own: dict[str, Any], match: Document) -> dict[str, Any] | None:
        """Return the filter that selects by an index; None if none helps.

        Args:
            own: The filter that selects the channel, and a part of the order.
            match: What the values must match.
        """
        found = indexed_text(match, self._fields)
        if found is None:
            return None
        field, text = found
        # The server reads both in order, and merges them.
        return {"$or": [own | {f"v.{field}": {"$eq": text}}, own | {"j": EXISTS}]}

    def _by_field(self, field: str) -> dict[str, Any]:
        own = {"c": self._connection.channel}
        key = {"c": 1, f"v.{field}": 1, "o": 1}
        return {"name": self._name(field), "key": key, "partialFilterExpression": own}

    def _of_texts(self) -> dict[str, Any]:
        """Return the index of values that are stored as JSON text."""
        own = {"c": self._connection.channel, "j": EXISTS}
        key = {"c": 1, "o": 1}
        return {"name": self._name("text"), "key": key, "partialFilterExpression": own}

    def _name(self, field: str) -> str:
        return f"by_{field}_{sha256(self._connection.channel.encode()).hexdigest()[:20]}"
