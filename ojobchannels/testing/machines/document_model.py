"""What a channel's documents have to do, as simply as it can be written.

Nothing here comes from the package's own rules of equality and matching, so that a fault in those
does not hide itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from copy import deepcopy
from fractions import Fraction
from typing import Any

from ojobchannels.documents import Document
from ojobchannels.hookspecs import ABSENT, MISSING


def identity(document: Document) -> Hashable:
    """Returns what two documents have in common exactly when they count as the same."""
    if isinstance(document, dict):
        return "map", frozenset((field, identity(part)) for field, part in document.items())
    if isinstance(document, list):
        return "list", tuple(identity(part) for part in document)
    if isinstance(document, int | float) and not isinstance(document, bool):
        return "number", Fraction(document)
    return type(document).__name__, document


def fits(match: Document, value: Document) -> bool:
    """Tells whether a value matches: maps as subsets, everything else exactly."""
    if isinstance(match, dict):
        return isinstance(value, dict) and all(
            field in value and fits(part, value[field]) for field, part in match.items()
        )
    return identity(match) == identity(value)


def unchanged(one: Document, other: Document) -> bool:
    """Tells whether a document came back as it went in; the order of fields is free."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(unchanged(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(unchanged, one, other))
    return repr(one) == repr(other)


def spoil(document: Document) -> None:
    """Changes a document in place, to find out who else holds it."""
    if isinstance(document, dict):
        for part in document.values():
            spoil(part)
        document["spoilt"] = True
    elif isinstance(document, list):
        for part in document:
            spoil(part)
        document.append("spoilt")


class DocumentModel:
    """Entries in the order of their last change, and the fence that each key was written with."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[Document, Document]] = {}
        self._marks: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[Document, Document]]:
        return iter(deepcopy(list(self._entries.values())))

    def get(self, key: Document) -> Document:
        """Returns the value, or MISSING."""
        return deepcopy(self._entries.get(identity(key), (None, MISSING))[1])

    def put(self, key: Document, value: Document) -> None:
        """Stores, and moves the key to the end."""
        self._entries.pop(identity(key), None)
        self._entries[identity(key)] = deepcopy((key, value))

    def take(self, key: Document) -> bool:
        """Removes; tells whether it was there."""
        return self._entries.pop(identity(key), None) is not None

    def take_at(self, end: int) -> Document:
        """Takes out the first (0) or the last (-1), or answers MISSING."""
        if not self._entries:
            return MISSING
        return self._entries.pop(list(self._entries)[end])[1]

    def clear(self) -> None:
        """Removes everything but the marks."""
        self._entries.clear()

    def passes(self, key: Document, fence: int | None) -> bool:
        """Tells whether a write with that fence passes, and marks the key if so."""
        if fence is None:
            return True
        if fence < self._marks.get(identity(key), fence):
            return False
        self._marks[identity(key)] = fence
        return True

    def compares(self, match: Any, key: Document) -> bool:
        """Tells whether a compare-and-set finds what it wants."""
        present = self.get(key)
        if match is ABSENT or present is MISSING:
            return match is ABSENT and present is MISSING
        return fits(match, present)

    def matching(self, wanted: Callable[[Document], bool]) -> list[tuple[Document, Document]]:
        """Returns the entries whose value is wanted."""
        return [entry for entry in self if wanted(entry[1])]
