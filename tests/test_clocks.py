"""Rule 4: which clock judges a lease, and what its steps do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.host.clock import HOST_CLOCK

if TYPE_CHECKING:
    from conftest import ManualClock, Storage

HOUR = 3600
MICROSECOND = 1e-6


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
def test_rule_4_a_step_of_the_wall_clock_changes_nothing(
    storage: Storage, clock: ManualClock, step: int
) -> None:
    """A lease that is held lives as long as before: for its holder, for others, and to the end."""
    one, other = storage.open(clock=clock), storage.open(clock=clock)
    lease = one.lock("nightly", ttl=60)
    clock.advance(20)
    left = lease.remaining()
    clock.step_wall(step)
    assert lease.remaining() == left
    lease.check()
    with pytest.raises(oc.LockBusy) as busy:
        other.lock("nightly", ttl=60)
    assert busy.value.remaining == 40
    info = other.lock_info("nightly")
    assert info is not None
    assert info.until * 1000 == clock.wall() + 40_000_000
    clock.advance(39.9)
    assert other.try_lock("nightly", ttl=60) is None
    clock.advance(0.1)
    assert other.lock_info("nightly") is None
    with other.lock("nightly", ttl=60) as next_lease:
        assert next_lease.fence > lease.fence


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
def test_rule_4_a_lease_is_renewed_and_released_across_a_step(
    storage: Storage, clock: ManualClock, step: int
) -> None:
    """Extend and release do not look at the wall clock either."""
    one, other = storage.open(clock=clock), storage.open(clock=clock)
    lease = one.lock("nightly", ttl=60)
    for _ in range(5):
        clock.step_wall(step)
        clock.advance(50)
        lease.extend()
        assert other.try_lock("nightly", ttl=60) is None
    document = lease.to_document()
    clock.step_wall(step)
    adopted = other.lease_from(document)
    assert adopted.remaining() == pytest.approx(60 * 0.99)
    adopted.release()
    assert one.lock_info("nightly") is None


def test_rule_4_now_at_or_after_until_is_expired(storage: Storage, clock: ManualClock) -> None:
    """To the microsecond: one before the end the lease lives, at the end it does not."""
    one, other = storage.open(clock=clock), storage.open(clock=clock)
    asked = {"name": "nightly", "token": "a" * 32, "ttl": 10_000}
    for end_matters in ("lock", "extend", "unlock", "adopt", "info"):
        one.hook.lock(**asked, holder={})
        clock.advance(10 - MICROSECOND)
        assert other.try_lock("nightly", ttl=1) is None
        assert one.lock_info("nightly") is not None
        assert len(other.locks()) == 1
        clock.advance(MICROSECOND)
        if end_matters == "lock":
            other.lock("nightly", ttl=1).release()
        elif end_matters == "extend":
            assert one.hook.extend(**asked) is False
        elif end_matters == "unlock":
            assert one.hook.unlock(name="nightly", token="a" * 32) is False
        elif end_matters == "adopt":
            assert one.hook.adopt(name="nightly", token="a" * 32, holder={}) is False
        else:
            assert one.lock_info("nightly") is None
            assert other.locks() == []
            assert one.force_unlock("nightly") is None


def test_rule_4_the_last_microsecond_belongs_to_the_holder(
    storage: Storage, clock: ManualClock
) -> None:
    """Just before the end the holder's token still unlocks and extends."""
    channel = storage.open(clock=clock)
    asked = {"name": "nightly", "token": "a" * 32, "ttl": 10_000}
    channel.hook.lock(**asked, holder={})
    clock.advance(10 - MICROSECOND)
    assert channel.hook.extend(**asked) is True
    clock.advance(10 - MICROSECOND)
    assert channel.hook.unlock(name="nightly", token="a" * 32) is True


def test_rule_4_a_record_of_another_boot_counts_until_its_wall_deadline(
    storage: Storage, clock: ManualClock
) -> None:
    """After a reboot `now` starts anew and says nothing of older leases; the wall clock does."""
    before = storage.open(clock=clock)
    lease = before.lock("nightly", ttl=60)
    clock.advance(20)
    clock.reboot()
    after = storage.open(clock=clock)
    clock.advance(5)
    with pytest.raises(oc.LockBusy) as busy:
        after.lock("nightly", ttl=60)
    assert busy.value.remaining == 35
    clock.advance(35 - MICROSECOND)
    assert after.try_lock("nightly", ttl=60) is None
    clock.advance(MICROSECOND)
    with after.lock("nightly", ttl=60) as next_lease:
        assert next_lease.fence > lease.fence
        assert next_lease.previous is not None


def test_rule_4_the_clock_is_read_after_the_wait_for_the_storage(
    storage: Storage, clock: ManualClock
) -> None:
    """Time that passes on the way to the storage is not given to the lease at its other end."""

    class Delayed:
        @oc.hookimpl(wrapper=True)
        def lock(self) -> object:
            clock.advance(100)
            return (yield)

    channel = storage.open(clock=clock, extensions=[Delayed()])
    asked = {"name": "nightly", "token": "a" * 32, "ttl": 10_000, "holder": {}}
    channel.hook.lock(**asked)
    info = channel.lock_info("nightly")
    assert info is not None
    assert info.until * 1000 == clock.wall() + 10_000_000


def test_rule_5_fences_grow_when_the_wall_clock_steps_back(
    storage: Storage, clock: ManualClock
) -> None:
    """The last fence is remembered, and one more than it is higher than the clock."""
    fences = []
    for _ in range(10):
        with storage.open(clock=clock) as channel, channel.lock("nightly", ttl=60) as lease:
            fences.append(lease.fence)
        clock.step_wall(-HOUR)
    assert fences == sorted(set(fences))


def test_rule_5_a_fence_survives_until_a_day_after_the_clock_passed_it(
    storage: Storage, clock: ManualClock
) -> None:
    """A wall clock that was ahead for a while left high fences: they are not forgotten early."""
    clock.step_wall(30 * 24 * HOUR)
    with storage.open(clock=clock) as channel:
        ahead = channel.lock("nightly", ttl=60)
        ahead.release()
    clock.step_wall(-30 * 24 * HOUR)
    for days in (1, 28, 1, 0.9):
        clock.advance(days * 24 * HOUR)
        with storage.open(clock=clock) as channel, channel.lock("nightly", ttl=60) as lease:
            assert lease.fence > ahead.fence


def test_rule_5_fences_grow_where_the_last_one_was_lost(
    shared_storage: Storage, clock: ManualClock
) -> None:
    """With files deleted, the clock takes the fences on."""
    with shared_storage.open(clock=clock) as channel, channel.lock("nightly", ttl=60) as lease:
        before = lease.fence
    clock.advance(1)
    for path in sorted(shared_storage.path.parent.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with shared_storage.open(clock=clock) as channel, channel.lock("nightly", ttl=60) as lease:
        assert lease.fence > before


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="Linux has CLOCK_BOOTTIME")
def test_the_hosts_clock_runs_through_suspend_and_knows_its_boot() -> None:
    """CLOCK_BOOTTIME, and an epoch made of boot id and time namespace."""
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    assert before <= HOST_CLOCK.now() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    assert HOST_CLOCK.epoch.split("/") == [boot_id, str(Path("/proc/self/ns/time").stat().st_ino)]
    assert abs(HOST_CLOCK.wall() - time.time_ns() // 1000) < 1_000_000
