"""Backends with a defect in tokens, fences, extends or retries."""

from __future__ import annotations

import time
from typing import Any

from broken_backends import BrokenSimple

from ojobchannels.backends import lock_record
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.hookspecs import Adopted, Busy, Granted, LeaseRequest, LockInfo


class UnlockByAnyToken(BrokenSimple):
    """`unlock` ignores the token."""

    caught_by = "test_unlock_with_another_token_changes_nothing test_a_late_unlock_changes_nothing"

    def unlock(self, name: str, token: str) -> bool:
        record = self._store.locks.get(name)
        return super().unlock(name, record.token if record else token)


class ExtendByAnyToken(BrokenSimple):
    """`extend` ignores the token."""

    caught_by = "test_extend_with_another_token_changes_nothing"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        record = self._store.locks.get(name)
        return super().extend(name, record.token if record else token, ttl)


class AdoptByAnyToken(BrokenSimple):
    """`adopt` ignores the token."""

    caught_by = "test_adopt_with_another_token_is_refused"

    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        record = self._store.locks.get(name)
        return super().adopt(name, record.token if record else token, holder)


class HostIsTheToken(BrokenSimple):
    """The host identifies the holder, not the token."""

    caught_by = "test_a_held_lock_is_refused test_a_lock_is_not_reentrant"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name, "this host", ttl, holder)

    def unlock(self, name: str, token: str) -> bool:
        return super().unlock(name, "this host")

    def extend(self, name: str, token: str, ttl: int) -> bool:
        return super().extend(name, "this host", ttl)


class TokensWithoutCase(BrokenSimple):
    """Tokens are compared without regard to case."""

    caught_by = "test_unlock_with_another_token_changes_nothing"

    def unlock(self, name: str, token: str) -> bool:
        return super().unlock(name, token.lower())


class CheckThenLock(BrokenSimple):
    """`lock` checks the lock in one step and takes it in another."""

    caught_by = "test_one_of_many_threads_gets_the_lock"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        if self.lock_info(name) is None:
            time.sleep(1e-4)
            with self._store.mutex:
                self._store.locks.pop(name, None)
        return super().lock(name, token, ttl, holder)


class UnlockLosesTheFence(BrokenSimple):
    """`unlock` removes the record of the lock, and the last fence with it."""

    caught_by = (
        "test_fences_increase_across_unlocks test_fences_increase_when_the_wall_clock_is_set_back"
    )

    def unlock(self, name: str, token: str) -> bool:
        held = super().unlock(name, token)
        if held:
            del self._store.locks[name]
        return held


class ExpiryLosesTheFence(BrokenSimple):
    """An expired record is removed, and the last fence with it."""

    caught_by = "test_fences_increase_when_the_wall_clock_is_set_back"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        record = self._store.locks.get(name)
        if record and record.token and self.lock_info(name) is None:
            del self._store.locks[name]
        return super().lock(name, token, ttl, holder)


class ForceLosesTheFence(BrokenSimple):
    """`force_unlock` removes the record of the lock, and the last fence with it."""

    caught_by = "test_fences_increase_across_force_unlock"

    def force_unlock(self, name: str) -> LockInfo | None:
        evicted = super().force_unlock(name)
        self._store.locks.pop(name, None)
        return evicted


class DestroyLosesFences(BrokenSimple):
    """`destroy` removes the records of free locks, and their fences with them."""

    caught_by = "test_fences_increase_across_destroy"

    def destroy(self) -> bool:
        for name in [name for name in self._store.locks if self.lock_info(name) is None]:
            del self._store.locks[name]
        return super().destroy()


class DestroyFreesLocks(BrokenSimple):
    """`destroy` removes the locks that others hold."""

    caught_by = "test_destroy_removes_no_lock"

    def destroy(self) -> bool:
        self._store.locks.clear()
        return super().destroy()


class FencesAreCounted(BrokenSimple):
    """The fence is a counter, which starts at one again if the storage is lost."""

    caught_by = "test_a_fence_is_as_high_as_the_clock"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        before = self._store.locks.get(name, LockRecord()).fence
        result = super().lock(name, token, ttl, holder)
        if isinstance(result, Granted) and result.fence != before:
            result = result._replace(fence=before + 1)
            self._store.locks[name] = self._store.locks[name]._replace(fence=before + 1)
        return result


class ExtendRaisesTheFence(BrokenSimple):
    """`extend` raises the fence as if it were a new lease."""

    caught_by = "test_extend_keeps_the_fence"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        held = super().extend(name, token, ttl)
        if held:
            record = self._store.locks[name]
            self._store.locks[name] = record._replace(fence=record.fence + 1)
        return held


class RevivedByExtend(BrokenSimple):
    """`extend` revives an expired lease."""

    caught_by = "test_a_late_extend_never_revives_a_lease"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        record = self._store.locks.get(name)
        if record and record.token == token:
            self._store.locks[name] = lock_record.renewed(record, ttl * 1000, self._clock)
            return True
        return False


class RevivedByAdopt(BrokenSimple):
    """`adopt` revives an expired lease."""

    caught_by = "test_lease_from_refuses_a_lease_that_has_ended"

    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        record = self._store.locks.get(name)
        if record and record.token == token and self.lock_info(name) is None:
            self._store.locks[name] = lock_record.renewed(record, record.ttl, self._clock)
        return super().adopt(name, token, holder)


class AdoptRenews(BrokenSimple):
    """`adopt` resets the deadline of the lease."""

    caught_by = "test_adopt_returns_fence_ttl_and_remaining_time"

    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        record = self._store.locks.get(name)
        if record and self._holds(record, token):
            self._store.locks[name] = lock_record.renewed(record, record.ttl, self._clock)
        return super().adopt(name, token, holder)


class ExtendAdds(BrokenSimple):
    """`extend` adds its ttl to the remaining time."""

    caught_by = "test_extend_sets_the_remaining_time"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        record = self._store.locks.get(name)
        left = lock_record.remaining(record, self._clock) // 1000 if record else 0
        return super().extend(name, token, left + ttl)


class ExtendNeverShortens(BrokenSimple):
    """`extend` keeps the later of the two deadlines."""

    caught_by = "test_a_shortened_lease_ends_early"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        record = self._store.locks.get(name)
        left = lock_record.remaining(record, self._clock) // 1000 if record else 0
        return super().extend(name, token, max(left, ttl))


class RenewalsStopEarly(BrokenSimple):
    """`extend_all` stops at the first lease that has ended."""

    caught_by = "test_extend_all_extends_each_lease_independently"

    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool]:
        results = [True]
        for lease in leases:
            results.append(results[-1] and self.extend(*lease))
        return results[1:]


class RenewalsHaveNoEffect(BrokenSimple):
    """`extend_all` returns success without extending the leases."""

    caught_by = "test_extend_all_extends_each_lease_independently"

    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool]:
        return [self.lock_info(name) is not None for name, _, _ in leases]


class RetriesAreRefused(BrokenSimple):
    """A repeated request with the same token is refused."""

    caught_by = "test_a_retry_returns_the_same_fence"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name, f"{token}{time.monotonic_ns()}", ttl, holder)


class RetriesRenew(BrokenSimple):
    """A repeated request with the same token resets the deadline."""

    caught_by = "test_a_retry_keeps_the_deadline"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        self.extend(name, token, ttl)
        return super().lock(name, token, ttl, holder)


class RetriesRaiseTheFence(BrokenSimple):
    """A repeated request with the same token gets a new fence."""

    caught_by = "test_a_retry_returns_the_same_fence"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        super().unlock(name, token)
        return super().lock(name, token, ttl, holder)
