"""Backends with a defect in clocks, ttls or lock infos."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from broken_backends import BrokenSimple

from ojobchannels.backends import lock_record
from ojobchannels.backends.simple.store import Store
from ojobchannels.hookspecs import Busy, Granted, LockInfo
from ojobchannels.host.clock import Clock


class WallClock:
    """The wall clock of the client."""

    epoch = "wall"

    def now(self) -> int:
        return time.time_ns() // 1000

    wall = now


class ClientsClock(BrokenSimple):
    """Leases expire by the wall clock of the client."""

    caught_by = (
        "test_a_client_with_a_wrong_clock_steals_no_lock "
        "test_a_client_with_a_wrong_clock_loses_no_lock"
    )

    def __init__(self, channel: str, store: Store, clock: Clock) -> None:
        super().__init__(channel, store, WallClock())


class WallDeadlines(BrokenSimple):
    """Leases expire by the wall clock, which can be set."""

    caught_by = "test_a_step_of_the_wall_clock_does_not_affect_leases"

    def __init__(self, channel: str, store: Store, clock: Clock) -> None:
        super().__init__(
            channel, store, type("Wall", (), {"epoch": "", "now": clock.wall, "wall": clock.wall})()
        )


class ClockReadTooEarly(BrokenSimple):
    """The clock is read when the handle is opened, not when the lock is taken."""

    caught_by = "test_an_expired_lock_is_free"

    def __init__(self, channel: str, store: Store, clock: Clock) -> None:
        now, wall = clock.now(), clock.wall()
        super().__init__(
            channel,
            store,
            type(
                "Early", (), {"epoch": clock.epoch, "now": lambda _: now, "wall": lambda _: wall}
            )(),
        )


class TtlInSeconds(BrokenSimple):
    """The ttl in milliseconds is used as seconds."""

    caught_by = "test_a_ttl_is_kept_to_the_millisecond test_an_expired_lock_is_free"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name, token, ttl * 1000, holder)


class TtlInWholeSeconds(BrokenSimple):
    """The ttl is rounded up to seconds."""

    caught_by = "test_a_ttl_is_kept_to_the_millisecond test_a_ttl_of_50_ms_ends_after_50_ms"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name, token, -(-ttl // 1000) * 1000, holder)


class ExtendInWholeSeconds(BrokenSimple):
    """`extend` rounds its ttl up to seconds."""

    caught_by = "test_extend_keeps_its_ttl_to_the_millisecond"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        return super().extend(name, token, -(-ttl // 1000) * 1000)


class ExpiresTooLate(BrokenSimple):
    """A lease is still valid at its end: only `now > until` is expired."""

    caught_by = "test_a_lease_expires_exactly_at_its_end"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        result = super().lock(name, token, ttl, holder)
        if isinstance(result, Granted):
            record = self._store.locks[name]
            self._store.locks[name] = record._replace(until=record.until + 1)
        return result


class BusyInSeconds(BrokenSimple):
    """A refusal has the remaining time in seconds."""

    caught_by = "test_a_refusal_has_the_remaining_milliseconds"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        result = super().lock(name, token, ttl, holder)
        if isinstance(result, Busy):
            return result._replace(remaining=result.remaining // 1000)
        return result


class LockInfoExtends(BrokenSimple):
    """`lock_info` extends the lease."""

    caught_by = "test_lock_info_does_not_affect_leases"

    def lock_info(self, name: str) -> LockInfo | None:
        info = super().lock_info(name)
        if info is not None:
            record = self._store.locks[name]
            self._store.locks[name] = lock_record.renewed(record, record.ttl, self._clock)
        return info


class PreviousIsMissing(BrokenSimple):
    """A holder that never unlocked is not reported as previous."""

    caught_by = "test_previous_names_a_holder_that_never_unlocked"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        result = super().lock(name, token, ttl, holder)
        return result._replace(previous=None) if isinstance(result, Granted) else result


class PreviousIsAlwaysSet(BrokenSimple):
    """A holder that has unlocked is reported as previous."""

    caught_by = "test_no_previous_holder_is_reported_after_an_unlock"
    before: ClassVar[dict[str, dict[str, Any]]] = {}

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        result = super().lock(name, token, ttl, holder)
        if isinstance(result, Granted):
            result = result._replace(previous=self.before.get(name))
            self.before[name] = {**holder, "fence": result.fence}
        return result


class ForceKeepsTheToken(BrokenSimple):
    """A holder evicted by `force_unlock` can extend its lease."""

    caught_by = "test_force_unlock_frees_the_lock"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        record = self._store.locks.get(name)
        if record is not None and not record.token:
            self._store.locks[name] = lock_record.renewed(
                record._replace(token=token), ttl * 1000, self._clock
            )
        return super().extend(name, token, ttl)
