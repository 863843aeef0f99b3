"""AsyncJob: a coroutine function as a managed job."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from ojobchannels.aio.jobs.run import AsyncJobRun
from ojobchannels.errors import InvalidOption, JobMisuse
from ojobchannels.manager.jobs import Job
from ojobchannels.manager.local_launches.launcher import DidNotRun, Launch

if TYPE_CHECKING:
    from ojobchannels.manager.runs.run import JobRun

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_log = logging.getLogger("ojobchannels.jobs")


def check_coroutine_function(name: str, function: object) -> None:
    """Check that a call of a function returns what can be awaited.

    Raises:
        InvalidOption: It is not a coroutine function.
    """
    tested = function
    while isinstance(tested, functools.partial):
        tested = tested.func
    if not inspect.iscoroutinefunction(tested):
        called = getattr(tested, "__call__", None)  # noqa: B004  its kind matters
        if not inspect.iscoroutinefunction(called):
            reason = f"{getattr(tested, '__qualname__', tested)!r} is not a coroutine function"
            raise InvalidOption(f"job {name!r}", reason, "write async def, or use a JobManager")


class AsyncJob(Generic[_Arguments, _Result]):
    """A coroutine function as a managed job, made by `AsyncJobManager.job`.

    An awaited call runs it under its lock, in the task of the caller.

    Attributes:
        name: The name of the job.
        on_loop: The job for callers on threads, such as alerts; it runs the function in the loop.
    """

    on_loop: Job[_Arguments, _Result]

    def __init__(
        self,
        name: str,
        function: Callable[_Arguments, Awaitable[_Result]],
        made: Callable[[JobRun], AsyncJobRun],
        finish: Callable[..., Awaitable[Any]],
    ) -> None:
        self.name = name
        self._function = function
        self._made = made
        self._finish = finish
        functools.update_wrapper(self, function)

    async def __call__(self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result | None:
        """Run the job, with its retries, and return the result of the function.

        If the job is running elsewhere and `if_running` is ``skip``, the result is None.
        """
        try:
            return await self._run(None, args, kwargs)
        except DidNotRun:
            return None

    async def run_launch(
        self, launch: Launch, args: Mapping[str, Any], limit: asyncio.Semaphore
    ) -> None:
        """Run the job for a launch, with its arguments, and end the launch; errors are its own."""
        try:
            async with limit:
                launch._begin()
                with suppress(DidNotRun):
                    launch._finish("completed", await self._launched(launch, args))
                launch._finish("skipped")
        except BaseException as error:  # noqa: BLE001  it is raised where the launch is awaited
            launch._finish("failed", error=error)

    async def _launched(self, launch: Launch, args: Mapping[str, Any]) -> _Result:
        try:
            return await self._run(launch, (), dict(args))
        except DidNotRun:
            raise
        except Exception:
            if launch.run_id is None:  # otherwise the end of its run was logged
                _log.exception("the launched job %r could not start", self.name)
            raise

    async def _run(
        self, launch: Launch | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _Result:
        job = self._job()
        attempt = 1
        while True:
            run = self._made(job._attempt_run(args, kwargs, attempt))
            try:
                async with run:
                    if launch is not None:
                        launch.run_id = run.run_id
                    run.sync._keeps_lock = attempt > job._retries
                    result = await self._function(*args, **kwargs)
                    run.sync._keeps_lock = True
                    return result
            except BaseException as error:
                if not await self._pause_before_retry(run.sync, attempt, error):
                    raise
            attempt += 1

    async def _pause_before_retry(self, run: JobRun, attempt: int, error: BaseException) -> bool:
        """Pause after a failed attempt; return False, after a notice, if it was the last one."""
        if not isinstance(error, Exception):
            await self._notify_of(run, error)
            return False
        job, pauses = self._job(), list[float | None]()
        try:
            await self._finish(lambda: pauses.append(job._pause_after_failure(run, attempt, error)))
            if pauses[0] is not None:
                await asyncio.sleep(pauses[0])
        except asyncio.CancelledError as cancelled:
            if attempt <= job._retries and pauses != [None]:
                await self._notify_of(run, cancelled)
            raise
        return pauses[0] is not None

    async def _notify_of(self, run: JobRun, error: BaseException) -> None:
        """Report a failure, on a thread: what is called may take its time."""
        await self._finish(partial(self._job()._notify_of, run, error))

    def _job(self) -> Job[_Arguments, _Result]:
        job: Job[_Arguments, _Result] | None = getattr(self, "on_loop", None)
        if job is None:
            reason, advice = "its manager is not open", "call it in `async with manager`"
            raise JobMisuse(self.name, reason, advice)
        return job
