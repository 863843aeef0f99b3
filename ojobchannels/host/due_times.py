"""When each of very many things is due, by a clock of its own."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from typing import Generic, TypeAlias, TypeVar

from ojobchannels.host.clock import Clock

_Key = TypeVar("_Key")
_Entry: TypeAlias = tuple[int, int, _Key, Clock]

_SPARE_ENTRIES = 64


class DueTimes(Generic[_Key]):
    """At most one time for each key, in microseconds of a clock.

    To set or drop one, and to find the next, takes O(log n): the entry of a time that has changed
    stays in its heap, and is skipped when it comes up. A time that is dropped before the next one
    is looked for, as that of a lease that is soon released, never comes into a heap.
    """

    def __init__(self) -> None:
        self._entries: dict[_Key, _Entry[_Key]] = {}
        self._new: dict[_Key, _Entry[_Key]] = {}
        self._heaps: dict[Clock, list[_Entry[_Key]]] = {}
        self._numbers = count()  # the second of an entry, so that keys are never compared

    def __len__(self) -> int:
        return len(self._entries)

    def set(self, key: _Key, clock: Clock, at: int) -> None:
        """Set the time of a key, in place of an earlier one."""
        self._entries[key] = self._new[key] = (at, next(self._numbers), key, clock)

    def drop(self, key: _Key) -> None:
        """Forget the time of a key, if it has one."""
        if self._entries.pop(key, None) is not None:
            self._new.pop(key, None)

    def pop_due(self) -> Iterator[_Key]:
        """Yield each key whose time has come; it has none from then on."""
        self._sort()
        for clock, heap in list(self._heaps.items()):
            now = clock.now()
            while heap and heap[0][0] <= now:
                entry = heapq.heappop(heap)
                if self._is_current(entry):
                    key = entry[2]
                    del self._entries[key]
                    yield key
            if not heap:
                del self._heaps[clock]

    def pause(self, longest: int) -> int:
        """Return the microseconds until the next time, but at most `longest`."""
        self._sort()
        pauses = (heap[0][0] - clock.now() for clock, heap in self._heaps.items() if heap)
        return min(longest, min(pauses, default=longest))

    def _sort(self) -> None:
        """Move the new entries into the heaps."""
        while self._new:
            entry = self._new.popitem()[1]
            heap = self._heaps.setdefault(entry[3], [])
            heapq.heappush(heap, entry)
            if len(heap) > 3 * len(self._entries) + _SPARE_ENTRIES:
                heap[:] = filter(self._is_current, heap)
                heapq.heapify(heap)

    def _is_current(self, entry: _Entry[_Key]) -> bool:
        return self._entries.get(entry[2]) is entry
