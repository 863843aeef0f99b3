"""AsyncLaunch: a launched job that can be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from ojobchannels.manager.local_launches.launcher import Launch, LaunchState


class AsyncLaunch:
    """The handle of a launched job; ``await`` it for the result of the job.

    Example:
        >>> import asyncio, ojobchannels as oc
        >>> async def main() -> str:
        ...     async with oc.AsyncJobManager() as manager:
        ...         @manager.job("report")
        ...         async def report(day: str) -> str:
        ...             return f"report of {day}"
        ...         return await manager.launch("report", {"day": "monday"})
        >>> asyncio.run(main())
        'report of monday'
    """

    def __init__(self, launch: Launch, task: asyncio.Task[None]) -> None:
        self._launch = launch
        self._task = task

    @property
    def launch_id(self) -> str:
        """The unique identifier of the launch."""
        return self._launch.launch_id

    @property
    def name(self) -> str:
        """The job."""
        return self._launch.name

    @property
    def state(self) -> LaunchState:
        """One of ``waiting``, ``running``, ``completed``, ``failed`` and ``skipped``."""
        return self._launch.state

    @property
    def run_id(self) -> str | None:
        """The identifier of its managed run, once that has started."""
        return self._launch.run_id

    @property
    def error(self) -> BaseException | None:
        """The exception with which it has ended; None if it completed, or has not ended."""
        return self._launch.error

    def done(self) -> bool:
        """Return whether the launch has ended."""
        return self._launch.done()

    def cancel(self) -> None:
        """Cancel its task; the run is recorded as failed, and the lock is released."""
        self._task.cancel()

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait for its end, and return the result of the job (None if it did not run)."""
        return self._ended().__await__()

    def __repr__(self) -> str:
        return repr(self._launch).replace("<Launch", "<AsyncLaunch", 1)

    async def _ended(self) -> Any:
        await asyncio.wait([self._task])  # a cancelled waiter does not cancel the launch
        return self._launch.result(0)
