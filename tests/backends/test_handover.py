"""What a backend on one host keeps of leases that are shared; the kit proves hand-over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import ManualClock, Storage


def test_shared_leases_that_were_not_released_keep_no_files_open(
    shared_storage: Storage, clock: ManualClock
) -> None:
    """They are not remembered; live ones are."""
    channel = shared_storage.open(clock=clock)
    kept = [channel.lock(f"kept {n}", ttl=60) for n in range(9)]
    shared = [lease.share() for lease in kept]
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(60):
        channel.lock("nightly", ttl=0.1).share()
        clock.advance(0.1)
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 20
    assert [lease.share() for lease in kept] == shared
    channel.close()
    assert shared_storage.open(clock=clock).locks() == []
