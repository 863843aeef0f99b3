"""The rules of a lock, applied to a record that the caller reads and writes in one atomic step."""

import time
from typing import Any, Final, NamedTuple

from ojobchannels.documents import decode, encode
from ojobchannels.hookspecs import Adopted, Busy, Granted, LockInfo
from ojobchannels.host.clock import Clock

NO_PROCESS: Final = 0
_UNCHANGEABLE: Final = {str, int, float, bool, type(None)}
RESERVED: Final = 20_000
"""For how many microseconds a released lock is reserved for the waiter that was woken."""


class LockRecord(NamedTuple):
    """The stored state of one lock name. Times are microseconds.

    Attributes:
        fence: The fence of the newest lease; it outlives the lease.
        token: The holder's token, or an empty string if the lock is free.
        ttl: The full length of the lease.
        until: When the lease expires, on the clock of `epoch`; for a free lock, until when it is
            reserved for the waiter that was woken, on the monotonic clock.
        wall_until: When the lease expires by the wall clock, for readers of another epoch.
        epoch: What `until` counts from.
        since: When the lease was granted, by the wall clock.
        alive: The offset of the holder's liveness byte, or NO_PROCESS; for a free lock, the number
            of the waiter that it is reserved for.
        holder: The holder info; for a free lock, the info of a holder that was force-released.
    """

    fence: int = 0
    token: str = ""
    ttl: int = 0
    until: int = 0
    wall_until: int = 0
    epoch: str = ""
    since: int = 0
    alive: int = NO_PROCESS
    holder: dict[str, Any] = {}  # noqa: RUF012  shared, never changed


def remaining(record: LockRecord, clock: Clock) -> int:
    """Return the microseconds until the lease expires; 0 for a free lock."""
    if not record.token:
        return 0
    if record.epoch == clock.epoch:
        left = record.until - clock.now()
        return left if left > 0 else 0
    return max(record.wall_until - clock.wall(), 0)


def renewed(record: LockRecord, ttl: int, clock: Clock) -> LockRecord:
    """Return the record with `ttl` microseconds remaining."""
    return record._replace(
        ttl=ttl, until=clock.now() + ttl, wall_until=clock.wall() + ttl, epoch=clock.epoch
    )


def granted(
    record: LockRecord, token: str, ttl: int, holder: dict[str, Any], clock: Clock, alive: int
) -> tuple[LockRecord, Granted]:
    """Return the record of a new lease on a free lock, and the result for the caller."""
    wall = clock.wall()
    fence = max(record.fence + 1, wall)
    until, wall_until = clock.now() + ttl, wall + ttl
    # By position: names would double the time of making it.
    lease = LockRecord(fence, token, ttl, until, wall_until, clock.epoch, wall, alive, holder)
    unlocked = not record.token and not record.holder
    previous = None if unlocked else {**record.holder, "fence": record.fence}
    return lease, Granted(fence, previous)


def copied(holder: dict[str, Any]) -> dict[str, Any]:
    """Return a deep copy of holder info; the usual flat one is copied quickly."""
    if {*map(type, holder.values())} <= _UNCHANGEABLE:
        return dict(holder)
    copy: dict[str, Any] = decode(encode(holder))
    return copy


def freed(record: LockRecord, waiter: int = NO_PROCESS) -> LockRecord:
    """Return the record of the same lock, free; the fence is kept.

    The lock is reserved for the waiter that was woken, for 20 ms only: it may be dead or stopped.
    """
    until = reserved_until() if waiter else 0
    return LockRecord(fence=record.fence, until=until, alive=waiter)


def reserved_until() -> int:
    """Return until when a lock that is released now is reserved for the waiter that was woken."""
    return now() + RESERVED


def now() -> int:
    """Return the microseconds of the monotonic clock, whichever clock judges the leases."""
    return time.monotonic_ns() // 1000


def reserved_for_other(record: LockRecord, waiter: int) -> int:
    """Return for how many microseconds a free lock is still reserved for another waiter."""
    if record.token or record.alive in (NO_PROCESS, waiter):
        return 0
    left = record.until - now()
    return left if 0 < left <= RESERVED else 0


def is_reserved_for(record: LockRecord, waiter: int) -> bool:
    """Return whether a free lock is reserved for this waiter."""
    return (
        not record.token and record.alive == waiter and reserved_for_other(record, NO_PROCESS) > 0
    )


def busy_reserved(record: LockRecord, left: int) -> Busy:
    """Return the refusal of a lock that is reserved for another waiter."""
    return Busy(record.fence, {"next": "the longest-waiting process"}, -(-left // 1000))


def force_released(record: LockRecord) -> LockRecord:
    """Return the record of the same lock, free, with the info of the evicted holder."""
    return LockRecord(fence=record.fence, holder=record.holder)


def adopted(record: LockRecord, clock: Clock) -> Adopted:
    """Return the description of a live lease for the process that takes it over."""
    return Adopted(record.fence, record.ttl // 1000, remaining(record, clock) // 1000)


def busy(record: LockRecord, left: int) -> Busy:
    """Return the refusal of a held lock, with `left` microseconds remaining."""
    return Busy(record.fence, copied(record.holder), -(-left // 1000))


def info(name: str, record: LockRecord, left: int, clock: Clock) -> LockInfo:
    """Return the description of a held lock, with `left` microseconds remaining."""
    return LockInfo(
        name,
        record.fence,
        copied(record.holder),
        record.since // 1000,
        (clock.wall() + left) // 1000,
    )
