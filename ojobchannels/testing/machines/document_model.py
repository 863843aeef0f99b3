"""A simple model of the documents of a channel.

It does not use the package's own rules of equality and matching, so that it finds errors in them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from copy import deepcopy
from fractions import Fraction
from typing import Any

from ojobchannels.documents import Document
from ojobchannels.hookspecs import ABSENT, MISSING


def identity(document: Document) -> Hashable:
    """Return a value that is equal for two documents exactly if the documents are equal."""
    if isinstance(document, dict):
        return "map", frozenset((field, identity(part)) for field, part in document.items())
    if isinstance(document, list):
        return "list", tuple(identity(part) for part in document)
    if isinstance(document, int | float) and not isinstance(document, bool):
        return "number", Fraction(document)
    return type(document).__name__, document


def fits(match: Document, value: Document) -> bool:
    """Return whether a value matches: maps as subsets, everything else exactly."""
    if isinstance(match, dict):
        return isinstance(value, dict) and all(
            field in value and fits(part, value[field]) for field, part in match.items()
        )
    return identity(match) == identity(value)


def unchanged(before: Document, after: Document) -> bool:
    """Return whether two documents are identical, except for the order of fields."""
    if type(before) is not type(after):
        return False
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(
            unchanged(before[key], after[key]) for key in before
        )
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(unchanged, before, after))
    return repr(before) == repr(after)


def mutate(document: Document) -> None:
    """Change a document in place, to find shared references to it."""
    if isinstance(document, dict):
        for part in document.values():
            mutate(part)
        document["spoiled"] = True
    elif isinstance(document, list):
        for part in document:
            mutate(part)
        document.append("spoiled")


class DocumentModel:
    """Entries in the order of their last change, and the fence mark of each key."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[Document, Document]] = {}
        self._marks: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[Document, Document]]:
        return iter(deepcopy(list(self._entries.values())))

    def get(self, key: Document) -> Document:
        """Return the value, or MISSING."""
        return deepcopy(self._entries.get(identity(key), (None, MISSING))[1])

    def put(self, key: Document, value: Document) -> None:
        """Store an entry at the end of the order."""
        self._entries.pop(identity(key), None)
        self._entries[identity(key)] = deepcopy((key, value))

    def take(self, key: Document) -> bool:
        """Remove an entry; return whether it existed."""
        return self._entries.pop(identity(key), None) is not None

    def take_at(self, end: int) -> Document:
        """Remove and return the first (0) or the last (-1) value, or return MISSING."""
        if not self._entries:
            return MISSING
        return self._entries.pop(list(self._entries)[end])[1]

    def clear(self) -> None:
        """Remove all entries, but not the marks."""
        self._entries.clear()

    def passes(self, key: Document, fence: int | None) -> bool:
        """Return whether a write with that fence is allowed, and mark the key if it is."""
        if fence is None:
            return True
        if fence < self._marks.get(identity(key), fence):
            return False
        self._marks[identity(key)] = fence
        return True

    def compares(self, match: Any, key: Document) -> bool:
        """Return whether the value at `key` matches, as for a compare-and-set."""
        present = self.get(key)
        if match is ABSENT or present is MISSING:
            return match is ABSENT and present is MISSING
        return fits(match, present)

    def matching(self, wanted: Callable[[Document], bool]) -> list[tuple[Document, Document]]:
        """Return the entries whose value satisfies `wanted`."""
        return [entry for entry in self if wanted(entry[1])]
