"""Calls of a channel from an event loop: on threads, or at once where nothing ever blocks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from ojobchannels.aio.owner import Owner
from ojobchannels.errors import ChannelError
from ojobchannels.host.forks import forget_in_children
from ojobchannels.steps import Steps, drive

_T = TypeVar("_T")
_PATIENCE: Final = 1.0
"""Seconds for which a cancelled caller waits until what it began has ended."""


class Calls:
    """The calls of one channel.

    Args:
        name: The name of the channel, for the names of its threads.
        threads: The number of calls at a time; 0 calls on the thread of the event loop.
        what: What makes the calls, for messages; by default the channel.

    Attributes:
        owner: The event loop that they are made from.
    """

    def __init__(self, name: str, threads: int, what: str | None = None) -> None:
        self.owner = Owner(what or f"channel {name!r}")
        self._name = name
        self.threads = threads
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        """Use new threads in a forked child."""
        self._executor: ThreadPoolExecutor | None = None

    async def call(self, work: Callable[[], _T], began: list[Future[_T]] | None = None) -> _T:
        """Return the result of `work`.

        If the caller is cancelled, a call that was not started does not take place; for one that
        was started it waits a moment, so that its next call does not overtake it.

        Args:
            work: The call.
            began: Gets the call, instead of a wait, if it was started when the caller is cancelled.
        """
        self.owner.check()
        if not self.threads:
            return work()
        future = self._submit(work)
        try:
            await _end_of(future)
        except asyncio.CancelledError:
            if not future.cancel():
                if began is None:
                    await _patiently(future, cancelled=True)
                else:
                    began.append(future)
            raise
        return future.result()

    async def obtain(self, work: Callable[[], _T], undo: Callable[[_T], object]) -> _T:
        """Return the result of `work`; if the caller is cancelled, undo what had begun.

        Args:
            work: The call.
            undo: Called with the result that a cancelled caller does not get.
        """
        began: list[Future[_T]] = []
        try:
            return await self.call(work, began)
        except asyncio.CancelledError:
            for call in began:
                await self.finish_after(call, partial(_undo, call, undo))
            raise

    async def finish(self, work: Callable[[], _T]) -> _T:
        """Return the result of `work`, which takes place even if the caller is cancelled.

        A caller that is cancelled meanwhile waits a moment at most.

        Args:
            work: The call.
        """
        self.owner.check(ending=True)
        if not self.threads:
            return work()
        future = self._submit(work)
        if await _patiently(future):
            raise asyncio.CancelledError
        return future.result()

    async def finish_after(self, before: Future[Any], work: Callable[[], object]) -> None:
        """Have `work` done after an earlier call, as `finish` does.

        If that one fails, as where a server does not reply, the caller does not wait for `work`,
        which would fail in the same way, after as long.

        Args:
            before: The earlier call.
            work: The call.
        """
        self.owner.check(ending=True)
        ended: Future[object] = Future()

        def begin(_: object) -> None:
            future = self._submit(work)
            if before.exception() is None:
                future.add_done_callback(lambda done: _copy(done, ended))
            else:
                ended.set_result(None)

        before.add_done_callback(begin)
        if await _patiently(ended):
            raise asyncio.CancelledError
        ended.result()

    @staticmethod
    def run(steps: Steps[_T]) -> _T:
        """Perform the steps of a call."""
        return drive(steps)

    def close(self) -> None:
        """End the threads when the calls that were begun have ended.

        Later calls are made at once: what was closed refuses them.
        """
        executor, self._executor, self.threads = self._executor, None, 0
        if executor is not None:
            executor.shutdown(wait=False)

    def _submit(self, work: Callable[[], _T]) -> Future[_T]:
        if not self.threads:
            return _done(work)
        if self._executor is None:
            name = f"ojobchannels-async-{self._name}"
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix=name)
        return self._executor.submit(work)


def _done(work: Callable[[], _T]) -> Future[_T]:
    future: Future[_T] = Future()
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001  it goes to the caller
        future.set_exception(error)
    return future


def _undo(call: Future[_T], undo: Callable[[_T], object]) -> None:
    if call.exception() is None:
        with suppress(ChannelError):  # as after a crash: the storage cannot be reached
            undo(call.result())


def _copy(source: Future[_T], target: Future[_T]) -> None:
    error = source.exception()
    if error is None:
        target.set_result(source.result())
    else:
        target.set_exception(error)


def _end_of(future: Future[_T]) -> asyncio.Future[None]:
    """Return what ends with a call, in the loop."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    def notify(_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(end)

    future.add_done_callback(notify)
    return ended


async def _patiently(future: Future[_T], *, cancelled: bool = False) -> bool:
    """Wait for the end of a call; return whether the caller was cancelled.

    After a cancellation it waits a moment at most: a server may not reply.
    """
    ended = _end_of(future)
    ends = time.monotonic() + _PATIENCE
    while not ended.done():
        left = ends - time.monotonic() if cancelled else None
        if left is not None and left <= 0:
            break
        try:
            await asyncio.wait([ended], timeout=left)
        except asyncio.CancelledError:
            if not cancelled:
                cancelled, ends = True, time.monotonic() + _PATIENCE
    return cancelled
