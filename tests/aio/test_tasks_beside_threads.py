"""Tasks and threads that use one channel at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import ojobchannels as oc

WORKERS = 3
SECTIONS = 40


class Ledger:
    """Shows whether two holders were ever inside at once, or in the wrong order."""

    def __init__(self) -> None:
        self.inside: list[int] = []
        self.fences: list[int] = []

    def enter(self, fence: int) -> None:
        """Note a holder, who must be alone and newer than all others."""
        assert self.inside == []
        assert self.fences == [] or fence > self.fences[-1]
        self.inside.append(fence)
        self.fences.append(fence)

    def leave(self, fence: int) -> None:
        """Note that the holder has left."""
        assert self.inside == [fence]
        self.inside.clear()


def test_tasks_and_threads_exclude_each_other(tmp_path: Path) -> None:
    """On the channel in memory: one holder at a time, growing fences, no increment lost."""
    ledger = Ledger()

    async def task(channel: oc.AsyncChannel) -> None:
        for _ in range(SECTIONS):
            async with channel.lock("nightly", ttl=600, wait=None) as lease:
                ledger.enter(lease.fence)
                count = await channel.get("count", 0)
                await asyncio.sleep(0)
                await channel.set("count", count + 1, fence=lease.fence)
                ledger.leave(lease.fence)

    def thread(channel: oc.Channel) -> None:
        for _ in range(SECTIONS):
            with channel.lock("nightly", ttl=600, wait=None) as lease:
                ledger.enter(lease.fence)
                count = channel.get("count", 0)
                channel.set("count", count + 1, fence=lease.fence)
                ledger.leave(lease.fence)

    async def test() -> None:
        async with oc.open_async_channel("beside", type="simple", space=str(tmp_path)) as channel:
            threads = [asyncio.to_thread(thread, channel.sync) for _ in range(WORKERS)]
            await asyncio.gather(*threads, *(task(channel) for _ in range(WORKERS)))
            assert await channel.get("count") == 2 * WORKERS * SECTIONS

    asyncio.run(test())
    assert len(ledger.fences) == 2 * WORKERS * SECTIONS
