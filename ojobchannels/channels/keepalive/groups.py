"""Leases that are looked at together, and renewed in one request."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, Protocol, TypeAlias

from ojobchannels.channels.documents import DocumentStore
from ojobchannels.host.due_times import DueTimes

_LARGEST: Final = 1_000
_LARGEST_MARGIN: Final = 20_000
_LOSE_AT = attrgetter("lose_at")


class KeptLease(Protocol):
    """The part of a `Lease` that keep-alive needs."""

    name: str
    _lock_name: str
    token: str
    deadline: int
    _ttl: int
    _extending: threading.Lock

    @property
    def channel(self) -> DocumentStore: ...  # noqa: D102  as in `Lease`, like the rest

    @property
    def on_lost(self) -> Callable[[Any], None] | None: ...  # noqa: D102  as in `Lease`

    def _renewed(self, sent: int, ttl: int) -> None: ...

    def _mark_lost(self, reason: str) -> bool: ...


_Key: TypeAlias = tuple[DocumentStore, int, int | None]
"""The channel and the ttl of leases, and when they are renewed; None if they are only watched."""


@dataclass(slots=True, eq=False)
class Group:
    """Leases of one channel that are looked at together, and renewed in one request.

    Times are microseconds of the channel's clock.

    Attributes:
        channel: Their channel.
        ttl: Their ttl in milliseconds.
        renew_at: When they are renewed; None if they are only watched.
        lose_at: When the first of them is lost if it is not renewed, or earlier.
        leases: The leases, and what a signal has left of others: see `Groups.members`.
        requested: Whether their renewal was requested, and there is no reply yet.
    """

    channel: DocumentStore
    ttl: int
    renew_at: int | None
    lose_at: int
    leases: dict[KeptLease, None]
    requested: bool = False

    @property
    def key(self) -> _Key:
        """What the leases have in common."""
        return self.channel, self.ttl, self.renew_at


class Groups:
    """The groups of all leases that are watched; each lease is in one.

    So a renewal of very many leases plans few times. Nothing here locks: that is up to the caller.
    """

    def __init__(self) -> None:
        self._of: dict[KeptLease, Group] = {}
        self._open: dict[_Key, Group] = {}
        self._due_times: DueTimes[Group] = DueTimes()

    def __len__(self) -> int:
        """Return the number of leases."""
        return len(self._of)

    def of(self, lease: KeptLease) -> Group | None:
        """Return the group of a lease, or None if it is not watched."""
        return self._of.get(lease)

    def add(self, leases: list[KeptLease], renew_at: int | None) -> int:
        """Put leases of one channel and ttl into a group; return the microseconds until its look.

        A signal may cut this short. So it is the last step that takes them out of another group,
        and the new one is planned before.
        """
        channel, first_loss = leases[0].channel, min(map(loss_time, leases))
        key = channel, leases[0]._ttl, renew_at
        group = self._open.get(key)
        if group is not None and len(group.leases) + len(leases) <= _LARGEST:
            group.lose_at = min(group.lose_at, first_loss)
            group.leases.update(dict.fromkeys(leases))
            at = self.plan(group)
        else:
            group = Group(*key, first_loss, dict.fromkeys(leases))
            at = self.plan(group)
            if renew_at is not None:
                self._open[key] = group
        for lease in leases:
            self._of[lease] = group
        return at - channel.clock.now()

    def move(self, lease: KeptLease, group: Group) -> int:
        """Move a lease that was extended to the group of its new deadline, and return as `add`."""
        pause = self.add([lease], None if group.renew_at is None else renewal_time(lease))
        if self._of[lease] is not group:
            self._leave(lease, group)
        return pause

    def remove(self, lease: KeptLease) -> Group | None:
        """Take a lease out of its group, and return that; None if it is not watched."""
        group = self._of.pop(lease, None)
        if group is not None:
            self._leave(lease, group)
        return group

    def members(self, group: Group) -> list[KeptLease]:
        """Return the leases of a group, and remove what a signal has left of others."""
        leases = [lease for lease in group.leases if self._of.get(lease) is group]
        if len(leases) < len(group.leases):
            group.leases = dict.fromkeys(leases)
        return leases

    def plan(self, group: Group) -> int:
        """Have a group looked at when there is something to do, and return that time."""
        at = group.lose_at
        if group.renew_at is not None and not group.requested:
            at = min(at, group.renew_at)
        self._due_times.set(group, group.channel.clock, at)
        return at

    def close(self, group: Group) -> None:
        """Let no other lease join a group."""
        if self._open.get(group.key) is group:
            del self._open[group.key]

    def end(self, group: Group) -> None:
        """Look at a group no more; its leases are lost, released, or in other groups."""
        self._due_times.drop(group)
        self.close(group)

    def pop_due(self) -> Iterator[Group]:
        """Yield each group that is to be looked at; it is planned no more."""
        return self._due_times.pop_due()

    def pause(self, longest: int) -> int:
        """Return the microseconds until the next look, but at most `longest`."""
        return self._due_times.pause(longest)

    def _leave(self, lease: KeptLease, group: Group) -> None:
        group.leases.pop(lease, None)
        if not group.leases:
            self.end(group)


def batches(groups: list[Group]) -> Iterator[list[Group]]:
    """Yield groups of one channel whose leases fit into one request, the most urgent ones first."""
    batch: list[Group] = []
    size = 0
    for group in sorted(groups, key=_LOSE_AT):
        size += len(group.leases)
        if batch and size > _LARGEST:
            yield batch
            batch, size = [], len(group.leases)
        batch.append(group)
    yield batch


def renewal_time(lease: KeptLease) -> int:
    """Return when a third of the ttl has passed, or little less: then many share a request."""
    ttl = lease._ttl * 1000
    at = lease.deadline - (ttl * 99 // 100 - ttl // 3)
    return at - at % (ttl // 32)


def loss_time(lease: KeptLease) -> int:
    """Return when a lease is lost if it is not renewed: a moment before its deadline."""
    return lease.deadline - min(_LARGEST_MARGIN, lease._ttl * 50)
