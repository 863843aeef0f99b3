"""The waiting messages of a queue in the order of delivery, as far as one process knows them.

Where the backend has an index, a look reads those that are due first, and the next ones when these
are delivered. Elsewhere the first look reads all messages, later ones read what has changed since.
Either way, a delivery takes as long with a million waiting messages as with ten. What is known here
is never certain. Each message is read again before it is delivered, and claimed by compare-and-set;
and the reading is repeated now and then, since storages may show changes that happen at the same
time in another order.
"""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Item
from ojobchannels.host.forks import forget_in_children
from ojobchannels.recipes.due import FEW, GROWTH, MOST, DueMessages, first_due, prepare
from ojobchannels.recipes.messages import WAITING, Entry, read

_FRESH_SECONDS: Final = 1.0
_ENOUGH: Final = 100
"""With more known messages than this, changes are read once in `_FRESH_SECONDS`."""
_REST: Final = 50
"""All messages are read again after this multiple of the time that it took."""
_REREAD_SECONDS: Final = 60.0
_REREAD_IDLE_SECONDS: Final = 1.0

_Claim: TypeAlias = tuple[str, int]
_Extent: TypeAlias = Literal["all", "due", "first"]
"""The messages that were read: all, those that are due, or the first of these."""


class _Hint(NamedTuple):
    """A message that waited when it was read; hints sort in the order of delivery."""

    priority: float
    added: float
    position: int
    id: str
    claim: _Claim | None


@dataclass
class _Reading:
    """When all messages were read: on the monotonic clock, and the seconds that it took."""

    ended: float
    took: float

    def is_over(self, seconds: float) -> bool:
        return time.monotonic() > self.ended + max(seconds, _REST * self.took)


_NEVER: Final = _Reading(-math.inf, 0)


class WaitingMessages:
    """Finds the next message of a channel; any number of threads may use it.

    Args:
        channel: The channel of the messages.
        correct: Stores a message whose producer's clock was far ahead, and returns it corrected.

    Attributes:
        found_nothing: Whether the last look has found an empty channel.
    """

    def __init__(self, channel: Channel, correct: Callable[[Entry, int], Entry]) -> None:
        self._channel = channel
        self._correct = correct
        self._is_prepared = False
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        """Know nothing, in a forked child: another thread of the parent may have changed it."""
        self._lock = threading.Lock()
        self._size = FEW
        self._extent: _Extent = "all"
        self._read_at = 0
        self._checked = _Reading(time.monotonic(), 0)
        self.found_nothing = False
        self._clear()

    def next(self, jobs: Collection[str] | None, now: int) -> Entry | None:
        """Return a message that is due and that no worker has, the first one in order, or None.

        Args:
            jobs: Return only messages for these jobs.
            now: The time, in milliseconds since 1970.
        """
        with self._lock:
            return self._next(jobs, now)

    def prepare(self) -> None:
        """Have the backend keep the indexes, once: that is fast while there are few messages."""
        if not self._is_prepared:
            self._is_prepared = True
            prepare(self._channel)

    def forget_claim(self, id: str) -> None:
        """Forget a message that this process has removed."""
        self._claimed.pop(id, None)

    def expect(self) -> None:
        """Read the changes at the next look, since this process has made one."""
        self._read_until = 0.0
        self.found_nothing = False

    def distrust(self) -> None:
        """Read all at the next look, since a message that `next` returned was not taken."""
        self._reading = _NEVER

    def _clear(self) -> None:
        self._ready: dict[str, list[_Hint]] = {}
        self._later: list[tuple[float, str, _Hint]] = []
        self._claimed: dict[str, tuple[float, str, _Hint]] = {}
        self._after = self._reached = 0
        self._seen: frozenset[int] = frozenset()
        self._reading = _NEVER
        self._read_until = self._claims_until = 0.0

    def _next(self, jobs: Collection[str] | None, now: int) -> Entry | None:
        is_read = self._is_outdated(now)
        if is_read:
            self._read(now)
        elif self._extent != "first" and (self._knows_few() or self._is_old()):
            self._read_changes(now)
        while (entry := self._first(jobs, now)) is None and self._may_find_more(is_read=is_read):
            if is_read:
                self._size *= GROWTH
            self._read(now)
            is_read = True
        if entry is None and self._checked.is_over(_REREAD_SECONDS):
            self._check(now)
            entry = self._first(jobs, now)
        return entry

    def _check(self, now: int) -> None:
        """Read all for messages that a producer whose clock is ahead has dated too late."""
        began = time.monotonic()
        for item in _from_clocks_ahead(self._channel.items(match={"status": WAITING}), now):
            self._note(item, now)
        self._checked = _Reading(ended := time.monotonic(), ended - began)

    def _is_outdated(self, now: int) -> bool:
        """Return whether the reading must be repeated before the next delivery."""
        if self._extent == "all":
            return self._reading.is_over(_REREAD_SECONDS)
        passed = abs(now - self._read_at) / 1000
        is_unread = self._extent == "first" and not self._read_until
        return is_unread or passed >= _FRESH_SECONDS or self._reading.is_over(_FRESH_SECONDS)

    def _may_find_more(self, *, is_read: bool) -> bool:
        """Return whether another reading may find a message, after none was found."""
        if self._extent == "all":
            return not is_read and self._reading.is_over(_REREAD_IDLE_SECONDS)
        return not is_read or self._extent == "first"

    def _knows_few(self) -> bool:
        return len(self._later) + sum(map(len, self._ready.values())) <= _ENOUGH

    def _is_old(self) -> bool:
        return time.monotonic() > self._read_until

    def _read(self, now: int) -> None:
        """Read the messages that are due first, or all."""
        began = time.monotonic()
        self._clear()
        newest = list(self._channel.items(limit=FEW, newest_first=True))
        self._after = self._reached = newest[0].position if newest else 0
        self.found_nothing = not newest
        due = None
        if not newest:
            due = DueMessages([], is_all=True)
        elif self._size <= MOST:
            due = first_due(self._channel, now, self._size)
        if due is None:
            self._extent = "all"
            items: Iterable[Item] = self._channel.items(match={"status": WAITING})
        else:
            self._extent = "due" if due.is_all else "first"
            found = [*due.items, *_from_clocks_ahead(newest, now)]
            items = {item.position: item for item in found}.values()
        for item in items:
            self._note(item, now)
        self._read_at, ended = now, time.monotonic()
        self._reading = _Reading(ended, ended - began)
        self._read_until = ended + _FRESH_SECONDS

    def _read_changes(self, now: int) -> None:
        """Read on from where the reading before the last one had ended."""
        self._read_until = time.monotonic() + _FRESH_SECONDS
        found = list(self._channel.items(after=self._after or None))
        self.found_nothing &= not found
        for item in found:
            if item.position not in self._seen:
                self._note(item, now)
        self._seen = frozenset(item.position for item in found)
        self._after, self._reached = self._reached, max(self._seen, default=self._reached)

    def _note(self, item: Item, now: int) -> None:
        """Remember a message if it waits; an earlier state of it is found out when it is read."""
        entry = read(item, now)
        if isinstance(entry, str):
            return
        self._claimed.pop(entry.id, None)
        if entry.document["status"] != WAITING:
            return
        if not entry.stored:
            entry = self._correct(entry, now)
        hint = _Hint(entry.priority, entry.added, item.position, entry.id, entry.claim)
        if entry.claim is None:
            self._wait(entry.due, entry.document["job"], hint, now)
        else:
            self._claimed[entry.id] = (entry.due, entry.document["job"], hint)

    def _wait(self, due: float, job: str, hint: _Hint, now: int) -> None:
        if due > now:
            heapq.heappush(self._later, (due, job, hint))
        else:
            heapq.heappush(self._ready.setdefault(job, []), hint)

    def _first(self, jobs: Collection[str] | None, now: int) -> Entry | None:
        while self._later and self._later[0][0] <= now:
            self._wait(*heapq.heappop(self._later), now)
        if self._claimed and time.monotonic() > self._claims_until:
            self._free_claimed(now)
        entry = self._pop(jobs, now)
        if entry is None and self._claimed:
            self._free_claimed(now)
            entry = self._pop(jobs, now)
        return entry

    def _free_claimed(self, now: int) -> None:
        """Have the messages wait whose workers are dead."""
        self._claims_until = time.monotonic() + _FRESH_SECONDS
        held = {(info.name, info.fence) for info in self._channel.locks()}
        for id, (due, job, hint) in [*self._claimed.items()]:
            if hint.claim not in held:
                self._claimed.pop(id, None)
                self._wait(due, job, hint, now)

    def _pop(self, jobs: Collection[str] | None, now: int) -> Entry | None:
        while (job := self._job_of_first(jobs)) is not None:
            hints = self._ready[job]
            entry = self._present(job, hints[0], now)
            heapq.heappop(hints)  # after the reading, which may fail
            if not hints:
                del self._ready[job]
            if entry is not None:
                return entry
        return None

    def _job_of_first(self, jobs: Collection[str] | None) -> str | None:
        names = self._ready.keys() if jobs is None else self._ready.keys() & set(jobs)
        return min(names, key=lambda name: self._ready[name][0], default=None)

    def _present(self, job: str, hint: _Hint, now: int) -> Entry | None:
        """Return a message if it is as it was; of another state, the change is read as well."""
        key = {"id": hint.id}
        entry = read(Item(key, self._channel.get(key), hint.position), now)
        if isinstance(entry, str) or entry.document["status"] != WAITING:
            return None
        state = entry.priority, entry.document["job"], entry.claim
        if state != (hint.priority, job, hint.claim):
            return None
        if entry.due > now:
            heapq.heappush(self._later, (entry.due, job, hint))
            return None
        return entry


def _from_clocks_ahead(items: Iterable[Item], now: int) -> Iterator[Item]:
    for item in items:
        entry = read(item, now)
        if not (isinstance(entry, str) or entry.stored):
            yield item
