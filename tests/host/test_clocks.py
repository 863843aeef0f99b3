"""The clock of the host, and fences that it takes on; the kit proves what its steps do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ojobchannels.host.clock import HOST_CLOCK

if TYPE_CHECKING:
    from tests.conftest import ManualClock, Storage


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
