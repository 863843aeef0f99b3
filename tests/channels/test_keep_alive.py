"""Keep-alive: when leases are renewed, by which threads, and how losses are reported."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from tests.channels.conftest import TTL, Renewals, gone, threads

if TYPE_CHECKING:
    from tests.conftest import ManualClock, Storage


def test_a_lease_is_renewed_for_as_long_as_it_is_held(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """It is held beyond its ttl, and not renewed after the release."""
    channel = storage.open(clock=clock, extensions=[renewals])
    other = storage.open(clock=clock)
    with channel.lock("nightly", ttl=TTL, keep_alive=True) as lease:
        renewals.bring(4, clock)
        lease.check()
        assert not lease.lost
        assert other.try_lock("nightly", ttl=1) is None
    assert other.lock_info("nightly") is None
    assert gone("keep-alive")


def test_leases_in_quick_succession_share_one_thread(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread watches all of them, and ends when the channel is closed."""
    monkeypatch.setattr("ojobchannels.channels.keepalive.scheduler._LONGEST_SLEEP", 3_600_000_000)
    channel = storage.open()
    watchers = set()
    for _ in range(20):
        with channel.lock("nightly", ttl=60, keep_alive=True):
            watchers.update(threads("keep-alive"))
    assert len(watchers) == 1
    channel.close()
    assert gone("keep-alive")


def test_a_lease_that_expires_soon_is_renewed_before_longer_ones(
    storage: Storage, renewals: Renewals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short lease, and one that is cut short, are renewed in time beside a long one."""
    monkeypatch.setattr("ojobchannels.channels.keepalive.scheduler._LONGEST_SLEEP", 3_600_000_000)
    channel = storage.open(extensions=[renewals])
    with channel.lock("weekly", ttl=9_000, keep_alive=True) as long:
        with channel.lock("nightly", ttl=6, keep_alive=True) as short:
            renewals.wait_for(1)
            short.check()
        long.extend(6)
        renewals.wait_for(1)
        long.check()


@pytest.mark.ojob_timed
def test_renewals_come_at_thirds_of_the_ttl(storage: Storage, renewals: Renewals) -> None:
    """By the host's clock: after a third or a little earlier, and before the end of the second."""
    channel = storage.open(extensions=[renewals])
    began = time.monotonic()
    with channel.lock("nightly", ttl=2.4, keep_alive=True):
        renewals.wait_for(2)
    steps = [b - a for a, b in zip([began, *renewals.times], renewals.times, strict=False)]
    assert all(0.7 < step < 1.6 for step in steps), steps


def test_a_renewal_times_out_with_the_lease(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """Its timeout ends with the lease."""
    channel = storage.open(clock=clock, extensions=[renewals])
    with channel.lock("nightly", ttl=TTL, keep_alive=True) as lease:
        clock.advance(TTL / 2)
        left = lease.remaining()
        assert renewals.begun.acquire(timeout=20)
    assert 0 < renewals.timeouts[0] / 1000 <= left


def test_without_keep_alive_a_lease_expires(channel: oc.Channel) -> None:
    """It is not renewed, and no thread runs for it."""
    lease = channel.lock("nightly", ttl=0.05)
    assert threads("keep-alive") == []
    with channel.lock("nightly", ttl=30, wait=10):
        assert lease.lost
        with pytest.raises(oc.LockLost):
            lease.extend()


def test_on_lost_runs_once_when_the_lock_was_force_released(
    storage: Storage, renewals: Renewals
) -> None:
    """At the next renewal, on another thread, with the lease; it stays lost."""
    channel = storage.open(extensions=[renewals])
    losses: SimpleQueue[tuple[oc.Lease, str]] = SimpleQueue()
    lease = channel.lock(
        "nightly",
        ttl=0.9,
        keep_alive=True,
        on_lost=lambda it: losses.put((it, threading.current_thread().name)),
    )
    channel.force_unlock("nightly")
    which, thread = losses.get(timeout=20)
    assert which is lease
    assert thread not in ("ojobchannels-keep-alive", "ojobchannels-renewals", "MainThread")
    assert lease.lost
    assert gone("keep-alive")
    assert losses.empty()
    for attempt in (lease.check, lease.extend, lease.release):
        with pytest.raises(oc.LockLost):
            attempt()
    assert losses.empty()


def test_on_lost_comes_before_the_deadline_when_renewals_hang(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """The callback runs once, while the lease has not expired yet."""
    channel = storage.open(clock=clock, extensions=[renewals])
    renewals.may_go.clear()
    losses: SimpleQueue[oc.Lease] = SimpleQueue()
    leases = [
        channel.lock(f"nightly {number}", ttl=0.6, keep_alive=True, on_lost=losses.put)
        for number in range(5)
    ]
    clock.advance(0.3)
    assert renewals.begun.acquire(timeout=20)
    clock.advance(leases[0].remaining() - 0.01)
    assert {losses.get(timeout=20) for _ in range(5)} == set(leases)
    assert all(clock.now() < lease.deadline for lease in leases)
    assert all(lease.lost for lease in leases)
    assert channel.lock_info("nightly 0") is not None
    assert gone("keep-alive")
    assert losses.empty()


def test_on_lost_is_not_called_for_a_release(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """Nor for a hand-over, nor for a close."""
    channel = storage.open(clock=clock, extensions=[renewals])
    losses: SimpleQueue[oc.Lease] = SimpleQueue()
    released, given, _ = (
        channel.lock(name, ttl=TTL, keep_alive=True, on_lost=losses.put) for name in "abc"
    )
    renewals.bring(1, clock)
    released.release()
    given.to_document()
    channel.close()
    assert gone("keep-alive")
    assert losses.empty()


def test_a_callback_that_blocks_or_fails_affects_no_other_lease(
    storage: Storage,
    renewals: Renewals,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Other leases of the same channel are renewed meanwhile; the error is logged."""
    channel = storage.open(clock=clock, extensions=[renewals])
    other = storage.open(clock=clock)
    blocked, called = threading.Event(), threading.Semaphore(0)

    def block(_: oc.Lease) -> None:
        called.release()
        blocked.wait(30)

    def fail(_: oc.Lease) -> None:
        called.release()
        raise ZeroDivisionError

    kept = channel.lock("kept", ttl=TTL, keep_alive=True)
    channel.lock("blocks", ttl=TTL, keep_alive=True, on_lost=block)
    channel.lock("fails", ttl=TTL, keep_alive=True, on_lost=fail)
    with caplog.at_level(logging.ERROR, "ojobchannels"):
        other.force_unlock("blocks")
        other.force_unlock("fails")
        renewals.bring(1, clock)
        for _ in range(2):
            assert called.acquire(timeout=20)
        renewals.bring(3, clock)
        kept.release()
        blocked.set()
        assert gone("on-lost")
    assert "ZeroDivisionError" in caplog.text


def test_one_scheduler_thread_and_one_worker_per_channel(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """For any number of leases; renewals that are due together are one command."""
    channels = [
        storage.open(f"{storage.name}-{n}", clock=clock, extensions=[renewals]) for n in range(3)
    ]
    leases = [
        channel.lock(f"lock {n}", ttl=TTL, keep_alive=True)
        for channel in channels
        for n in range(10)
    ]
    clock.advance(TTL / 2)
    renewals.wait_for(3)
    assert len(threads("keep-alive")) == 1
    assert 1 <= len(threads("renewals")) <= 3
    assert renewals.sizes == [10, 10, 10]
    for lease in leases:
        assert lease.remaining() == pytest.approx(TTL * 0.99)
        lease.release()
    assert gone("keep-alive")
    assert gone("renewals")


def test_a_channel_that_hangs_does_not_delay_the_others(
    storage: Storage, clock: ManualClock
) -> None:
    """Its leases are lost, those of other channels are renewed."""
    hanging, fine = Renewals(), Renewals()
    hanging.may_go.clear()
    one = storage.open(f"{storage.name}-1", clock=clock, extensions=[hanging])
    other = storage.open(f"{storage.name}-2", clock=clock, extensions=[fine])
    losses: SimpleQueue[oc.Lease] = SimpleQueue()
    try:
        lost = one.lock("nightly", ttl=TTL, keep_alive=True, on_lost=losses.put)
        kept = other.lock("nightly", ttl=TTL, keep_alive=True)
        fine.bring(3, clock)
        assert losses.get(timeout=20) is lost
        fine.bring(1, clock)
        kept.check()
        kept.release()
    finally:
        hanging.may_go.set()


@pytest.mark.parametrize(
    "failure",
    [
        oc.ChannelUnavailable("test", "gone", "wait"),
        ZeroDivisionError(),
        SystemExit(),
        asyncio.CancelledError(),
    ],
    ids=repr,
)
def test_a_renewal_that_failed_is_tried_again(
    storage: Storage,
    renewals: Renewals,
    clock: ManualClock,
    failure: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Three errors in a row do not lose the lease while there is time."""
    channel = storage.open(clock=clock, extensions=[renewals])
    renewals.failures = [failure] * 3
    with caplog.at_level(logging.WARNING, "ojobchannels"):
        with channel.lock("nightly", ttl=TTL, keep_alive=True) as lease:
            clock.advance(TTL / 3)
            renewals.bring_retry(lease, clock)
            lease.check()
        assert gone("keep-alive")
    assert renewals.failures == []
    assert "could not be renewed" in caplog.text


def test_a_lease_shortened_by_extend_is_renewed_at_thirds_of_the_new_ttl(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """Keep-alive uses the ttl that was requested last."""
    channel = storage.open(clock=clock, extensions=[renewals])
    with channel.lock("nightly", ttl=60, keep_alive=True) as lease:
        lease.extend(TTL)
        renewals.bring(4, clock)
        lease.check()
        assert lease.ttl == TTL


def test_close_ends_the_renewals_of_the_channel(storage: Storage, renewals: Renewals) -> None:
    """No thread is left."""
    channel = storage.open(extensions=[renewals])
    channel.lock("nightly", ttl=TTL, keep_alive=True)
    renewals.wait_for(1)
    channel.close()
    assert gone("keep-alive")
    assert gone("renewals")


def test_on_lost_runs_once_when_extend_finds_the_loss(storage: Storage, clock: ManualClock) -> None:
    """The owner gets the error and the callback, once."""
    channel = storage.open(clock=clock)
    losses: SimpleQueue[oc.Lease] = SimpleQueue()
    lease = channel.lock("nightly", ttl=60, on_lost=losses.put)
    channel.force_unlock("nightly")
    for attempt in (lease.extend, lease.extend, lease.release):
        with pytest.raises(oc.LockLost):
            attempt()
    assert losses.get(timeout=20) is lease
    assert gone("on-lost")
    assert gone("keep-alive")
    assert losses.empty()


def test_a_lease_is_lost_in_time_though_its_next_renewal_is_due_later(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """A renewal failed shortly before the end, and would be tried again after it."""
    losses: SimpleQueue[oc.Lease] = SimpleQueue()
    renewals.failures = [oc.ChannelUnavailable("orders", "it is down", "start it")]
    channel = storage.open(clock=clock, extensions=[renewals])
    lease = channel.lock("nightly", ttl=600, keep_alive=True, on_lost=losses.put)
    clock.advance(593.5)
    assert renewals.begun.acquire(timeout=20)
    clock.advance(0.49)
    assert losses.get(timeout=20) is lease


def test_a_locked_record_does_not_cost_the_other_leases(
    file_storage: Storage, renewals: Renewals, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that was stopped while it held the record of one lock delays no other renewal."""
    channel = file_storage.open(clock=clock, timeout=100, extensions=[renewals])
    losses: SimpleQueue[oc.Lease] = SimpleQueue()
    records = file_storage.path.with_name(f"{file_storage.path.name}.ojob") / "locks"
    stuck = channel.lock("stuck", ttl=600, keep_alive=True, on_lost=losses.put)
    (record,) = records.iterdir()
    with record.open() as file, caplog.at_level(logging.WARNING, "ojobchannels"):
        fcntl.flock(file, fcntl.LOCK_EX)
        others = [channel.lock(f"lock {n}", ttl=600, keep_alive=True) for n in range(5)]
        for _ in range(3):
            clock.advance(200.01)
            assert renewals.done.acquire(timeout=20)  # not after minutes
        assert losses.get(timeout=20) is stuck
        for lease in others:
            lease.check()
            lease.release()
        assert gone("renewals")
    assert "'stuck'" in caplog.text
