"""The rules of a lock, on a record that the caller reads and writes as one atomic step."""

from __future__ import annotations

from typing import Any, NamedTuple

from ojobchannels.documents import decode, encode
from ojobchannels.hookspecs import Adopted, Busy, Granted, LockInfo
from ojobchannels.host.clock import Clock

NOBODY = 0


class LockRecord(NamedTuple):
    """What is stored of one lock name. Times are microseconds.

    Attributes:
        fence: That of the newest lease; it outlives the lease.
        token: The holder's, or an empty text.
        ttl: The lease's full length.
        until: When it ends, on the clock of `epoch`.
        wall_until: When it ends by the wall clock, for readers of another epoch.
        epoch: What `until` counts from.
        since: When it was granted, by the wall clock.
        alive: Where the holder's sign of life is, or NOBODY.
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
    if any(isinstance(told, dict | list) for told in holder.values()):
        copied: dict[str, Any] = decode(encode(holder))
        return copied
    return dict(holder)


def freed(record: LockRecord) -> LockRecord:
    """Returns the record of the same lock, free; the fence stays."""
    return LockRecord(fence=record.fence)


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
