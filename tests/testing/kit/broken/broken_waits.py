"""Backends with a defect in waits, handles or names."""

from __future__ import annotations

import threading
import time
from typing import Any, ClassVar

from broken_backends import BrokenSimple

from ojobchannels.backends import lock_record
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.backends.simple.store import Store
from ojobchannels.hookspecs import Busy, Granted, LockInfo
from ojobchannels.host.clock import Clock
from ojobchannels.testing.kit.background import SOON


class LostWakeUps(BrokenSimple):
    """`unlock` wakes no waiter; they sleep until the ttl ends."""

    caught_by = "test_a_release_wakes_a_waiter"

    def _wake_next(self, name: str) -> None:
        pass


class WakesOneOnly(BrokenSimple):
    """Only the first release wakes a waiter."""

    caught_by = "test_all_waiters_get_the_lock_in_turn"
    woken: ClassVar[set[str]] = set()

    def _wake_next(self, name: str) -> None:
        if self._store.queues.get(name) and self._channel not in self.woken:
            self.woken.add(self._channel)
            super()._wake_next(name)


class ChecksTooLate(BrokenSimple):
    """A waiter sleeps without checking whether the lock was freed in between."""

    caught_by = "test_no_release_between_refusal_and_wait_is_missed"

    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        time.sleep(1.2 * SOON)
        return super().wait(name, seen_fence, token, timeout)


class WaitsByPolling(BrokenSimple):
    """A waiter polls four times a second, and is not woken."""

    caught_by = "test_a_release_wakes_a_waiter test_a_waiter_gets_the_lock_when_a_lease_expires"

    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        time.sleep(0.25 if timeout is None else min(0.25, timeout / 1000))
        return True


class WaitsTooLong(BrokenSimple):
    """`wait` ignores its timeout."""

    caught_by = "test_a_wait_ends_at_its_timeout"

    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        return super().wait(name, seen_fence, token, None)


class GivesUpEarly(BrokenSimple):
    """`wait` uses its timeout as microseconds, so that the waiter spins."""

    caught_by = "test_a_waiter_does_not_spin"

    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        return super().wait(name, seen_fence, token, None if timeout is None else timeout // 1000)


class CloseLeavesWaiters(BrokenSimple):
    """`close` does not wake the waiters of the handle."""

    caught_by = "test_close_wakes_the_waiters_of_the_handle"

    def close(self) -> bool:
        waiting, self._waiting = self._waiting, set()
        super().close()
        self._waiting = waiting
        return True


class CloseFreesAll(BrokenSimple):
    """`close` frees the locks of all handles."""

    caught_by = "test_closing_one_handle_does_not_affect_others"

    def close(self) -> bool:
        for name, record in self._store.locks.items():
            self._store.locks[name] = lock_record.freed(record)
        return super().close()


class NewcomersPass(BrokenSimple):
    """A new request gets the lock before the waiters although `fifo` is claimed."""

    caught_by = "test_a_newcomer_does_not_pass_the_queue"

    def _is_next(self, name: str, token: str) -> bool:
        return True


class ChannelsShareLocks(BrokenSimple):
    """All channels share the locks with the same name."""

    caught_by = "test_channels_do_not_share_locks"
    shared: ClassVar[dict[str, LockRecord]] = {}

    def __init__(self, channel: str, store: Store, clock: Clock) -> None:
        store.locks = self.shared
        super().__init__(channel, store, clock)


class LockNamesCut(BrokenSimple):
    """Lock names are truncated to 255 characters."""

    caught_by = "test_lock_names_are_independent"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name[:255], token, ttl, holder)


class LockNamesTrimmed(BrokenSimple):
    """Spaces around lock names are removed."""

    caught_by = "test_lock_names_are_independent"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name.strip(), token, ttl, holder)


class LockNamesEndAtControls(BrokenSimple):
    """Lock names end at the first control character, so that all slots are one."""

    caught_by = "test_a_lock_has_as_many_holders_as_slots test_another_name_is_never_a_slot"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        return super().lock(name.partition("\x1f")[0], token, ttl, holder)


class EvictionsWakeNoWaiter(BrokenSimple):
    """`force_unlock` wakes no waiter, so that one for a slot must look again."""

    caught_by = "test_a_release_of_a_slot_wakes_a_waiter"

    def force_unlock(self, name: str) -> LockInfo | None:
        with self._store.mutex:
            evicted = self._info(name)
            if evicted:
                self._store.locks[name] = lock_record.force_released(self._store.locks[name])
            return evicted


class SharesWithAnyToken(BrokenSimple):
    """`share` ignores the token and the state of the lease."""

    caught_by = "test_share_with_another_token_is_refused"

    def share(self, name: str, token: str) -> list[int] | bool:
        return []


class ThreadsLeftBehind(BrokenSimple):
    """A closed handle leaves a thread behind."""

    caught_by = "test_a_closed_handle_leaves_no_thread"

    def __init__(self, channel: str, store: Store, clock: Clock) -> None:
        super().__init__(channel, store, clock)
        threading.Thread(target=time.sleep, args=(1.2 * SOON,), daemon=True).start()
