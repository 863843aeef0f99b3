"""AsyncDurableLaunch: the handle of a durable launch, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from ojobchannels.aio.calls import Calls
from ojobchannels.manager.durable_launches.handle import (
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    DurableLaunch,
)
from ojobchannels.manager.durable_launches.info import LaunchInfo


class AsyncDurableLaunch:
    """The handle of a durable launch; ``await`` it for the result of the job.

    Each question reads the channel. `ojobchannels.DurableLaunch` is the same for threads.

    Attributes:
        sync: That handle, for code on other threads.
    """

    def __init__(self, launch: DurableLaunch[Any], calls: Calls) -> None:
        self.sync = launch
        self._calls = calls

    @property
    def launch_id(self) -> str:
        """Its identifier, for `AsyncJobManager.launch_result` in any process."""
        return self.sync.launch_id

    @property
    def name(self) -> str:
        """The job."""
        return self.sync.name

    async def info(self) -> LaunchInfo:
        """Return the launch as it is stored now."""
        return await self._calls.call(lambda: self.sync.info)

    async def done(self) -> bool:
        """Return whether it has ended."""
        return await self._calls.call(self.sync.done)

    async def result(self) -> Any:
        """Wait for its end, and return the result of the job (None if it was skipped).

        The channel is read at least once a second; no thread waits. `asyncio.timeout` limits it.

        Raises:
            LaunchFailed: It did not complete.
            ResultNotKept: The result is too large, or not JSON.
        """
        pause = SHORTEST_PAUSE
        while not await self.done():
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        return await self._calls.call(lambda: self.sync.result(0))

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait for its end, and return the result of the job."""
        return self.result().__await__()

    def __repr__(self) -> str:
        return repr(self.sync).replace("<DurableLaunch", "<AsyncDurableLaunch", 1)
