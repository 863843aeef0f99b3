"""Calls of a channel that take place in the event loop."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, Final, TypeVar

from ojobchannels.aio.owner import Owner
from ojobchannels.steps import Steps, drive_async

_T = TypeVar("_T")
_Task: Final[dict[str, Any]] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
_PATIENCE: Final = 1.0
"""Seconds for which a cancelled caller waits until what it began has ended."""


class NativeCalls:
    """The calls of one channel.

    One that changes something is a task, so that a cancelled caller does not cut it short: a
    request that was cut short may still reach the server, also after the next one.

    Args:
        at_once: The number of calls at a time.
        owner: The event loop.
    """

    def __init__(self, at_once: int, owner: Owner) -> None:
        self._owner = owner
        self._free = asyncio.Semaphore(at_once)
        self._active: set[asyncio.Task[Any]] = set()

    async def call(
        self,
        work: Callable[[], Coroutine[Any, Any, _T]],
        began: list[asyncio.Task[_T]] | None = None,
    ) -> _T:
        """Return the result of `work`.

        If the caller is cancelled, a call that was not begun does not take place; for one that was
        begun it waits a moment, so that its next call does not overtake it.

        Args:
            work: The call.
            began: Gets the call, instead of a wait, if it was begun when the caller is cancelled.
        """
        self._owner.check()
        await self._free.acquire()
        task = self._begin(work)
        if not task.done():
            try:
                await _end_of(task)
            except asyncio.CancelledError:
                if began is None:
                    await _patiently(task, cancelled=True)
                else:
                    began.append(task)
                raise
        return task.result()

    async def read(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Return the result of `work`, which changes nothing: a cancelled caller cuts it short.

        Args:
            work: The call.
        """
        self._owner.check()
        async with self._free:
            return await work()

    async def finish(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Return the result of `work`, which takes place even if the caller is cancelled.

        A caller that is cancelled meanwhile waits a moment at most.

        Args:
            work: The call.
        """
        self._owner.check()
        task = self._task(self._in_turn(work), self._forget)
        if await _patiently(task):
            raise asyncio.CancelledError
        return task.result()

    async def finish_after(
        self, before: asyncio.Task[Any], work: Callable[[], Coroutine[Any, Any, object]]
    ) -> None:
        """Have `work` done after an earlier call, as `finish` does.

        If that one fails, as where a server does not reply, the caller does not wait for `work`,
        which would fail in the same way, after as long.

        Args:
            before: The earlier call.
            work: The call.
        """
        self._owner.check()

        async def later() -> None:
            await _end_of(before)
            if before.cancelled() or before.exception() is None:
                await self._in_turn(work)
            else:
                self._task(self._in_turn(work), self._forget)

        task = self._task(later(), self._forget)
        if await _patiently(task):
            raise asyncio.CancelledError
        task.result()

    @staticmethod
    def run(steps: Steps[_T]) -> Coroutine[Any, Any, _T]:
        """Perform the steps of a call."""
        return drive_async(steps)

    async def close(self, close: Callable[[], Any]) -> None:
        """Close the connections, and wait a moment for the calls that were begun.

        Args:
            close: Closes the connections; it may return a coroutine for what takes time.
        """
        closing = close()
        ended = self._task(closing, self._forget) if isinstance(closing, CoroutineType) else None
        if self._active:
            await asyncio.wait(self._active, timeout=_PATIENCE)
        if ended is not None and await _patiently(ended):
            raise asyncio.CancelledError

    async def _in_turn(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        async with self._free:
            return await work()

    def _begin(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> asyncio.Task[_T]:
        try:
            return self._task(work(), self._ended)
        except BaseException:
            self._free.release()
            raise

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._free.release()
        self._forget(task)

    def _task(
        self,
        coroutine: Coroutine[Any, Any, _T],
        ended: Callable[[asyncio.Task[Any]], None],
    ) -> asyncio.Task[_T]:
        task = asyncio.Task(coroutine, loop=asyncio.get_running_loop(), **_Task)
        self._active.add(task)
        task.add_done_callback(ended)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._active.discard(task)
        if not task.cancelled():
            task.exception()  # of a call whose caller was cancelled, too


def _end_of(task: asyncio.Task[Any]) -> asyncio.Future[None]:
    """Return what ends with a task; to cancel it leaves the task alone."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(_: object) -> None:
        if not ended.done():
            ended.set_result(None)

    task.add_done_callback(end)
    return ended


async def _patiently(task: asyncio.Task[Any], *, cancelled: bool = False) -> bool:
    """Wait for the end of a task; return whether the caller was cancelled.

    After a cancellation it waits a moment at most: a server may not reply.
    """
    ends = time.monotonic() + _PATIENCE
    while not task.done():
        left = ends - time.monotonic() if cancelled else None
        if left is not None and left <= 0:
            break
        try:
            if left is None:
                await _end_of(task)  # in a third of the time of `asyncio.wait`
            else:
                await asyncio.wait([task], timeout=left)
        except asyncio.CancelledError:
            if not cancelled:
                cancelled, ends = True, time.monotonic() + _PATIENCE
    return cancelled
