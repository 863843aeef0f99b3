"""Lists in documents of the state channel, which several processes change at the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document
from ojobchannels.errors import OutcomeUnknown
from ojobchannels.hookspecs import ABSENT

_FIELD = "entries"


class Documents(Protocol):
    """A channel, or what remembers its documents."""

    def get(self, key: Document, default: Document = None) -> Any:
        """Return the value of a key, or `default` if the key does not exist."""


def read(state: Documents, key: dict[str, str]) -> list[Any]:
    """Return a list; without a document it is empty."""
    return _entries(state.get(key))


def change(
    state: Channel, key: dict[str, str], changed: Callable[[list[Any]], list[Any]]
) -> list[Any]:
    """Change a list, and return it as it was before.

    A list matches as a whole, so what another process adds meanwhile is not lost.
    """
    while True:
        document = state.get(key, ABSENT)
        present = _entries(document)
        wanted = changed(present)
        if wanted == present:
            return present
        try:
            stored = state.get_set(document, key, {_FIELD: wanted}, default=ABSENT) is not ABSENT
        except OutcomeUnknown:
            stored = read(state, key) == wanted
        if stored:
            return present


def _entries(document: Any) -> list[Any]:
    match document:
        case {"entries": list(entries)}:
            return entries
    return []
