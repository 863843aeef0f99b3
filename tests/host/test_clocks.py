"""The clock of the host, and fences that it takes on; the kit proves what its steps do."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.host.clock import HOST_CLOCK, boot_of, next_wait, read_epoch

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import ManualClock, Storage

    StartWorker = Callable[..., Child]


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


def make_proc(folder: Path, *parts: str) -> Path:
    """Return a folder like `/proc` with some of its files."""
    for part in parts:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_text("boot-7\n")
    return folder


BOOT_ID = "sys/kernel/random/boot_id"


def test_a_kernel_without_time_namespaces_has_one_clock(tmp_path: Path) -> None:
    """Before Linux 5.6, or built without them: all processes of a boot are of one epoch."""
    proc = make_proc(tmp_path, BOOT_ID, "self/ns/mnt")
    assert read_epoch(proc) == read_epoch(proc)
    assert boot_of(read_epoch(proc)) == "boot-7"


@pytest.mark.parametrize(
    "parts",
    [[], [BOOT_ID], ["self/ns/time"], [BOOT_ID, "self/ns/mnt", "self/timens_offsets"]],
)
def test_what_is_not_known_is_equal_to_nothing(tmp_path: Path, parts: list[str]) -> None:
    """Two processes that do not know their boot or time namespace may be of different ones."""
    proc = make_proc(tmp_path, *parts)
    one, other = read_epoch(proc), read_epoch(proc)
    assert one != other
    assert (boot_of(one) == boot_of(other)) is (BOOT_ID in parts)


class Container:
    """The clock of a container with a boot id of its own; the wall clock may be set."""

    def __init__(self, epoch: str, ahead: int = 0) -> None:
        self.epoch = epoch
        self.ahead = ahead

    def now(self) -> int:
        """Return the time of the kernel, which all containers share."""
        return HOST_CLOCK.now()

    def wall(self) -> int:
        """Return the wall clock."""
        return HOST_CLOCK.wall() + self.ahead


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_live_holder_of_another_container_keeps_its_lock(
    shared_storage: Storage, hours: int
) -> None:
    """Also when the wall clock is set: its liveness proves that both are on one kernel."""
    holder = shared_storage.open(clock=Container("boot-a/1"))
    other = shared_storage.open(clock=Container("boot-b/1", hours * 3_600_000_000))
    lease = holder.lock("nightly", ttl=60)
    assert other.try_lock("nightly", ttl=60) is None
    info = other.lock_info("nightly")
    assert info is not None
    assert [one.name for one in other.locks()] == ["nightly"]
    with pytest.raises(oc.LockBusy) as busy:
        other.lock("nightly", ttl=60)
    assert 50 < busy.value.remaining <= 60
    lease.extend(60)
    lease.release()
    other.lock("nightly", ttl=60).release()


def test_a_lease_of_another_container_ends(shared_storage: Storage) -> None:
    """When both clocks say so, although its holder lives: no lock stays forever."""
    holder = shared_storage.open(clock=Container("boot-a/1"))
    other = shared_storage.open(clock=Container("boot-b/1"))
    lease = holder.lock("nightly", ttl=1)
    other.lock("nightly", ttl=60, wait=20)
    with pytest.raises(oc.LockLost):
        lease.extend()


def test_the_death_of_a_holder_in_another_container_frees_its_lock(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """Once it was seen alive, it is known to be on this kernel, and is missed at once."""
    worker = start_worker("channel.lock('nightly', ttl=3600)\nsend()\nreceive()", shared_storage)
    worker.receive()
    channel = shared_storage.open(clock=Container("boot-b/1"))
    assert channel.try_lock("nightly", ttl=60) is None
    worker.kill()
    channel.lock("nightly", ttl=60, wait=20).release()


def test_a_wait_of_any_length_is_cut_to_what_the_system_can_wait() -> None:
    """Some system calls take 24 days at most."""
    assert [next_wait(each) for each in (None, 0.0, 5.0, 2_592_000.0, math.inf)] == [
        None,
        0.0,
        5.0,
        86_400.0,
        86_400.0,
    ]
