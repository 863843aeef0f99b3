"""The waiting messages of a queue in the order of delivery, as far as one process knows them.

The first look reads all messages, later ones read what has changed since: so a delivery takes as
long with a million waiting messages as with ten. What is known here is never certain. Each message
is read again before it is delivered, and claimed by compare-and-set; and all are read again now and
then, since storages may show changes that happen at the same time in another order.
"""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Item
from ojobchannels.host.forks import forget_in_children
from ojobchannels.recipes.messages import WAITING, Entry, read

_FRESH_SECONDS: Final = 1.0
_ENOUGH: Final = 100
"""With more known messages than this, changes are read once in `_FRESH_SECONDS`."""
_REST: Final = 50
"""All messages are read again after this multiple of the time that it took."""
_REREAD_SECONDS: Final = 60.0
_REREAD_IDLE_SECONDS: Final = 1.0

_Claim: TypeAlias = tuple[str, int]


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
    """

    def __init__(self, channel: Channel, correct: Callable[[Entry, int], Entry]) -> None:
        self._channel = channel
        self._correct = correct
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        """Know nothing, in a forked child: another thread of the parent may have changed it."""
        self._lock = threading.Lock()
        self._clear()

    def next(self, jobs: Collection[str] | None, now: int) -> Entry | None:
        """Return a message that is due and that no worker has, the first one in order, or None.

        Args:
            jobs: Return only messages for these jobs.
            now: The time, in milliseconds since 1970.
        """
        with self._lock:
            return self._next(jobs, now)

    def forget_claim(self, id: str) -> None:
        """Forget a message that this process has removed."""
        self._claimed.pop(id, None)

    def expect(self) -> None:
        """Read the changes at the next look, since this process has made one."""
        self._read_until = 0.0

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
        if self._reading.is_over(_REREAD_SECONDS):
            self._read_all(now)
        elif len(self._later) + sum(map(len, self._ready.values())) <= _ENOUGH or self._is_old():
            self._read_changes(now)
        entry = self._first(jobs, now)
        if entry is None and self._reading.is_over(_REREAD_IDLE_SECONDS):
            self._read_all(now)
            entry = self._first(jobs, now)
        return entry

    def _is_old(self) -> bool:
        return time.monotonic() > self._read_until

    def _read_all(self, now: int) -> None:
        began = time.monotonic()
        self._clear()
        newest = next(self._channel.items(limit=1, newest_first=True), None)
        self._after = self._reached = newest.position if newest is not None else 0
        for item in self._channel.items(match={"status": WAITING}):
            self._note(item, now)
        ended = time.monotonic()
        self._reading = _Reading(ended, ended - began)
        self._read_until = ended + _FRESH_SECONDS

    def _read_changes(self, now: int) -> None:
        """Read on from where the reading before the last one had ended."""
        self._read_until = time.monotonic() + _FRESH_SECONDS
        found = list(self._channel.items(after=self._after or None))
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
