"""Many tasks that wait at once: in their order, and without holding up other calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import ojobchannels as oc
from ojobchannels.aio.waiting import _Turn

TASKS = 10


def test_tasks_have_their_turn_in_their_order() -> None:
    """One that leaves is passed over; one that is cancelled as it is granted passes it on."""
    order: list[int] = []

    async def test() -> None:
        turn = _Turn()

        async def take(number: int) -> None:
            await turn.acquire()
            order.append(number)
            turn.release()

        await turn.acquire()
        tasks = [asyncio.create_task(take(number)) for number in range(6)]
        await asyncio.sleep(0)
        for number in (5, 3, 0):
            tasks[number].cancel()
        turn.release()  # to task 0, unless it has left, or to 1
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await turn.acquire()  # it is free

    asyncio.run(test())
    assert order == [2, 4]


class SlowLooks:
    """Blocks the thread of a channel in the look of a task, if it is to."""

    def __init__(self) -> None:
        self.blocks = False
        self.blocked, self.may_go = threading.Event(), threading.Event()
        self.order: list[str] = []

    @oc.hookimpl(wrapper=True)
    def watch(self) -> Generator[None, Any, Any]:
        watch = yield
        look = watch.look

        def slow_look() -> float:
            if self.blocks:
                self.blocked.set()
                self.may_go.wait()
                self.order.append("look")
            seconds: float = look()
            return seconds

        watch.look = slow_look
        return watch

    @oc.hookimpl(wrapper=True)
    def set(self) -> Generator[None, Any, Any]:
        self.order.append("set")
        return (yield)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, for which there is no event."""
    while not condition():  # noqa: ASYNC110  there is none
        await asyncio.sleep(0.01)


def test_a_call_waits_for_one_look_and_not_for_those_of_all_tasks(tmp_path: Path) -> None:
    """Also if the storage is slow, and every task is due to look."""
    slow, file = SlowLooks(), str(tmp_path / "store")

    async def test() -> None:
        async with AsyncExitStack() as stack:
            other = await stack.enter_async_context(
                oc.open_async_channel("c", type="db", file=file)
            )
            channel = await stack.enter_async_context(
                oc.open_async_channel("c", type="db", file=file, extensions=[slow])
            )
            for number in range(TASKS):
                await other.lock(str(number), ttl=3600)
            tasks = [
                asyncio.ensure_future(channel.lock(str(number), ttl=3600, wait=None))
                for number in range(TASKS)
            ]
            waiting = channel._waiting
            await until(lambda: waiting.looking_tasks == TASKS)
            slow.blocks = True
            await until(lambda: len(waiting._look._waiters) == TASKS - 1)
            assert await asyncio.to_thread(slow.blocked.wait, 600)
            setting = asyncio.create_task(channel.set("key", 1))
            await asyncio.sleep(0)
            slow.may_go.set()
            await setting
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(test())
    assert slow.order.index("set") <= 1
