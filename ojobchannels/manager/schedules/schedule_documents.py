"""The schedules of a daemon, in documents of bounded size: storages limit that of a document.

The first document has the schedules that fit into it, and the numbers of the further ones. Those
are written before it and never changed, and what they replace is kept for a while: a reader sees
the schedules as they were before a change or after it, also when the daemon is killed meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from math import inf
from typing import Any, Final, NamedTuple

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document, encode
from ojobchannels.manager.schedules.lists import Documents
from ojobchannels.manager.schedules.published import SCHEDULES, Published, part_key

_LONGEST_TEXT: Final = 100_000
"""The most characters of the schedules in one document, unless it has only one."""

_KEPT_SECONDS: Final = 30.0
"""How long a replaced document is kept for readers of an earlier first document."""

_MORE: Final = "more"
_REPLACED: Final = "replaced"
_NEXT: Final = "next"


class _Part(NamedTuple):
    """Schedules that fit into one document.

    Attributes:
        documents: Their documents.
        digest: A hash of them.
    """

    documents: list[dict[str, Any]]
    digest: bytes


class ScheduleDocuments:
    """Writes the schedules of a daemon.

    Args:
        state: The state channel.
        daemon: The identifier of the daemon.
    """

    def __init__(self, state: Channel, daemon: str) -> None:
        self._state = state
        self._daemon = daemon
        self._present: dict[bytes, int] = {}
        self._stored: dict[int, float] = {}  # since when no first document names a number
        self._next = 1

    def write(self, schedules: Iterable[Published]) -> None:
        """Write them; a further document that has not changed is not written again."""
        parts = _parts(schedules)
        first = next(parts, _Part([], b""))
        present, following = dict[bytes, int](), self._next
        for part in parts:
            number = self._present.get(part.digest)
            if number is None:
                self._state.set(_key(self._daemon, following), {SCHEDULES: part.documents})
                number, following = following, following + 1
            present[part.digest] = number
        self._note_replaced(range(self._next, following), present)
        self._next = following  # a first document that is stored without a reply names the others
        self._state.set(part_key(self._daemon, SCHEDULES), self._first(first, present))
        self._present = present

    def write_all(self, schedules: Iterable[Published]) -> None:
        """Write all documents: others may have removed them."""
        self._present = {}
        self.write(schedules)

    def remove_replaced(self) -> None:
        """Remove the documents that no reader needs any more."""
        if self._next == 1:
            return
        before = time.monotonic() - _KEPT_SECONDS
        present = set(self._present.values())
        for number in [each for each, since in self._stored.items() if since <= before]:
            if number not in present:
                self._state.unset(_key(self._daemon, number))
                del self._stored[number]

    def _note_replaced(self, written: Iterable[int], present: Mapping[bytes, int]) -> None:
        now, named = time.monotonic(), set(present.values())
        self._stored.update(dict.fromkeys(written, inf))
        for number, since in self._stored.items():
            self._stored[number] = inf if number in named else min(since, now)

    def _first(self, part: _Part, present: dict[bytes, int]) -> Document:
        document: dict[str, Any] = {SCHEDULES: part.documents}
        if self._next > 1:
            further = list(present.values())
            replaced = sorted(self._stored.keys() - set(further))
            document |= {_MORE: further, _REPLACED: replaced, _NEXT: self._next}
        return document


def read(state: Documents, daemon: str) -> list[Published]:
    """Return the schedules that a daemon has written."""
    first = state.get(part_key(daemon, SCHEDULES))
    while True:
        further = [state.get(_key(daemon, number)) for number in _numbers(first, _MORE)]
        latest = state.get(part_key(daemon, SCHEDULES)) if None in further else first
        if latest == first:
            return [published for part in (first, *further) for published in _schedules(part)]
        first = latest


def remove(state: Channel, daemon: str) -> None:
    """Remove all that a daemon has written of its schedules, also what it did not finish."""
    first = state.get(part_key(daemon, SCHEDULES))
    for number in (*_numbers(first, _MORE), *_numbers(first, _REPLACED)):
        state.unset(_key(daemon, number))
    following = first.get(_NEXT) if isinstance(first, dict) else None
    unfinished = end = following if isinstance(following, int) else 1
    while state.get(_key(daemon, end)) is not None:
        end += 1
    for number in reversed(range(unfinished, end)):  # if this is killed, the rest has no gap
        state.unset(_key(daemon, number))
    state.unset(part_key(daemon, SCHEDULES))


def _parts(schedules: Iterable[Published]) -> Iterator[_Part]:
    """Yield the documents of schedules, in parts that are not too large."""
    documents: list[dict[str, Any]] = []
    length, digest = 0, sha256()
    for schedule in schedules:
        document = schedule.document
        text = encode(document)
        if documents and length + len(text) > _LONGEST_TEXT:
            yield _Part(documents, digest.digest())
            documents, length, digest = [], 0, sha256()
        documents.append(document)
        length += len(text)
        digest.update(text.encode("utf-8", "surrogatepass"))
    if documents:
        yield _Part(documents, digest.digest())


def _schedules(part: Document) -> Iterator[Published]:
    match part:
        case {"schedules": list(documents)}:
            yield from (found for each in documents if (found := Published.of(each)) is not None)


def _numbers(first: Document, field: str) -> list[int]:
    numbers = first.get(field) if isinstance(first, dict) else None
    if not isinstance(numbers, list):
        return []
    return [each for each in numbers if isinstance(each, int)]


def _key(daemon: str, number: int) -> dict[str, Any]:
    return {**part_key(daemon, SCHEDULES), "number": number}
