"""Documents in memory, in the order of their last change; no change is ever half done.

A signal handler may raise in the middle of a change of several entries. Such a change is therefore
idempotent, and is then executed once more from the beginning. The callers exclude other threads.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from ojobchannels.changes import Backlog, Change
from ojobchannels.documents import Document, Key, decode
from ojobchannels.hookspecs import MISSING


class Entry(NamedTuple):
    """The JSON texts of a key, as it was last written, and of its value."""

    key: str
    value: str
    position: int


class Entries(dict[str, Entry]):
    """The entries of one store, oldest change first; `feeds` get each change as JSON texts."""

    def __init__(self) -> None:
        super().__init__()
        self.feeds: list[Backlog] = []
        self.position = 0
        self._in_order: list[Entry] | None = None

    def in_order(self) -> list[Entry]:
        """Return all entries; the list is cached until the next change, for reading in pages."""
        if self._in_order is None:
            self._in_order = list(self.values())
        return self._in_order

    def page(self, newest_first: bool, after: int | None, limit: int | None) -> Iterable[Entry]:
        """Return the entries after a position, at least `limit` of them if there are as many."""
        if newest_first and after is None and limit is not None:
            return list(
                islice(reversed(self.values()), limit)
            )  # usually a few of many entries are wanted
        entries, position = self.in_order(), attrgetter("position")
        if not newest_first:
            first = bisect_right(entries, after or 0, key=position)
            return map(entries.__getitem__, range(first, len(entries)))
        end = len(entries) if after is None else bisect_left(entries, after, key=position)
        return map(entries.__getitem__, range(end - 1, -1, -1))

    def put(self, texts: Mapping[Key, tuple[str, str]]) -> None:
        """Store the texts of keys and values, in this order, after all other entries."""
        new: dict[str, Entry] = {}
        for key, (key_text, value_text) in texts.items():
            self.position += 1
            # As plain text: each collection of garbage would walk the document of a Key.
            new[str(key)] = Entry(key_text, value_text, self.position)

        def put() -> None:
            self._in_order = None
            for key in new:
                self.pop(key, None)
            self.update(new)
            for entry in new.values() if self.feeds else ():  # usually there are none
                self._notify(Change("set", entry.key, entry.value, entry.position))

        _completely(put)

    def drop(self, keys: Iterable[str]) -> int:
        """Remove entries, and return how many existed."""
        existing = {key: self[key] for key in keys if key in self}

        def drop() -> None:
            self._in_order = None
            for key in existing:
                self.pop(key, None)
            for entry in existing.values():
                self._notify_removed(entry)

        _completely(drop)
        return len(existing)

    def take(self, newest: bool) -> Document:
        """Remove the entry whose change is the newest or oldest; return its value, or MISSING."""
        key = next(reversed(self) if newest else iter(self), None)
        if key is None:
            return MISSING
        entry = self[key]
        value = decode(entry.value)
        self._in_order = None
        del self[key]
        _completely(lambda: self._notify_removed(entry))
        return value

    def _notify_removed(self, entry: Entry) -> None:
        if self.feeds:
            self.position += 1
            self._notify(Change("unset", entry.key, "null", self.position))

    def _notify(self, change: Change) -> None:
        for feed in self.feeds:
            feed.add(change)


def _completely(change: Callable[[], None]) -> None:
    try:
        change()
    except BaseException:
        change()
        raise
