"""Backends whose locks are broken on purpose; long, since it is a list."""

from __future__ import annotations

import threading
import time
from typing import Any, ClassVar

from broken_backends import BrokenSimple

from ojobchannels.backends import lock_record
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.backends.simple import backend
from ojobchannels.hookspecs import Adopted, Busy, Granted, LeaseRequest, LockInfo
from ojobchannels.host.clock import Clock


class UnlockByAnybody(BrokenSimple):
    """`unlock` does not look at the token."""

    caught_by = (
        "test_unlock_by_another_token_changes_nothing "
        "test_a_late_unlock_changes_nothing_and_says_so"
    )

    def unlock(self, name: str, token: str) -> bool:
        record = self._store.locks.get(name)
        return super().unlock(name, record.token if record else token)


class ExtendByAnybody(BrokenSimple):
    """`extend` does not look at the token."""

    caught_by = "test_extend_by_another_token_changes_nothing"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        record = self._store.locks.get(name)
        return super().extend(name, record.token if record else token, ttl)


class AdoptByAnybody(BrokenSimple):
    """`adopt` does not look at the token."""

    caught_by = "test_adopt_by_another_token_is_refused"

    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        record = self._store.locks.get(name)
        return super().adopt(name, record.token if record else token, holder)


class HostIsTheToken(BrokenSimple):
    """Who asks from the same host is taken for the holder."""

    caught_by = "test_a_held_lock_is_refused test_a_lock_is_not_reentrant"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name, "this host", ttl, holder)

    def unlock(self, name: str, token: str) -> bool:
        return super().unlock(name, "this host")

    def extend(self, name: str, token: str, ttl: int) -> bool:
        return super().extend(name, "this host", ttl)


class TokensWithoutCase(BrokenSimple):
    """Tokens are compared without regard to case."""

    caught_by = "test_unlock_by_another_token_changes_nothing"

    def unlock(self, name: str, token: str) -> bool:
        return super().unlock(name, token.lower())


class CheckThenLock(BrokenSimple):
    """`lock` looks whether the lock is free, and takes it in another step."""

    caught_by = "test_of_many_threads_one_gets_it"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        if self.lock_info(name) is None:
            time.sleep(1e-4)
            with self._store.mutex:
                self._store.locks.pop(name, None)
        return super().lock(name, token, ttl, holder)


class UnlockForgetsTheFence(BrokenSimple):
    """`unlock` removes the record of the lock, and the last fence with it."""

    caught_by = "test_fences_grow_over_unlock test_fences_grow_when_the_wall_clock_steps_back"

    def unlock(self, name: str, token: str) -> bool:
        held = super().unlock(name, token)
        if held:
            del self._store.locks[name]
        return held


class ExpiryForgetsTheFence(BrokenSimple):
    """A record that has expired is swept away, and the last fence with it."""

    caught_by = "test_fences_grow_when_the_wall_clock_steps_back"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        record = self._store.locks.get(name)
        if record and record.token and self.lock_info(name) is None:
            del self._store.locks[name]
        return super().lock(name, token, ttl, holder)


class ForceForgetsTheFence(BrokenSimple):
    """`force_unlock` removes the record of the lock, and the last fence with it."""

    caught_by = "test_fences_grow_over_force_unlock"

    def force_unlock(self, name: str) -> LockInfo | None:
        put_out = super().force_unlock(name)
        self._store.locks.pop(name, None)
        return put_out


class DestroyForgetsFences(BrokenSimple):
    """`destroy` removes the records of free locks, and their fences with them."""

    caught_by = "test_fences_grow_over_destroy"

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
    """The fence is a counter from one, and starts again where the storage was lost."""

    caught_by = "test_a_fence_is_as_high_as_the_clock"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        before = self._store.locks.get(name, LockRecord()).fence
        answer = super().lock(name, token, ttl, holder)
        if isinstance(answer, Granted) and answer.fence != before:
            answer = answer._replace(fence=before + 1)
            self._store.locks[name] = self._store.locks[name]._replace(fence=before + 1)
        return answer


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
    """`extend` brings a lease back to life that has expired."""

    caught_by = "test_a_late_extend_never_revives"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        record = self._store.locks.get(name)
        if record and record.token == token:
            self._store.locks[name] = lock_record.renewed(record, ttl * 1000, self._clock)
            return True
        return False


class RevivedByAdopt(BrokenSimple):
    """`adopt` brings a lease back to life that has expired."""

    caught_by = "test_lease_from_refuses_a_lease_that_is_over"

    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        record = self._store.locks.get(name)
        if record and record.token == token and self.lock_info(name) is None:
            self._store.locks[name] = lock_record.renewed(record, record.ttl, self._clock)
        return super().adopt(name, token, holder)


class AdoptRenews(BrokenSimple):
    """`adopt` gives the lease its full time again."""

    caught_by = "test_adopt_answers_fence_ttl_and_what_remains"

    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        record = self._store.locks.get(name)
        if record and self._holds(record, token):
            self._store.locks[name] = lock_record.renewed(record, record.ttl, self._clock)
        return super().adopt(name, token, holder)


class ExtendAdds(BrokenSimple):
    """`extend` adds its ttl to the time that is left."""

    caught_by = "test_extend_sets_the_remaining_time"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        record = self._store.locks.get(name)
        left = lock_record.remaining(record, self._clock) // 1000 if record else 0
        return super().extend(name, token, left + ttl)


class ExtendNeverShortens(BrokenSimple):
    """`extend` keeps the later of two ends."""

    caught_by = "test_a_lease_that_was_shortened_ends_early"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        record = self._store.locks.get(name)
        left = lock_record.remaining(record, self._clock) // 1000 if record else 0
        return super().extend(name, token, max(left, ttl))


class RenewalsStopEarly(BrokenSimple):
    """`extend_all` gives up at the first lease that is over."""

    caught_by = "test_many_leases_are_extended_at_once_each_for_itself"

    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool]:
        answers = [True]
        for lease in leases:
            answers.append(answers[-1] and self.extend(*lease))
        return answers[1:]


class RenewalsAreForgotten(BrokenSimple):
    """`extend_all` says that it renewed, and did not."""

    caught_by = "test_many_leases_are_extended_at_once_each_for_itself"

    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool]:
        return [self.lock_info(name) is not None for name, _, _ in leases]


class RetriesAreRefused(BrokenSimple):
    """Who asks again with its own token is told that the lock is busy."""

    caught_by = "test_asking_again_answers_the_same_fence"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name, f"{token}{time.monotonic_ns()}", ttl, holder)


class RetriesRenew(BrokenSimple):
    """Who asks again with its own token gets all of its time again."""

    caught_by = "test_asking_again_leaves_the_deadline"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        self.extend(name, token, ttl)
        return super().lock(name, token, ttl, holder)


class RetriesRaiseTheFence(BrokenSimple):
    """Who asks again with its own token gets a lease with a new fence."""

    caught_by = "test_asking_again_answers_the_same_fence"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        super().unlock(name, token)
        return super().lock(name, token, ttl, holder)


class WallClock:
    """The clock of whoever asks, as anybody may set it."""

    epoch = "wall"

    def now(self) -> int:
        return time.time_ns() // 1000

    wall = now


class ClientsClock(BrokenSimple):
    """Leases are judged by the wall clock of the client."""

    caught_by = (
        "test_a_client_whose_clock_is_an_hour_off_steals_nothing "
        "test_a_client_whose_clock_is_an_hour_off_loses_nothing"
    )

    def __init__(self, channel: str, store: backend._Store, clock: Clock) -> None:
        super().__init__(channel, store, WallClock())


class WallDeadlines(BrokenSimple):
    """Leases end by the wall clock, which people set."""

    caught_by = "test_a_step_of_the_wall_clock_changes_nothing"

    def __init__(self, channel: str, store: backend._Store, clock: Clock) -> None:
        super().__init__(
            channel, store, type("Wall", (), {"epoch": "", "now": clock.wall, "wall": clock.wall})()
        )


class ClockReadTooEarly(BrokenSimple):
    """The clock is read when the handle is opened, and not when the lock is taken."""

    caught_by = "test_an_expired_lock_is_free"

    def __init__(self, channel: str, store: backend._Store, clock: Clock) -> None:
        now, wall = clock.now(), clock.wall()
        super().__init__(
            channel,
            store,
            type(
                "Early", (), {"epoch": clock.epoch, "now": lambda _: now, "wall": lambda _: wall}
            )(),
        )


class TtlInSeconds(BrokenSimple):
    """The ttl is taken for seconds, and is in milliseconds."""

    caught_by = "test_a_ttl_is_kept_to_the_millisecond test_an_expired_lock_is_free"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name, token, ttl * 1000, holder)


class TtlInWholeSeconds(BrokenSimple):
    """The ttl is rounded up to seconds."""

    caught_by = "test_a_ttl_is_kept_to_the_millisecond test_a_ttl_of_50_ms_is_over_after_50_ms"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name, token, -(-ttl // 1000) * 1000, holder)


class ExtendInWholeSeconds(BrokenSimple):
    """`extend` rounds its ttl up to seconds."""

    caught_by = "test_extend_keeps_its_ttl_to_the_millisecond"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        return super().extend(name, token, -(-ttl // 1000) * 1000)


class OneTooLate(BrokenSimple):
    """At the very end a lease still lives: `now > until` is taken for expired."""

    caught_by = "test_now_at_or_after_until_is_expired"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        answer = super().lock(name, token, ttl, holder)
        if isinstance(answer, Granted):
            record = self._store.locks[name]
            self._store.locks[name] = record._replace(until=record.until + 1)
        return answer


class BusyInSeconds(BrokenSimple):
    """A refusal tells the time that is left in seconds."""

    caught_by = "test_a_refusal_tells_what_remains_in_milliseconds"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        answer = super().lock(name, token, ttl, holder)
        if isinstance(answer, Busy):
            return answer._replace(remaining=answer.remaining // 1000)
        return answer


class LooksLengthen(BrokenSimple):
    """`lock_info` keeps what it looks at from expiring."""

    caught_by = "test_looking_changes_nothing"

    def lock_info(self, name: str) -> LockInfo | None:
        info = super().lock_info(name)
        if info is not None:
            record = self._store.locks[name]
            self._store.locks[name] = lock_record.renewed(record, record.ttl, self._clock)
        return info


class PreviousIsForgotten(BrokenSimple):
    """Nobody is told of the holder that never unlocked."""

    caught_by = "test_a_lease_tells_of_the_holder_that_never_unlocked"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        answer = super().lock(name, token, ttl, holder)
        return answer._replace(previous=None) if isinstance(answer, Granted) else answer


class PreviousIsAlwaysTold(BrokenSimple):
    """Also a holder that unlocked in order is told of as one that did not."""

    caught_by = "test_a_lease_tells_of_nobody_after_an_unlock"
    before: ClassVar[dict[str, dict[str, Any]]] = {}

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        answer = super().lock(name, token, ttl, holder)
        if isinstance(answer, Granted):
            answer = answer._replace(previous=self.before.get(name))
            self.before[name] = {**holder, "fence": answer.fence}
        return answer


class ForceKeepsTheToken(BrokenSimple):
    """Who was put out by `force_unlock` can extend its lease again."""

    caught_by = "test_force_unlock_frees_the_lock_for_the_next"

    def extend(self, name: str, token: str, ttl: int) -> bool:
        record = self._store.locks.get(name)
        if record is not None and not record.token:
            self._store.locks[name] = lock_record.renewed(
                record._replace(token=token), ttl * 1000, self._clock
            )
        return super().extend(name, token, ttl)


class LostWakeUps(BrokenSimple):
    """`unlock` wakes nobody: waiters sleep until the ttl is over."""

    caught_by = "test_a_release_wakes_a_waiter"

    def _wake_next(self, name: str) -> None:
        pass


class WakesOneOnly(BrokenSimple):
    """A release wakes the first waiter, and the release of that one nobody."""

    caught_by = "test_all_waiters_get_it_one_after_the_other"
    woken: ClassVar[set[str]] = set()

    def _wake_next(self, name: str) -> None:
        if self._store.queues.get(name) and self._channel not in self.woken:
            self.woken.add(self._channel)
            super()._wake_next(name)


class LooksTooLate(BrokenSimple):
    """A waiter goes to sleep without looking whether the lock was freed meanwhile."""

    caught_by = "test_no_release_between_refusal_and_wait_is_missed"

    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        time.sleep(3)
        return super().wait(name, seen_fence, token, timeout)


class WaitsInSteps(BrokenSimple):
    """A waiter looks four times a second, and is woken by nothing."""

    caught_by = (
        "test_a_release_wakes_a_waiter test_a_waiter_has_it_when_a_dead_holders_time_is_over"
    )

    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        time.sleep(0.25 if timeout is None else min(0.25, timeout / 1000))
        return True


class WaitsForEver(BrokenSimple):
    """`wait` does not look at its timeout."""

    caught_by = "test_a_wait_ends_at_its_timeout"

    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        return super().wait(name, seen_fence, token, None)


class GivesUpEarly(BrokenSimple):
    """`wait` takes its timeout for microseconds, and whoever asks spins."""

    caught_by = "test_a_waiter_does_not_spin"

    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        return super().wait(name, seen_fence, token, None if timeout is None else timeout // 1000)


class CloseLeavesWaiters(BrokenSimple):
    """`close` wakes nobody that waits on the handle."""

    caught_by = "test_close_wakes_the_waiters_of_the_handle"

    def close(self) -> bool:
        waiting, self._waiting = self._waiting, set()
        super().close()
        self._waiting = waiting
        return True


class CloseFreesAll(BrokenSimple):
    """`close` frees the locks of all handles."""

    caught_by = "test_closing_one_handle_leaves_the_others"

    def close(self) -> bool:
        for name, record in self._store.locks.items():
            self._store.locks[name] = lock_record.freed(record)
        return super().close()


class NewcomersPass(BrokenSimple):
    """`fifo` is claimed, and a newcomer takes the lock before those who wait."""

    caught_by = "test_a_newcomer_does_not_pass_the_queue"

    def _is_next(self, name: str, token: str) -> bool:
        return True


class ChannelsShareLocks(BrokenSimple):
    """A lock of one channel is that of the same name in all."""

    caught_by = "test_locks_of_channels_of_other_names_are_apart"
    shared: ClassVar[dict[str, LockRecord]] = {}

    def __init__(self, channel: str, store: backend._Store, clock: Clock) -> None:
        store.locks = self.shared
        super().__init__(channel, store, clock)


class LockNamesCut(BrokenSimple):
    """Only the first 255 characters of a lock's name count."""

    caught_by = "test_names_are_independent"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name[:255], token, ttl, holder)


class LockNamesTrimmed(BrokenSimple):
    """Blanks around the name of a lock do not count."""

    caught_by = "test_names_are_independent"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name.strip(), token, ttl, holder)


class SharesWithAnybody(BrokenSimple):
    """`share` answers for a lease that is over as for one that lives."""

    caught_by = "test_share_by_another_token_is_refused"

    def share(self, name: str, token: str) -> list[int] | bool:
        return []


class ThreadsStay(BrokenSimple):
    """A handle that was closed leaves the thread behind that served it."""

    caught_by = "test_a_handle_that_was_closed_leaves_no_thread"

    def __init__(self, channel: str, store: backend._Store, clock: Clock) -> None:
        super().__init__(channel, store, clock)
        threading.Thread(target=time.sleep, args=(7,), daemon=True).start()
