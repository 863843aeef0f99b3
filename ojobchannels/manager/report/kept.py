"""The sums that are kept in the state channel, so that a report reads only what has changed.

The entries up to a position are summed up once. No entry can come into that part of the order,
since every change moves its entry to the end; but entries leave it, when they are changed or
removed. So the sums are right as long as the storage counts as many entries there as were summed
up. If it does not, whatever the reason, they are made again from all entries. Entries of which a
change is expected, such as those of running runs, are not in the sums, but noted by their keys.
"""

from __future__ import annotations

import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document, Item, check_key
from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import MISSING
from ojobchannels.manager import records
from ojobchannels.manager.records import Record
from ojobchannels.manager.report.totals import Totals

_NOT_YET: Final = 64  # storages may show changes that happen at the same time in another order
_CHANGES_BEFORE_SAVE: Final = 256
_ATTEMPTS: Final = 3  # an entry may change during one; the last one reads everything
_MOST_NOTED: Final = 100  # entries that are not records: they are looked at again and again
_KEY: Final = {"report": "sums"}

_log = logging.getLogger("ojobchannels.jobs")
Shown = Callable[[Document, Document], Record | None]


class Sums:
    """The sums of the entries up to a position.

    Attributes:
        id: Different for each of them, to compare and set.
        until: The position of the last entry in the sums, and its key.
        entries: The number of entries up to there, also those that are not in the sums.
        expected: The keys of those of which a change is expected.
        totals: The sums.
    """

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.until: tuple[int, Document] | None = None
        self.position = 0
        self.entries = 0
        self.expected: dict[str, Document] = {}
        self.totals = Totals()

    def add(self, item: Item) -> None:
        """Add the next entry."""
        self.position = item.position
        self.entries += 1
        is_record = records.malformed(item[1], item[0]) is None
        if item[1]["status"] == "running" if is_record else len(self.expected) < _MOST_NOTED:
            self.expected[str(check_key(item[0]))] = item[0]
        else:
            self.until = item.position, item[0]
            if is_record:
                self.totals.add(item[1])

    def has_left(self, key: str) -> None:
        """Note that an entry of which a change was expected has left its place."""
        if self.expected.pop(key, None) is not None:
            self.entries -= 1

    def remove(self, item: Item) -> bool:
        """Take out an entry that was removed; return whether what is left is right."""
        if item.position > self.position:
            return True
        self.entries -= 1
        return self.totals.remove(item[1]) and self.until != (item.position, item[0])

    def to_json(self) -> dict[str, Any]:
        """Return a JSON document."""
        return {
            "id": self.id,
            "until": self.until and [*self.until],
            "position": self.position,
            "entries": self.entries,
            "expected": [*self.expected.values()],
            "jobs": self.totals.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Sums:
        """Return what `to_json` returned."""
        sums = cls()
        position, key = document["until"]
        sums.id, sums.until = document["id"], (position, key)
        sums.position, sums.entries = document["position"], document["entries"]
        sums.expected = {str(check_key(key)): key for key in document["expected"]}
        sums.totals = Totals.from_json(document["jobs"])
        return sums

    def are_of(self, jobs: Channel) -> bool:
        """Return whether they were made of a channel; several may have one state."""
        position, key = self.until or (0, None)
        return any(
            (item.position, item[0]) == (position, key)
            for item in jobs.items(after=position - 1, limit=1)
        )


class _Reading:
    """Reads what comes after the sums, and adds what is settled to them."""

    def __init__(self, jobs: Channel, sums: Sums, shown: Shown) -> None:
        self.sums = sums
        self.added = 0
        self._jobs = jobs
        self._shown = shown
        self._latest: OrderedDict[str, Item] = OrderedDict()
        self._gone: list[str] = []

    def read(self) -> Totals:
        """Return the figures of all records."""
        for item in self._jobs.items(after=self.sums.position or None):
            self._take(item)
        totals = Totals.from_json(self.sums.totals.to_json())
        for key, value in [*self._latest.values(), *self._expected()]:
            record = self._shown(key, value)
            if record is not None:
                totals.add(record)
        return totals

    def is_right(self) -> bool:
        """Return whether no entry in the sums has left its place since they were made."""
        for key in self._gone:
            self.sums.has_left(key)
        found: int = self._jobs.hook.size_until(position=self.sums.position)
        return found == self.sums.entries

    def _take(self, item: Item) -> None:
        key = str(check_key(item[0]))
        self.sums.has_left(key)
        self._latest.pop(key, None)
        self._latest[key] = item
        if len(self._latest) > _NOT_YET:
            self.sums.add(self._latest.popitem(last=False)[1])
            self.added += 1

    def _expected(self) -> Iterator[tuple[Document, Document]]:
        for key, document in self.sums.expected.items():
            value = self._jobs.get(document, MISSING)
            if value is MISSING:
                self._gone.append(key)
            else:
                yield document, value


class Removal:
    """Takes the records that are removed out of the sums, where these stay right by that."""

    def __init__(self, jobs: Channel, state: Channel) -> None:
        self._state = state
        self._sums = load(jobs, state)

    def add(self, items: Sequence[Item], removed: int) -> None:
        """Take out records of which that many were removed, by this process."""
        if self._sums is None:
            return
        are_right = [self._sums.remove(item) for item in items]
        if removed != len(items) or not all(are_right):
            self._sums = None

    def save(self) -> None:
        """Store the sums, unless others have stored theirs; if it fails, they are made again."""
        if self._sums is not None:
            before, self._sums.id = self._sums.id, uuid.uuid4().hex
            try:
                self._state.get_set({"id": before}, _KEY, self._sums.to_json())
            except ChannelError as error:
                _log.debug("the sums of the report were not stored: %s", error)


def totals_of(jobs: Channel, state: Channel, shown: Shown) -> Totals:
    """Return the figures of the records in the jobs channel.

    Args:
        jobs: The channel.
        state: The channel in which the sums are kept.
        shown: Returns the record in an entry as it is shown, or None.
    """
    is_counted = not all(each.wrapper for each in jobs.hook.size_until.get_hookimpls())
    for attempt in range(_ATTEMPTS) if is_counted else ():
        sums = load(jobs, state) if attempt < _ATTEMPTS - 1 else None
        reading = _Reading(jobs, sums or Sums(), shown)
        totals = reading.read()
        if reading.is_right():
            if reading.added >= max(_CHANGES_BEFORE_SAVE, len(totals)):
                _save(state, reading.sums)
            return totals
    return _all(jobs, shown)


def load(jobs: Channel, state: Channel) -> Sums | None:
    """Return the sums that are kept for a channel; None if there are none."""
    document = state.get(_KEY)
    if document is None:
        return None
    try:
        sums = Sums.from_json(document)
    except (TypeError, ValueError, KeyError, IndexError):
        return None
    return sums if sums.are_of(jobs) else None


def _save(state: Channel, sums: Sums) -> None:
    if sums.until is None:
        return
    sums.id = uuid.uuid4().hex
    try:
        state.set(_KEY, sums.to_json())
    except ChannelError as error:  # a reader may have the right to read only
        _log.debug("the sums of the report were not stored: %s", error)


def _all(jobs: Channel, shown: Shown) -> Totals:
    """Return the figures by reading everything, without what changes meanwhile."""
    totals = Totals()
    for key, value in jobs.items(newest_first=True):
        record = shown(key, value)
        if record is not None:
            totals.add(record)
    return totals
