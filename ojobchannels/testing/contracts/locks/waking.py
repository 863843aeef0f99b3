"""Waking: a waiter sleeps until the lock may be had, and no longer (rule 7)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import pytest

from ojobchannels.errors import LockBusy, LockLost
from ojobchannels.hookspecs import hookimpl
from ojobchannels.testing.contracts.base import Contract
from ojobchannels.testing.contracts.locks.requests import OTHER, SOON
from ojobchannels.testing.kit.background import PATIENCE, Background, WaitObserver
from ojobchannels.testing.kit.subject import Subject

WOKEN = 0.05


class WakeupContract(Contract):
    """All in real time: what sleeps is woken by no clock that a test turns."""

    def test_a_release_wakes_a_waiter(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """Within 50 ms and a round trip, in the median of ten."""
        holder, waiter = subject.open(), subject.open(extensions=[observer])
        lags = []
        for _ in range(10):
            lease = holder.lock("nightly", ttl=60)

            def wait() -> float:
                with waiter.lock("nightly", ttl=60, wait=30):
                    return time.monotonic()

            waiting = background(wait)
            observer.await_waiters()
            released = time.monotonic()
            lease.release()
            lags.append(waiting.result() - released)
        assert statistics.median(lags) < WOKEN + _round_trip(subject), _told(lags)

    def test_a_release_wakes_one_that_waits_for_ever(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """`wait=None` has no timeout, and still wakes."""
        holder, waiter = subject.open(), subject.open(extensions=[observer])
        lease = holder.lock("nightly", ttl=60)
        waiting = background(waiter.lock, "nightly", ttl=60, wait=None)
        observer.await_waiters()
        lease.release()
        waiting.result().release()

    def test_a_waiter_on_the_holders_own_handle_is_woken(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """Threads of one handle are as good as handles."""
        channel = subject.open(extensions=[observer])
        lease = channel.lock("nightly", ttl=60)
        waiting = background(channel.lock, "nightly", ttl=60, wait=30)
        observer.await_waiters()
        began = time.monotonic()
        lease.release()
        waiting.result().release()
        assert time.monotonic() - began < SOON

    def test_all_waiters_get_it_one_after_the_other(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """A release wakes somebody for as long as somebody waits."""
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

    def test_a_waiter_has_it_when_a_dead_holders_time_is_over(
        self, subject: Subject, background: Background
    ) -> None:
        """Nobody unlocks, and it wakes within 50 ms and a round trip; the median of five."""
        holder, waiter = subject.open(), subject.open()
        lags = []
        for turn in range(5):
            began = time.monotonic()
            dead = holder.lock(f"nightly {turn}", ttl=0.15)
            lease = background(waiter.lock, dead.name, ttl=60, wait=30).result()
            lags.append(time.monotonic() - began - 0.15)
            assert lease.fence > dead.fence
        assert min(lags) > -0.02, f"it was granted before its time: {_told(lags)}"
        assert statistics.median(lags) < WOKEN + _round_trip(subject), _told(lags)

    def test_a_lease_that_was_shortened_is_over_for_its_waiters_too(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """A waiter that went to wait under a long lease does not sleep until its old end."""
        holder, waiter = subject.open(), subject.open(extensions=[observer])
        lease = holder.lock("nightly", ttl=60)
        waiting = background(waiter.lock, "nightly", ttl=60, wait=30)
        observer.await_waiters()
        began = time.monotonic()
        lease.extend(0.1)
        waiting.result()
        assert time.monotonic() - began < SOON

    def test_a_lease_that_is_renewed_is_not_over_for_its_waiters(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """A waiter wakes by the end that was, and goes on to wait."""
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

    def test_a_forced_unlock_wakes_a_waiter(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """And the one that was put out is told at its release."""
        holder, waiter, admin = (
            subject.open(),
            subject.open(extensions=[observer]),
            subject.open(),
        )
        put_out = holder.lock("nightly", ttl=60)
        waiting = background(waiter.lock, "nightly", ttl=60, wait=30)
        observer.await_waiters()
        began = time.monotonic()
        admin.force_unlock("nightly")
        waiting.result()
        assert time.monotonic() - began < SOON
        with pytest.raises(LockLost):
            put_out.release()
        assert admin.lock_info("nightly") is not None

    def test_the_close_of_a_holder_wakes_a_waiter(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """It releases the leases of the handle."""
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
        """A lock that is freed before the waiter sits down is noticed."""
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
        """One that was never taken, and one that was released."""
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

    def test_wait_returns_at_once_when_the_fence_is_another(
        self, subject: Subject, background: Background
    ) -> None:
        """Who was refused under an older lease asks again rather than sleeping on the newer one."""
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

    def test_a_waiter_on_another_lock_is_left_alone(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """It neither gets nor loses anything by what happens to other names."""
        holder, waiter = subject.open(), subject.open(extensions=[observer])
        kept, other = holder.lock("kept", ttl=60), holder.lock("other", ttl=60)
        waiting = background(waiter.lock, "kept", ttl=60, wait=30)
        observer.await_waiters()
        other.release()
        holder.lock("other", ttl=60)
        assert not waiting.done()
        kept.release()
        assert waiting.result().name == "kept"


def _round_trip(subject: Subject) -> float:
    """What an acquisition and a wake-up over the net may cost beside."""
    channel = subject.opened[-1]
    began = time.monotonic()
    for _ in range(5):
        channel.lock_info("none")
    return (time.monotonic() - began) * 2 / 5


def _told(lags: list[float]) -> str:
    return "woken after " + ", ".join(f"{lag * 1000:.0f}" for lag in sorted(lags)) + " ms"
