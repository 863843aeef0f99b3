"""Reads the entries of a channel in the order of their last change, by SQL.

A result is a snapshot: after the rows their positions are read again, and if these are equal, all
rows existed together at a moment between.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from ojobchannels import remote
from ojobchannels.documents import Document, Item, matches
from ojobchannels.remote import Operation
from ojobchannels.steps import Steps
from ojobchannels_ignite.connection import Connection
from ojobchannels_ignite.errors import Refused, is_missing
from ojobchannels_ignite.protocol.requests import Requests
from ojobchannels_ignite.rows import Entries, Row

TABLE: Final = "ENTRIES"
_PAGE: Final = 500
_LARGEST_STABLE: Final = 10_000


def table_of(connection: Connection) -> str:
    """Return the name of the table of the cache in SQL; the name of the cache was checked."""
    return f'"{connection.cluster.settings.cache}".{TABLE}'


class Reader:
    """Reads the entries of one channel."""

    def __init__(self, connection: Connection, entries: Entries) -> None:
        self._connection = connection
        self._entries = entries
        table = table_of(connection)
        within = f"FROM {table} WHERE V > ? AND V < ?"
        sign = f"SUBSTRING(V, {entries.mark_offset}, 1) = 'm'"
        self._ascending = f"SELECT K, V {within} ORDER BY V LIMIT ?"
        self._descending = f"SELECT K, V {within} ORDER BY V DESC LIMIT ?"
        self._prefixes = (
            f"SELECT K, SUBSTRING(V, 1, {entries.mark_offset - 1}) {within} ORDER BY V LIMIT ?"
        )
        self._count = f"SELECT COUNT(*) {within}"
        self._marked = f"SELECT K, V {within} AND {sign} ORDER BY V LIMIT ?"
        self._delete = f"DELETE {within} AND NOT {sign}"

    def all(self, operation: Operation) -> Steps[list[Row]]:
        """Return all entries, oldest change first."""
        ends = time.monotonic() + self._connection.timeout / 2
        while True:
            rows = yield from self._read(operation, self._ascending)
            if len(rows) > 1 and len(rows) <= _LARGEST_STABLE and time.monotonic() < ends:
                again = yield from self._read(operation, self._prefixes)
                if [(key, self._entries.position(text)) for key, text in rows] != [
                    (key, self._entries.position(text)) for key, text in again
                ]:
                    continue
            last: dict[str, str] = {}
            for key, text in rows:  # an entry that changed meanwhile was read twice
                last.pop(key, None)
                last[key] = text
            return [self._entries.parse(text) for text in last.values()]

    def page(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> Steps[list[Item]]:
        """Return at most `limit` entries that match, after a position."""
        query = self._descending if newest_first else self._ascending
        size = min(limit, _PAGE) if match is None else _PAGE

        def read(at: Requests, _: bool) -> Steps[list[Item]]:
            low, high = self._entries.first, self._entries.last
            if after is not None and newest_first:
                high = self._entries.at(after)
            elif after is not None:
                low = self._entries.at(after + 1)
            found: dict[str, Item] = {}
            while True:
                rows = yield from at.select(query, low, high, size)
                for key, text in rows:
                    item = self._entries.item(text)
                    if match is None or matches(match, item[1]):
                        found.pop(key, None)  # it changed meanwhile
                        found[key] = item
                        if len(found) == limit:
                            return list(found.values())
                if len(rows) < size:
                    return list(found.values())
                low, high = (low, rows[-1][1]) if newest_first else (rows[-1][1], high)

        return self._connection.calling(remote.ITEMS, read)

    def one(self, at: Requests, newest_first: bool) -> Steps[tuple[str, Row] | None]:
        """Return the key of the row and the entry that was changed last, or first."""
        query = self._descending if newest_first else self._ascending
        rows = yield from at.select(query, self._entries.first, self._entries.last, 1)
        return (rows[0][0], self._entries.parse(rows[0][1])) if rows else None

    def size(self) -> Steps[int]:
        """Return the number of entries."""
        bounds = self._entries.first, self._entries.last
        rows = yield from self._connection.calling(
            remote.SIZE, lambda at, _: at.select(self._count, *bounds)
        )
        return int(rows[0][0])

    def next_position(self, at: Requests) -> Steps[int]:
        """Return a position after all earlier ones."""
        counter = self._entries.counter
        try:
            return (yield from at.add(counter, 1))
        except Refused as error:
            if not is_missing(error):
                raise
        # Where a cluster has lost its data, positions continue to grow with its clock.
        yield from at.create_counter(counter, (yield from at.now()) * 1000)
        return (yield from at.add(counter, 1))

    def last_position(self, operation: Operation) -> Steps[int]:
        """Return the position of the last change, or 0."""
        found = yield from self._connection.calling(
            operation, lambda at, _: self.one(at, newest_first=True)
        )
        return found[1].position if found else 0

    def marked(self, operation: Operation, until: int) -> Steps[list[str]]:
        """Return the keys of the entries that have a mark, up to a position."""
        rows = yield from self._read(operation, self._marked, self._entries.at(until + 1))
        return [row_key[self._entries.key_start :] for row_key, _ in rows]

    def remove(self, operation: Operation, until: int) -> Steps[None]:
        """Remove the entries that have no mark, up to a position."""
        bounds = self._entries.first, self._entries.at(until + 1)
        return self._connection.calling(operation, lambda at, _: at.run(self._delete, *bounds))

    def _read(
        self, operation: Operation, query: str, last: str | None = None
    ) -> Steps[list[tuple[str, str]]]:
        low, high = self._entries.first, last or self._entries.last
        found: list[tuple[str, str]] = []
        while True:
            rows = yield from self._connection.calling(operation, _selection(query, low, high))
            found += rows
            if len(rows) < _PAGE:
                return found
            low = self._entries.at(self._entries.position(rows[-1][1]) + 1)


def _selection(query: str, low: str, high: str) -> Callable[[Requests, bool], Steps[list[Any]]]:
    return lambda at, _: at.select(query, low, high, _PAGE)
