"""The rules of a lock, on a record that the caller reads and writes as one atomic step."""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

from ojobchannels.documents import decode, encode
from ojobchannels.hookspecs import Adopted, Busy, Granted, LockInfo
from ojobchannels.host.clock import Clock

NOBODY = 0
FIRST_SAY: Final = 20_000
"""For how long a lock that was freed is kept for the waiter that was called, in microseconds."""


class LockRecord(NamedTuple):
    """What is stored of one lock name. Times are microseconds.

    Attributes:
        fence: That of the newest lease; it outlives the lease.
        token: The holder's, or an empty text.
        ttl: The lease's full length.
        until: When it ends, on the clock of `epoch`; of a free lock, until when it is kept for the
            waiter that was called, on the monotonic clock.
        wall_until: When it ends by the wall clock, for readers of another epoch.
        epoch: What `until` counts from.
        since: When it was granted, by the wall clock.
        alive: Where the holder's sign of life is, or NOBODY; of a free lock, the number of the
            waiter that was called.
        holder: What the holder tells of itself; of a free lock, what the one told that was put out.
    """

    fence: int = 0
    token: str = ""
    ttl: int = 0
    until: int = 0
    wall_until: int = 0
    epoch: str = ""
    since: int = 0
    alive: int = NOBODY
    holder: dict[str, Any] = {}  # noqa: RUF012  shared, never changed


def remaining(record: LockRecord, clock: Clock) -> int:
    """Returns how many microseconds the lease has left; none for a free lock."""
    if not record.token:
        return 0
    if record.epoch == clock.epoch:
        return max(record.until - clock.now(), 0)
    return max(record.wall_until - clock.wall(), 0)


def renewed(record: LockRecord, ttl: int, clock: Clock) -> LockRecord:
    """Returns the record with `ttl` microseconds to live."""
    return record._replace(
        ttl=ttl, until=clock.now() + ttl, wall_until=clock.wall() + ttl, epoch=clock.epoch
    )


def granted(
    record: LockRecord, token: str, ttl: int, holder: dict[str, Any], clock: Clock, alive: int
) -> tuple[LockRecord, Granted]:
    """Returns the record of a new lease on a free lock, and its grant."""
    wall = clock.wall()
    taken = LockRecord(
        fence=max(record.fence + 1, wall),
        token=token,
        ttl=ttl,
        until=clock.now() + ttl,
        wall_until=wall + ttl,
        epoch=clock.epoch,
        since=wall,
        alive=alive,
        holder=holder,
    )
    unlocked = not record.token and not record.holder
    previous = None if unlocked else {**record.holder, "fence": record.fence}
    return taken, Granted(taken.fence, previous)


def own(holder: dict[str, Any]) -> dict[str, Any]:
    """Returns a copy; what a holder tells is flat as a rule, and copied quickly then."""
    for told in holder.values():
        if isinstance(told, dict | list):
            copied: dict[str, Any] = decode(encode(holder))
            return copied
    return dict(holder)


def freed(record: LockRecord, called: int = NOBODY) -> LockRecord:
    """Returns the record of the same lock, free; the fence stays.

    It is kept for a waiter that is `called`, but not for long: that one may be dead, or stopped.
    """
    until = kept_until() if called else 0
    return LockRecord(fence=record.fence, until=until, alive=called)


def kept_until() -> int:
    """Returns until when a lock that is freed now is kept for the waiter that is called."""
    return now() + FIRST_SAY


def now() -> int:
    """Microseconds of a clock that goes on whatever clock judges the leases."""
    return time.monotonic_ns() // 1000


def kept_from(record: LockRecord, waiter: int) -> int:
    """Returns for how many microseconds a free lock is kept from everybody but another waiter."""
    if record.token or record.alive in (NOBODY, waiter):
        return 0
    left = record.until - now()
    return left if 0 < left <= FIRST_SAY else 0


def called(record: LockRecord, waiter: int) -> bool:
    """Tells whether a free lock is kept for that waiter."""
    return not record.token and record.alive == waiter and kept_from(record, NOBODY) > 0


def busy_with_calling(record: LockRecord, left: int) -> Busy:
    """Describes a lock that is kept for another waiter to one that was refused."""
    return Busy(record.fence, {"next": "the longest-waiting process"}, -(-left // 1000))


def forced_open(record: LockRecord) -> LockRecord:
    """Returns the record of the same lock, free, that still tells of the holder put out."""
    return LockRecord(fence=record.fence, holder=record.holder)


def adopted(record: LockRecord, clock: Clock) -> Adopted:
    """Describes a live lease to the one that takes it over."""
    return Adopted(record.fence, record.ttl // 1000, remaining(record, clock) // 1000)


def busy(record: LockRecord, left: int) -> Busy:
    """Describes the holder to one that was refused."""
    return Busy(record.fence, own(record.holder), -(-left // 1000))


def info(name: str, record: LockRecord, left: int, clock: Clock) -> LockInfo:
    """Describes a held lock to people."""
    return LockInfo(
        name,
        record.fence,
        own(record.holder),
        record.since // 1000,
        (clock.wall() + left) // 1000,
    )
