"""Waking: a waiter sleeps until the lock can be free, and no longer (rule 7)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ojobchannels.errors import LockBusy, LockLost
from ojobchannels.hookspecs import hookimpl
from ojobchannels.testing.contracts.base import Contract, timed
from ojobchannels.testing.contracts.locks.requests import OTHER
from ojobchannels.testing.contracts.promptness import assert_prompt
from ojobchannels.testing.kit.background import PATIENCE, SOON, Background, WaitObserver
from ojobchannels.testing.kit.subject import Subject


@timed
class WakeupContract(Contract):
    """In real time, since a manual clock does not wake a sleeping thread."""

    def test_a_release_wakes_a_waiter(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """Within 50 ms and some round trips, in the median of ten."""
        holder, waiter = subject.open(), subject.open(extensions=[observer])

        def wait() -> float:
            with waiter.lock("nightly", ttl=60, wait=30):
                return time.monotonic()

        def lag() -> float:
            lease = holder.lock("nightly", ttl=60)
            waiting = background(wait)
            observer.await_waiters()
            released = time.monotonic()
            lease.release()
            return waiting.result() - released

        assert_prompt(subject, lambda _: [lag() for _ in range(10)])

    def test_a_release_wakes_a_waiter_without_a_timeout(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """`wait=None` waits without a timeout."""
        holder, waiter = subject.open(), subject.open(extensions=[observer])
        lease = holder.lock("nightly", ttl=60)
        waiting = background(waiter.lock, "nightly", ttl=60, wait=None)
        observer.await_waiters()
        lease.release()
        waiting.result().release()

    def test_a_release_wakes_a_waiter_on_the_same_handle(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """Threads can wait on the handle of the holder."""
        channel = subject.open(extensions=[observer])
        lease = channel.lock("nightly", ttl=60)
        waiting = background(channel.lock, "nightly", ttl=60, wait=30)
        observer.await_waiters()
        began = time.monotonic()
        lease.release()
        waiting.result().release()
        assert time.monotonic() - began < SOON

    def test_all_waiters_get_the_lock_in_turn(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """Each release wakes a waiter while there is one."""
        handles = [subject.open(extensions=[observer]) for _ in range(3)]
        lease = handles[0].lock("nightly", ttl=60)

        def work(number: int) -> None:
            handles[number % 3].lock("nightly", ttl=60, wait=30).release()

        waiting = [background(work, number) for number in range(6)]
        observer.await_waiters(6)
        lease.release()
        for one in waiting:
            one.result()
        assert handles[0].lock_info("nightly") is None

    def test_a_waiter_gets_the_lock_when_a_lease_expires(
        self, subject: Subject, background: Background
    ) -> None:
        """Within 50 ms and some round trips, in the median of five."""
        holder, waiter = subject.open(), subject.open()

        def lag(name: str) -> float:
            began = time.monotonic()
            dead = holder.lock(name, ttl=0.15)
            lease = background(waiter.lock, name, ttl=60, wait=30).result()
            waited = time.monotonic() - began
            assert lease.fence > dead.fence
            assert waited > 0.13, f"it was granted after {waited * 1000:.0f} of 150 ms"
            return waited - 0.15

        assert_prompt(subject, lambda attempt: [lag(f"{attempt} {turn}") for turn in range(5)])

    def test_a_waiter_notices_a_shortened_lease(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """It does not sleep until the original end."""
        holder, waiter = subject.open(), subject.open(extensions=[observer])
        lease = holder.lock("nightly", ttl=60)
        waiting = background(waiter.lock, "nightly", ttl=60, wait=30)
        observer.await_waiters()
        began = time.monotonic()
        lease.extend(0.1)
        waiting.result()
        assert time.monotonic() - began < SOON

    def test_a_waiter_notices_an_extended_lease(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """It wakes at the original end, and continues to wait."""
        holder, waiter = subject.open(), subject.open(extensions=[observer])
        for ttl in (0.25, 1, 4):  # a busy machine may be too late to renew the first
            lease = holder.lock(f"lock for {ttl} s", ttl=ttl)
            waiting = background(waiter.lock, lease.name, ttl=60, wait=1.6 * ttl)
            observer.await_waiters()
            try:
                lease.extend(60)
            except LockLost:
                continue
            with pytest.raises(LockBusy):
                waiting.result(PATIENCE + 1.6 * ttl)
            return
        pytest.fail("no lease could be renewed, not even one of four seconds")

    def test_force_unlock_wakes_a_waiter(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """The evicted holder gets LockLost from its release."""
        holder, waiter, admin = (
            subject.open(),
            subject.open(extensions=[observer]),
            subject.open(),
        )
        evicted = holder.lock("nightly", ttl=60)
        waiting = background(waiter.lock, "nightly", ttl=60, wait=30)
        observer.await_waiters()
        began = time.monotonic()
        admin.force_unlock("nightly")
        waiting.result()
        assert time.monotonic() - began < SOON
        with pytest.raises(LockLost):
            evicted.release()
        assert admin.lock_info("nightly") is not None

    def test_closing_the_holders_handle_wakes_a_waiter(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """`close` releases the leases of the handle."""
        holder, waiter = subject.open(), subject.open(extensions=[observer])
        holder.lock("nightly", ttl=60)
        waiting = background(waiter.lock, "nightly", ttl=60, wait=30)
        observer.await_waiters()
        began = time.monotonic()
        holder.close()
        waiting.result()
        assert time.monotonic() - began < SOON

    def test_no_release_between_refusal_and_wait_is_missed(
        self, subject: Subject, background: Background
    ) -> None:
        """A waiter notices a lock that was freed before it began to wait."""
        holder = subject.open()

        class ReleasesFirst:
            @hookimpl(wrapper=True)
            def wait(self) -> Iterator[None]:
                lease.release()
                return (yield)

        waiter = subject.open(extensions=[ReleasesFirst()])
        lease = holder.lock("nightly", ttl=60)
        began = time.monotonic()
        background(waiter.lock, "nightly", ttl=60, wait=30).result().release()
        assert time.monotonic() - began < SOON

    def test_wait_returns_at_once_for_a_free_lock(
        self, subject: Subject, background: Background
    ) -> None:
        """Whether it was never taken or was released."""
        channel = subject.open()
        seen = channel.lock("released", ttl=60)
        seen.release()
        began = time.monotonic()
        for name, fence in (("never taken", 0), ("released", seen.fence)):
            background(
                channel.hook.wait, name=name, seen_fence=fence, token=OTHER, timeout=20_000
            ).result()
            channel.hook.unlock(name=name, token=OTHER)
        assert time.monotonic() - began < SOON

    def test_wait_returns_at_once_for_another_fence(
        self, subject: Subject, background: Background
    ) -> None:
        """A request refused because of an older lease is repeated at once."""
        channel = subject.open()
        lease = channel.lock("nightly", ttl=60)
        began = time.monotonic()
        background(
            channel.hook.wait,
            name="nightly",
            seen_fence=lease.fence - 1,
            token=OTHER,
            timeout=20_000,
        ).result()
        assert time.monotonic() - began < SOON

    def test_a_waiter_is_not_affected_by_other_locks(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """Grants and releases of other names do not end its wait."""
        holder, waiter = subject.open(), subject.open(extensions=[observer])
        kept, other = holder.lock("kept", ttl=60), holder.lock("other", ttl=60)
        waiting = background(waiter.lock, "kept", ttl=60, wait=30)
        observer.await_waiters()
        other.release()
        holder.lock("other", ttl=60)
        assert not waiting.done()
        kept.release()
        assert waiting.result().name == "kept"
