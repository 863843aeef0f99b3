"""Documents in memory, in the order of their last change; a signal handler cuts no change in two.

What changes several entries may be done twice, and is, from the beginning, where an exception of a
handler struck within. The callers keep other threads out.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from ojobchannels.changes import Backlog, Change
from ojobchannels.documents import Document, Key, decode
from ojobchannels.hookspecs import MISSING


class Entry(NamedTuple):
    """The texts of a key, as it was last written, and of its value."""

    key: str
    value: str
    position: int


class Entries(dict[Key, Entry]):
    """The entries of one store, oldest change first.

    Attributes:
        feeds: Told of each change, with texts in place of key and value.
        position: That of the latest change.
    """

    def __init__(self) -> None:
        super().__init__()
        self.feeds: list[Backlog] = []
        self.position = 0
        self._in_order: list[Entry] | None = None

    def in_order(self) -> list[Entry]:
        """Returns all; the list is kept until the next change, for those who read in pages."""
        if self._in_order is None:
            self._in_order = list(self.values())
        return self._in_order

    def page(self, newest_first: bool, after: int | None, limit: int | None) -> Iterable[Entry]:
        """Returns those behind a position, `limit` of them at least, if there are so many."""
        if newest_first and after is None and limit is not None:
            return list(islice(reversed(self.values()), limit))  # of many, a few are wanted most
        entries, position = self.in_order(), attrgetter("position")
        if not newest_first:
            first = bisect_right(entries, after or 0, key=position)
            return map(entries.__getitem__, range(first, len(entries)))
        end = len(entries) if after is None else bisect_left(entries, after, key=position)
        return map(entries.__getitem__, range(end - 1, -1, -1))

    def put(self, texts: Mapping[Key, tuple[str, str]]) -> None:
        """Stores the texts of keys and values, in this order, behind all others."""
        fresh = {}
        for key, (key_text, value_text) in texts.items():
            self.position += 1
            fresh[key] = Entry(key_text, value_text, self.position)

        def put() -> None:
            self._in_order = None
            for key in fresh:
                self.pop(key, None)
            self.update(fresh)
            for entry in fresh.values() if self.feeds else ():  # as a rule nobody listens
                self._tell(Change("set", entry.key, entry.value, entry.position))

        _wholly(put)

    def drop(self, keys: Iterable[Key]) -> int:
        """Removes entries, and returns how many were there."""
        there = {key: self[key] for key in keys if key in self}

        def drop() -> None:
            self._in_order = None
            for key in there:
                self.pop(key, None)
            for entry in there.values():
                self._tell_removed(entry)

        _wholly(drop)
        return len(there)

    def take_last(self) -> Document:
        """Takes out the entry that was changed last and returns its value, or MISSING."""
        return self._take(reversed(self))

    def take_first(self) -> Document:
        """Takes out the entry whose last change is the oldest and returns its value, or MISSING."""
        return self._take(iter(self))

    def _take(self, keys: Iterator[Key]) -> Document:
        key = next(keys, None)
        if key is None:
            return MISSING
        entry = self[key]
        value = decode(entry.value)
        self._in_order = None
        del self[key]
        _wholly(lambda: self._tell_removed(entry))
        return value

    def _tell_removed(self, entry: Entry) -> None:
        if self.feeds:
            self.position += 1
            self._tell(Change("unset", entry.key, "null", self.position))

    def _tell(self, change: Change) -> None:
        for feed in self.feeds:
            feed.add(change)


def _wholly(change: Callable[[], None]) -> None:
    try:
        change()
    except BaseException:
        change()
        raise
