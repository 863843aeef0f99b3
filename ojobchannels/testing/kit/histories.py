"""A checker of what holders of locks wrote down: did two ever hold one lock at once?

Each lease of a history says what its holder knew, on one clock that all of them share: the time
since the boot of one host. A holder knows for certain that it has the lock from the moment it is
told so until it gives the lock back, or until its own deadline. So where two leases of one name
overlap in that, the backend let two in. Since fences are unique, no search is needed: some sorting
does, and a million leases take seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from math import inf
from operator import attrgetter
from typing import Any, NamedTuple


class Held(NamedTuple):
    """One lease, as its holder saw it. Times are of any unit, but of one clock.

    Attributes:
        name: The lock.
        fence: The lease's number.
        holder: Who had it, such as a process id or a token; equal only for the same lease.
        asked: Before this moment it was not asked for.
        acquired: When its holder was told that it has it.
        released: When its holder began to give it back, or stopped to rely on it; None for one that
            was never heard of again.
        deadline: Until when its holder could rely on it at most; None if that is not known.
        accepted: Whether the backend said that the release still found the lease.
    """

    name: str
    fence: int
    holder: Any
    asked: int
    acquired: int
    released: int | None = None
    deadline: int | None = None
    accepted: bool = False

    @property
    def certain_until(self) -> int:
        """Until when it was held for certain: not at all, if nothing more was heard of it."""
        released, deadline = self.released, self.deadline
        if released is None:
            return self.acquired
        end = released if deadline is None or released < deadline else deadline
        return end if end > self.acquired else self.acquired

    def __str__(self) -> str:
        return (
            f"the lease with fence {self.fence} of {self.holder} "
            f"(asked {self.asked}, acquired {self.acquired}, held until {self.certain_until})"
        )


class Fault(NamedTuple):
    """What must not have been: two leases, and what is wrong between them."""

    kind: str
    name: str
    one: Held
    other: Held

    def __str__(self) -> str:
        return f"{self.kind} on lock {self.name!r}: {self.one} and {self.other}"


def faults(history: Iterable[Held]) -> list[Fault]:
    """Returns what is wrong with a history, in O(n log n); an empty list if all is well.

    The kinds are ``overlap`` (two held the lock at once), ``same fence`` (two were given one
    fence), ``fence`` (a lease that was asked for after another was granted has a lower fence), and
    ``late release`` (a release was accepted although a lease with a higher fence was there).

    Args:
        history: The leases, in any order.

    Example:
        >>> first = Held("nightly", 1, "a", asked=0, acquired=1, released=5)
        >>> second = Held("nightly", 2, "b", asked=0, acquired=4, released=9)
        >>> [fault.kind for fault in faults([first, second])]
        ['overlap']
    """
    by_name: dict[str, list[Held]] = defaultdict(list)
    for lease in history:
        by_name[lease.name].append(lease)
    return [
        fault
        for leases in by_name.values()
        for find in (_same_fences, _overlaps, _falling_fences, _late_releases)
        for fault in find(leases)
    ]


def _same_fences(leases: list[Held]) -> Iterator[Fault]:
    seen: dict[int, Held] = {}
    for lease in leases:
        known = seen.setdefault(lease.fence, lease)
        if known is not lease:
            yield Fault("same fence", lease.name, known, lease)


def _overlaps(leases: list[Held]) -> Iterator[Fault]:
    last, last_until = leases[0], -inf
    for lease in sorted(leases, key=attrgetter("acquired")):
        until = lease.certain_until
        if until <= lease.acquired:
            continue  # its holder never could rely on it
        if last_until > lease.acquired:
            yield Fault("overlap", lease.name, last, lease)
        if until > last_until:
            last, last_until = lease, until


def _falling_fences(leases: list[Held]) -> Iterator[Fault]:
    granted = sorted(leases, key=attrgetter("acquired"))
    highest = list(accumulate(granted, _higher))
    moments = [lease.acquired for lease in granted]
    for lease in leases:
        before = bisect_left(moments, lease.asked)
        if before and highest[before - 1].fence > lease.fence:
            yield Fault("fence", lease.name, highest[before - 1], lease)


def _late_releases(leases: list[Held]) -> Iterator[Fault]:
    """A release that began when a higher fence had been told to its holder must not be accepted."""
    earliest: Held | None = None
    for lease in sorted(leases, key=_fence, reverse=True):
        released = lease.released if lease.accepted else None
        if earliest is not None and released is not None and earliest.acquired < released:
            yield Fault("late release", lease.name, lease, earliest)
        if earliest is None or lease.acquired < earliest.acquired:
            earliest = lease


def _higher(one: Held, other: Held) -> Held:
    return one if one.fence > other.fence else other


_fence = attrgetter("fence")
