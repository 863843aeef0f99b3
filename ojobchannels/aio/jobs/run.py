"""AsyncJobRun: one execution of a job, in a task."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextvars import Token
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from ojobchannels.aio.calls import Calls
from ojobchannels.aio.channel import AsyncChannel
from ojobchannels.aio.jobs.cancelling import TaskCancel
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import LockBusy, RateLimited
from ojobchannels.manager.output import OutputLevel
from ojobchannels.manager.output.current import make_current, restore_current
from ojobchannels.manager.records import Record
from ojobchannels.manager.runs.run import JobRun

if TYPE_CHECKING:
    from concurrent.futures import Future

_TRY_AGAIN_SECONDS: Final = 0.25


class AsyncJobRun:
    """One run of a job, made by `AsyncJobManager.run`; ``async with`` starts and ends it.

    If the task is cancelled, the run is recorded as failed, and its lock is released. If an
    operator cancels the run, its task is cancelled a second later, if the run is still open; the
    ``async with`` block then raises `ojobchannels.RunCancelled`.

    Attributes:
        sync: The run, with the methods of `ojobchannels.JobRun`.
    """

    def __init__(self, run: JobRun, calls: Calls, locks: AsyncChannel) -> None:
        self.sync = run
        self._calls = calls
        self._locks = locks
        self._context: Token[JobRun | None] | None = None
        self._cancel: TaskCancel | None = None

    @property
    def name(self) -> str:
        """The name of the job and of its lock."""
        return self.sync.name

    @property
    def run_id(self) -> str:
        """The unique identifier of the run."""
        return self.sync.run_id

    @property
    def record(self) -> Record:
        """The record as last written."""
        return self.sync.record

    @property
    def status(self) -> str:
        """The status in the record; ``new`` while there is no record."""
        return self.sync.status

    @property
    def open(self) -> bool:
        """Whether it has started and not ended."""
        return self.sync.open

    @property
    def fence(self) -> int:
        """The fence of its lease; pass it to writes that only the holder of the lock may do."""
        return self.sync.fence

    async def start(self) -> Self:
        """Acquire the lock and write a record; see `JobRun.start`. No thread waits for the lock."""
        began: list[Future[Any]] = []
        lease: Lease | None = None
        options = self.sync._options
        try:
            if options.wait == 0:
                await self._calls.call(self.sync.start, began)
            elif options.rate_limit is None and options.fire_time is None:
                acquired = await self._acquired()
                lease = acquired if isinstance(acquired, Lease) else None
                await self._calls.call(lambda: self.sync._start_with(_result_of(acquired)), began)
            else:
                await self._start_again_and_again(began)
        except BaseException as error:
            left, reason = lease, error
            if began or (lease is not None and not self.sync.open):
                await self._calls.finish(
                    lambda: self._abandon(left, reason),
                    *began,
                )
            raise
        return self

    async def end(self) -> None:
        """Record the run as completed, then release the lock; see `JobRun.end`."""
        await self._calls.finish(self.sync.end)

    async def fail(self, error: BaseException | str) -> None:
        """Record the run as failed, with the error; otherwise like `end`."""
        await self._calls.finish(lambda: self.sync.fail(error))

    async def update(self, **fields: Any) -> None:
        """Write your own fields into the record of the open run; see `JobRun.update`."""
        await self._calls.call(lambda: self.sync.update(**fields))

    def log(self, text: str, level: OutputLevel = "info") -> None:
        """Add lines to the output of the run."""
        self.sync.log(text, level)

    def check(self) -> None:
        """Return if the run may continue; call it regularly in long work. See `JobRun.check`."""
        self.sync.check()

    async def __aenter__(self) -> Self:
        if self.sync.open:
            self.sync.lease.check()
        else:
            await self.start()
        self._context = make_current(self.sync)
        self._cancel = TaskCancel(self.sync)
        return self

    async def __aexit__(self, *error: Any) -> None:
        context, self._context = self._context, None
        if context is not None:
            restore_current(context)
        is_cancelled = self._cancel is not None and self._cancel.end()
        try:
            await self._calls.finish(lambda: self.sync.__exit__(*error))
        except asyncio.CancelledError:
            if not is_cancelled:  # otherwise it was on its way when the body ended
                raise
        if is_cancelled and isinstance(error[1], asyncio.CancelledError):
            self.sync._raise_cancelled(error[1])

    def __repr__(self) -> str:
        return repr(self.sync).replace("<JobRun", "<AsyncJobRun", 1)

    async def _acquired(self) -> Lease | LockBusy:
        """Wait for the lock in the loop; return its lease, or the error that the start reports."""
        try:
            options = self.sync._lock_options()
            lease = await self._locks.lock(self.name, wait=self.sync._options.wait, **options)
        except LockBusy as busy:
            return busy
        return lease.sync

    async def _start_again_and_again(self, began: list[Future[Any]]) -> None:
        """Start, without waiting on a thread for a rate limit or a fire time."""
        options = self.sync._options
        ends = math.inf if options.wait is None else time.monotonic() + options.wait
        self.sync._options = replace(options, wait=0, record_busy=False)
        while (left := ends - time.monotonic()) > 0:
            try:
                await self._calls.call(self.sync.start, began)
            except (LockBusy, RateLimited):
                await asyncio.sleep(min(left, _TRY_AGAIN_SECONDS))
            else:
                return
        self.sync._options = replace(options, wait=0)
        await self._calls.call(self.sync.start, began)

    def _abandon(self, lease: Lease | None, error: BaseException) -> None:
        if self.sync.open:
            self.sync.fail(error)
        elif lease is not None:
            lease._give_up()


def _result_of(acquired: Lease | LockBusy) -> Callable[[], Lease]:
    def result() -> Lease:
        if isinstance(acquired, LockBusy):
            raise acquired
        return acquired

    return result
