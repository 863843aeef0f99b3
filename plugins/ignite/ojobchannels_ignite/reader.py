"""Reads the entries of a channel in the order of their last change, by SQL.

A result is a snapshot: after the rows their positions are read again, and if these are equal, all
rows existed together at a moment between.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from ojobchannels import remote
from ojobchannels.documents import Document, Item, matches
from ojobchannels.remote import Operation
from ojobchannels_ignite.connection import Connection
from ojobchannels_ignite.errors import Refused, is_missing
from ojobchannels_ignite.requests import Requests
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

    def all(self, operation: Operation) -> list[Row]:
        """Return all entries, oldest change first."""
        ends = time.monotonic() + self._connection.timeout / 2
        while True:
            rows = list(self._read(operation, self._ascending))
            if len(rows) > 1 and len(rows) <= _LARGEST_STABLE and time.monotonic() < ends:
                again = list(self._read(operation, self._prefixes))
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
    ) -> list[Item]:
        """Return at most `limit` entries that match, after a position."""
        query = self._descending if newest_first else self._ascending
        size = min(limit, _PAGE) if match is None else _PAGE

        def read(at: Requests, _: bool) -> list[Item]:
            low, high = self._entries.first, self._entries.last
            if after is not None and newest_first:
                high = self._entries.at(after)
            elif after is not None:
                low = self._entries.at(after + 1)
            found: dict[str, Item] = {}
            while True:
                rows = at.select(query, low, high, size)
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

        return self._connection.call(remote.ITEMS, read)

    def one(self, at: Requests, newest_first: bool) -> tuple[str, Row] | None:
        """Return the key of the row and the entry that was changed last, or first."""
        query = self._descending if newest_first else self._ascending
        for key, text in at.select(query, self._entries.first, self._entries.last, 1):
            return key, self._entries.parse(text)
        return None

    def size(self) -> int:
        """Return the number of entries."""
        bounds = self._entries.first, self._entries.last
        return int(
            self._connection.call(remote.SIZE, lambda at, _: at.select(self._count, *bounds)[0][0])
        )

    def next_position(self, at: Requests) -> int:
        """Return a position after all earlier ones."""
        counter = self._entries.counter
        try:
            return at.add(counter, 1)
        except Refused as error:
            if not is_missing(error):
                raise
        # Where a cluster has lost its data, positions continue to grow with its clock.
        at.create_counter(counter, at.now() * 1000)
        return at.add(counter, 1)

    def last_position(self, operation: Operation) -> int:
        """Return the position of the last change, or 0."""
        found = self._connection.call(operation, lambda at, _: self.one(at, newest_first=True))
        return found[1].position if found else 0

    def marked(self, operation: Operation, until: int) -> Iterator[tuple[str, str]]:
        """Yield the keys of entries that have a mark, up to a position, and their texts."""
        end = self._entries.at(until + 1)
        for row_key, text in self._read(operation, self._marked, end):
            yield row_key[self._entries.key_start :], text

    def remove(self, operation: Operation, until: int) -> None:
        """Remove the entries that have no mark, up to a position."""
        bounds = self._entries.first, self._entries.at(until + 1)
        self._connection.call(operation, lambda at, _: at.run(self._delete, *bounds))

    def _read(
        self, operation: Operation, query: str, last: str | None = None
    ) -> Iterator[tuple[str, str]]:
        low, high = self._entries.first, last or self._entries.last
        while True:
            rows = self._connection.call(operation, _selection(query, low, high))
            yield from rows
            if len(rows) < _PAGE:
                return
            low = self._entries.at(self._entries.position(rows[-1][1]) + 1)


def _selection(query: str, low: str, high: str) -> Callable[[Requests, bool], list[Any]]:
    return lambda at, _: at.select(query, low, high, _PAGE)
