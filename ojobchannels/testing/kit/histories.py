"""Checks a history of leases for violations of mutual exclusion.

Each lease records what its holder knew, on a clock that all holders share, such as the time since
the boot of the host. A holder certainly has the lock from the moment it learns of the grant until
it begins to release it, or until its own deadline. If these intervals of two leases of one lock
overlap, the backend granted the lock twice. Fences are unique, so sorting is enough: a million
leases take seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from ojobchannels.moved import renamed


class HeldLease(NamedTuple):
    """One lease as its holder saw it; times in any unit, but all of one clock.

    Attributes:
        name: Name of the lock.
        fence: Fence of the lease.
        holder: Identifies the holder in messages, such as a process id.
        requested: Time just before the request.
        acquired: Time at which the holder learned of the grant.
        released: Time at which the holder began to release it or stopped relying on it; None if the
            holder was killed.
        deadline: Latest time until which the holder could rely on it; None if unknown.
        accepted: Whether the backend reported that the release found the lease.
    """

    name: str
    fence: int
    holder: Any
    requested: int
    acquired: int
    released: int | None = None
    deadline: int | None = None
    accepted: bool = False

    @property
    def certain_until(self) -> int:
        """End of the time for which it was certainly held; `acquired` if the holder was killed."""
        released, deadline = self.released, self.deadline
        if released is None:
            return self.acquired
        end = released if deadline is None or released < deadline else deadline
        return end if end > self.acquired else self.acquired

    def __str__(self) -> str:
        return (
            f"the lease with fence {self.fence} of {self.holder} "
            f"(requested {self.requested}, acquired {self.acquired}, "
            f"held until {self.certain_until})"
        )


class Violation(NamedTuple):
    """Two leases that must not both exist, and the rule that they violate."""

    kind: str
    name: str
    first: HeldLease
    second: HeldLease

    def __str__(self) -> str:
        return f"{self.kind} on lock {self.name!r}: {self.first} and {self.second}"


def violations(history: Iterable[HeldLease]) -> list[Violation]:
    """Return the violations in a history, in O(n log n); an empty list for a valid one.

    The kinds are ``overlap`` (two leases were held at once), ``same fence`` (two leases have one
    fence), ``fence`` (a lease requested after the grant of another has a lower fence), and ``late
    release`` (a release was accepted although a lease with a higher fence existed).

    Args:
        history: The leases, in any order.

    Example:
        >>> first = HeldLease("nightly", 1, "a", requested=0, acquired=1, released=5)
        >>> second = HeldLease("nightly", 2, "b", requested=0, acquired=4, released=9)
        >>> [violation.kind for violation in violations([first, second])]
        ['overlap']
    """
    by_name: dict[str, list[HeldLease]] = defaultdict(list)
    for lease in history:
        by_name[lease.name].append(lease)
    return [
        violation
        for leases in by_name.values()
        for check in (_same_fences, _overlaps, _falling_fences, _late_releases)
        for violation in check(leases)
    ]


def _same_fences(leases: list[HeldLease]) -> Iterator[Violation]:
    seen: dict[int, HeldLease] = {}
    for lease in leases:
        known = seen.setdefault(lease.fence, lease)
        if known is not lease:
            yield Violation("same fence", lease.name, known, lease)


def _overlaps(leases: list[HeldLease]) -> Iterator[Violation]:
    last, last_until = leases[0], -inf
    for lease in sorted(leases, key=attrgetter("acquired")):
        until = lease.certain_until
        if until <= lease.acquired:
            continue  # its holder could never rely on it
        if last_until > lease.acquired:
            yield Violation("overlap", lease.name, last, lease)
        if until > last_until:
            last, last_until = lease, until


def _falling_fences(leases: list[HeldLease]) -> Iterator[Violation]:
    granted = sorted(leases, key=attrgetter("acquired"))
    highest = list(accumulate(granted, _higher))
    moments = [lease.acquired for lease in granted]
    for lease in leases:
        before = bisect_left(moments, lease.requested)
        if before and highest[before - 1].fence > lease.fence:
            yield Violation("fence", lease.name, highest[before - 1], lease)


def _late_releases(leases: list[HeldLease]) -> Iterator[Violation]:
    """Find accepted releases that began after the holder of a higher fence learned of its grant."""
    earliest: HeldLease | None = None
    for lease in sorted(leases, key=_fence, reverse=True):
        released = lease.released if lease.accepted else None
        if earliest is not None and released is not None and earliest.acquired < released:
            yield Violation("late release", lease.name, lease, earliest)
        if earliest is None or lease.acquired < earliest.acquired:
            earliest = lease


def _higher(first: HeldLease, second: HeldLease) -> HeldLease:
    return first if first.fence > second.fence else second


_fence = attrgetter("fence")

if not TYPE_CHECKING:  # type checkers would accept any name
    __getattr__ = renamed(
        __name__, {"Fault": "Violation", "Held": "HeldLease", "faults": "violations"}
    )
