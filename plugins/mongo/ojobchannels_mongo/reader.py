"""Many rows at once, as they stood together.

A replica set reads snapshots. A server alone does not: there everything is read, and then once more
what stands where; if that is the same, all of it stood there at one moment between.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession
from pymongo.cursor import Cursor
from pymongo.errors import OperationFailure

from ojobchannels.errors import ChannelUnavailable
from ojobchannels_mongo.codec import FIRST
from ojobchannels_mongo.connection import Line
from ojobchannels_mongo.errors import Operation
from ojobchannels_mongo.servers import Link, Row

_PAGE: Final = 20_000
_PLACES: Final = {"_id": 0, "o": 1}
_STEADY: Final = 10_000
_SNAPSHOT_GONE: Final = {239, 246}
_SNAPSHOTS: Final = 3


class _SnapshotGone(Exception):
    """The server has given up the snapshot, or another one has taken over that has not got it."""


class Reader:
    """Reads the entries of one channel."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._mine: Row = {"c": line.channel}

    def all(self, operation: Operation, condition: Row, fields: tuple[str, ...]) -> list[Row]:
        """Returns these fields of all entries that fulfil the condition, oldest change first."""
        shown: Row = dict.fromkeys(fields, 1)
        if self._line.server.replicated:
            return self._snapshot(operation, condition, {"_id": 0} | shown)
        return self._steady(operation, condition, {"_id": 1, "o": 1} | shown)

    def _snapshot(self, operation: Operation, condition: Row, shown: Row) -> list[Row]:
        tries = 0
        while True:
            tries += 1
            with self._line.server.link().client.start_session(snapshot=True) as session:
                try:
                    return self._pages(operation, condition, shown, session)
                except _SnapshotGone as gone:
                    if tries == _SNAPSHOTS:
                        raise ChannelUnavailable(
                            self._line.channel, str(gone.__cause__), "try again"
                        ) from gone.__cause__

    def _steady(self, operation: Operation, condition: Row, shown: Row) -> list[Row]:
        ends = time.monotonic() + self._line.timeout / 2
        while True:
            rows = self._pages(operation, condition, shown, None)
            if len(rows) < 2:
                return rows
            if len(rows) > _STEADY or time.monotonic() > ends:
                return _once_each(rows)
            again = self._pages(operation, condition, _PLACES, None)
            if [row["o"] for row in rows] == [row["o"] for row in again]:
                return rows

    def _pages(
        self, operation: Operation, condition: Row, shown: Row, session: ClientSession | None
    ) -> list[Row]:
        after = FIRST
        rows: list[Row] = []

        def find(link: Link, shown: Row) -> Cursor[Row]:
            wanted = self._mine | {"o": {"$gt": after}} | condition
            return link.documents.find(wanted, shown, session=session).sort("o", 1)

        def page(link: Link, _: bool) -> list[Row]:
            with _noticing_loss_of(session):
                return find(link, shown).limit(_PAGE).to_list()

        def end_of_page(link: Link, _: bool) -> Timestamp:
            with _noticing_loss_of(session):
                last: Timestamp = find(link, _PLACES).skip(_PAGE - 1).limit(1).next()["o"]
                return last

        while True:
            more = self._line.call(operation, page)
            rows += more
            if len(more) < _PAGE:
                return rows
            # To read the place of every row, for the sake of the last, takes as long as the values.
            after = more[-1]["o"] if "o" in shown else self._line.call(operation, end_of_page)


@contextmanager
def _noticing_loss_of(session: ClientSession | None) -> Iterator[None]:
    try:
        yield
    except OperationFailure as error:
        if session is not None and error.code in _SNAPSHOT_GONE:
            raise _SnapshotGone from error
        raise


def _once_each(rows: list[Row]) -> list[Row]:
    """Returns the last of the rows of each entry: one that changed meanwhile was met twice."""
    last: dict[str, Row] = {}
    for row in rows:
        last.pop(row["_id"], None)
        last[row["_id"]] = row
    return list(last.values())
