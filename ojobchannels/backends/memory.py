"""Documents in memory, in the order of their last change; a signal handler cuts no change in two.

What changes several entries may be done twice, and is, from the beginning, where an exception of a
handler struck within. The callers keep other threads out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from ojobchannels.documents import Document, Key, decode
from ojobchannels.hookspecs import MISSING


class Entry(NamedTuple):
    """The texts of a key, as it was last written, and of its value."""

    key: str
    value: str
    position: int


class Entries(dict[Key, Entry]):
    """The entries of one store, oldest change first."""

    def __init__(self) -> None:
        super().__init__()
        self._position = 0

    def put(self, texts: Mapping[Key, tuple[str, str]]) -> None:
        """Stores the texts of keys and values, in this order, behind all others."""
        fresh = {}
        for key, (key_text, value_text) in texts.items():
            self._position += 1
            fresh[key] = Entry(key_text, value_text, self._position)

        def put() -> None:
            self._drop(fresh)
            self.update(fresh)

        _wholly(put)

    def drop(self, keys: Iterable[Key]) -> int:
        """Removes entries, and returns how many were there."""
        there = self.keys() & set(keys)
        _wholly(lambda: self._drop(there))
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
        value = decode(self[key].value)
        del self[key]
        return value

    def _drop(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.pop(key, None)


def _wholly(change: Callable[[], None]) -> None:
    try:
        change()
    except BaseException:
        change()
        raise
