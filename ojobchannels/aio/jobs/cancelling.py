"""The end of tasks that are cancelled: by an operator, or with their manager."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ojobchannels.manager.runs.run import JobRun

GRACE_SECONDS: Final = 1.0
"""The time for the body to end by itself, as of a run that is cancelled in a job file."""


def when_cancelled(run: JobRun, cancel: Callable[[], object]) -> None:
    """Call `cancel` in this loop when an operator has cancelled the run, after the grace."""
    loop = asyncio.get_running_loop()

    def notice() -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(loop.call_later, GRACE_SECONDS, cancel)

    run._cancelling.then(notice)


async def cancel_all(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    while tasks:
        with suppress(asyncio.CancelledError):
            await asyncio.wait(tasks)


class TaskCancel:
    """Cancels the current task if its run is cancelled; as `asyncio.timeout` does at its time.

    Args:
        run: The run.
    """

    def __init__(self, run: JobRun) -> None:
        self._run = run
        self._task = asyncio.current_task()
        self._earlier = 0 if self._task is None else self._task.cancelling()
        self._is_over = False
        self._has_cancelled = False
        when_cancelled(run, self._cancel)

    def end(self) -> bool:
        """End it; return whether it has cancelled the task, and nothing else has."""
        self._is_over = True
        if not self._has_cancelled or self._task is None:
            return False
        return self._task.uncancel() <= self._earlier

    def _cancel(self) -> None:
        if not self._is_over and self._run.open and self._task is not None:
            self._has_cancelled = True
            self._task.cancel()
