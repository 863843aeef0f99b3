"""Reads the rows that match, as a snapshot.

A replica set has snapshot reads. On a standalone server all rows are read, and then their positions
again; if these are equal, all rows existed together at a moment between.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession
from pymongo.cursor import Cursor
from pymongo.errors import OperationFailure

from ojobchannels.documents import Document
from ojobchannels.errors import ChannelUnavailable
from ojobchannels.remote import Operation
from ojobchannels_mongo.codec import FIRST
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.servers import Collections, Row

_PAGE: Final = 20_000
_POSITIONS: Final = {"_id": 0, "o": 1}
_LARGEST_STABLE: Final = 10_000
_SNAPSHOT_GONE: Final = {239, 246}
_SNAPSHOTS: Final = 3
_MOST_CONDITIONS: Final = 100
_LONGEST_TEXT: Final = 1000
_A_MAP: Final = {"$type": "object"}


class _SnapshotGone(Exception):
    """The server has discarded the snapshot, or another one took over that does not have it."""


class Reader:
    """Reads the entries of one channel."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._own: Row = {"c": connection.channel}

    def all(self, operation: Operation, condition: Row, fields: tuple[str, ...]) -> list[Row]:
        """Return these fields of all entries that fulfil the condition, oldest change first."""
        shown: Row = dict.fromkeys(fields, 1)
        if self._connection.server.replicated:
            return self._snapshot(operation, condition, {"_id": 0} | shown)
        return self._stable(operation, condition, {"_id": 1, "o": 1} | shown)

    def _snapshot(self, operation: Operation, condition: Row, shown: Row) -> list[Row]:
        tries = 0
        while True:
            tries += 1
            with self._connection.server.collections().client.start_session(
                snapshot=True
            ) as session:
                try:
                    return self._pages(operation, condition, shown, session)
                except _SnapshotGone as error:
                    if tries == _SNAPSHOTS:
                        raise ChannelUnavailable(
                            self._connection.channel, str(error.__cause__), "try again"
                        ) from error.__cause__

    def _stable(self, operation: Operation, condition: Row, shown: Row) -> list[Row]:
        ends = time.monotonic() + self._connection.timeout / 2
        while True:
            rows = self._pages(operation, condition, shown, None)
            if len(rows) < 2:
                return rows
            if len(rows) > _LARGEST_STABLE or time.monotonic() > ends:
                return _once_each(rows)
            again = self._pages(operation, condition, _POSITIONS, None)
            if [row["o"] for row in rows] == [row["o"] for row in again]:
                return rows

    def _pages(
        self, operation: Operation, condition: Row, shown: Row, session: ClientSession | None
    ) -> list[Row]:
        after = FIRST
        rows: list[Row] = []

        def find(at: Collections, shown: Row) -> Cursor[Row]:
            wanted = self._own | {"o": {"$gt": after}} | condition
            return at.documents.find(wanted, shown, session=session).sort("o", 1)

        def page(at: Collections, _: bool) -> list[Row]:
            with _detecting_loss_of(session):
                return find(at, shown).limit(_PAGE).to_list()

        def end_of_page(at: Collections, _: bool) -> Timestamp:
            with _detecting_loss_of(session):
                last: Timestamp = find(at, _POSITIONS).skip(_PAGE - 1).limit(1).next()["o"]
                return last

        while True:
            more = self._connection.call(operation, page)
            rows += more
            if len(more) < _PAGE:
                return rows
            # Reading all positions, for the last one only, would take as long as the values.
            after = more[-1]["o"] if "o" in shown else self._connection.call(operation, end_of_page)


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
