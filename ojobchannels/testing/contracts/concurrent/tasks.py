"""Tasks of an event loop: the asynchronous face of a channel, also when a task is cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeAlias

import pytest

from ojobchannels.aio.channel import AsyncChannel
from ojobchannels.aio.opening import asynchronous
from ojobchannels.errors import ChannelClosed, LockBusy, LockLost
from ojobchannels.hookspecs import hookimpl
from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.kit.background import PATIENCE
from ojobchannels.testing.kit.subject import Subject

_TASKS: Final = 20
_Test: TypeAlias = "Callable[[AsyncChannel, _Watches], Awaitable[None]]"
_Run: TypeAlias = Callable[[_Test], None]


class _Watches:
    """An extension that notices that a task waits for a lock."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    @hookimpl(wrapper=True)
    def watch(self) -> Iterator[None]:
        self.began.set()
        return (yield)


class AsyncContract(Contract):
    """Awaited operations: they exclude tasks and threads, and a cancelled one leaves nothing."""

    @pytest.fixture
    def in_loop(self, subject: Subject) -> _Run:
        """Runs a coroutine function with an asynchronous channel, in an event loop."""

        async def run(test: _Test) -> None:
            watches = _Watches()
            channel = asynchronous(subject.open(extensions=[watches]))
            async with asyncio.timeout(3 * PATIENCE), channel:
                await test(channel, watches)

        return lambda test: asyncio.run(run(test))

    def test_tasks_and_threads_share_documents_and_locks(
        self, subject: Subject, in_loop: _Run
    ) -> None:
        """What one of them stores or holds, the other one sees."""
        other = subject.open()

        async def test(channel: AsyncChannel, _: _Watches) -> None:
            await channel.set("key", {"n": 1})
            assert other.get("key") == {"n": 1}
            async with channel.lock("nightly", ttl=60) as lease:
                assert other.try_lock("nightly", ttl=60) is None
                await channel.set("key", {"n": 2}, fence=lease.fence)
            with other.lock("nightly", ttl=60):
                assert await channel.try_lock("nightly", ttl=60) is None
            assert [item async for item in channel.items()] == [("key", {"n": 2})]

        in_loop(test)

    def test_a_task_that_waits_is_woken(self, subject: Subject, in_loop: _Run) -> None:
        """By a release of another handle, long before the lease expires."""
        other = subject.open()

        async def test(channel: AsyncChannel, watches: _Watches) -> None:
            held = other.lock("nightly", ttl=600)
            waiting = asyncio.create_task(channel.lock("nightly", ttl=60, wait=None))
            await watches.began.wait()
            await asyncio.to_thread(held.release)
            async with await waiting as lease:
                assert lease.fence > held.fence

        in_loop(test)

    def test_tasks_wait_in_turn(self, in_loop: _Run) -> None:
        """One is inside at a time; each gets its turn."""

        async def test(channel: AsyncChannel, _: _Watches) -> None:
            inside: list[int] = []
            done = []

            async def work(number: int) -> None:
                async with channel.lock("nightly", ttl=600, wait=None):
                    inside.append(number)
                    await channel.set("last", number)
                    assert inside == [number]
                    inside.remove(number)
                    done.append(number)

            await asyncio.gather(*map(work, range(_TASKS)))
            assert sorted(done) == list(range(_TASKS))

        in_loop(test)

    def test_a_wait_that_is_over_raises_lock_busy(self, subject: Subject, in_loop: _Run) -> None:
        """And leaves no place in a queue."""
        other = subject.open()

        async def test(channel: AsyncChannel, _: _Watches) -> None:
            held = other.lock("nightly", ttl=600)
            waits = [channel.lock("nightly", ttl=60, wait=0.05) for _ in range(3)]
            ended = await asyncio.gather(*waits, return_exceptions=True)
            assert [type(end) for end in ended] == [LockBusy] * 3
            held.release()
            other.lock("nightly", ttl=60).release()

        in_loop(test)

    def test_a_cancelled_wait_leaves_nothing(self, subject: Subject, in_loop: _Run) -> None:
        """Neither a lease nor a place in a queue: the next caller gets the lock at once."""
        other = subject.open()

        async def test(channel: AsyncChannel, watches: _Watches) -> None:
            held = other.lock("nightly", ttl=600)
            waits = [
                asyncio.create_task(channel.lock("nightly", ttl=600, wait=None))
                for _ in range(_TASKS)
            ]
            await watches.began.wait()
            for wait in waits:
                wait.cancel()
            ended = await asyncio.gather(*waits, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ended)
            held.release()
            other.lock("nightly", ttl=60).release()

        in_loop(test)

    def test_a_cancel_after_the_grant_leaves_no_lease(self, subject: Subject) -> None:
        """The backend has granted the lock when the task is cancelled."""
        if not subject.channel_type.async_threads:
            pytest.skip("its locks are granted within one step of the loop")
        granted, proceed = threading.Event(), threading.Event()

        class Slow:
            @hookimpl(wrapper=True)
            def lock(self) -> Iterator[None]:
                result = yield
                granted.set()
                proceed.wait(PATIENCE)
                return result

        async def test() -> None:
            async with asynchronous(subject.open(extensions=[Slow()])) as channel:
                waiting = asyncio.create_task(channel.lock("nightly", ttl=600, wait=None))
                await asyncio.to_thread(granted.wait, PATIENCE)
                waiting.cancel()
                proceed.set()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            assert subject.open().lock_info("nightly") is None

        asyncio.run(test())

    def test_a_cancelled_body_releases(self, subject: Subject, in_loop: _Run) -> None:
        """When the task has ended, the lock is free."""

        async def test(channel: AsyncChannel, _: _Watches) -> None:
            entered = asyncio.Event()

            async def body() -> None:
                async with channel.lock("nightly", ttl=600):
                    entered.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(body())
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert subject.open().lock_info("nightly") is None

        in_loop(test)

    def test_tasks_share_slots(self, in_loop: _Run) -> None:
        """At most that many are inside; a cancelled one leaves its place to the others."""

        async def test(channel: AsyncChannel, watches: _Watches) -> None:
            inside, most = 0, 0

            async def work() -> None:
                nonlocal inside, most
                async with channel.lock("pool", ttl=600, wait=None, slots=2):
                    inside += 1
                    most = max(most, inside)
                    await channel.size()
                    inside -= 1

            held = [await channel.lock("pool", ttl=600, slots=2) for _ in range(2)]
            waits = [asyncio.create_task(work()) for _ in range(4)]
            await watches.began.wait()
            for wait in waits[:2]:
                wait.cancel()
            for lease in held:
                await lease.release()
            ended = await asyncio.gather(*waits, return_exceptions=True)
            assert [type(end) for end in ended] == [asyncio.CancelledError] * 2 + [type(None)] * 2
            assert most <= 2
            assert await channel.locks() == []

        in_loop(test)

    def test_a_lost_lease_is_reported(self, subject: Subject, in_loop: _Run) -> None:
        """To the task that extends or releases it, and in the loop to a coroutine function."""
        other = subject.open()

        async def test(channel: AsyncChannel, _: _Watches) -> None:
            lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

            async def on_lost(lease: object) -> None:
                lost.set_result(lease)

            lease = await channel.lock("nightly", ttl=600, keep_alive=True, on_lost=on_lost)
            other.force_unlock("nightly")
            with pytest.raises(LockLost):
                await lease.extend()
            assert await lost is lease
            with pytest.raises(LockLost):
                await lease.release()

        in_loop(test)

    def test_closing_wakes_the_tasks(self, in_loop: _Run) -> None:
        """Those that wait for a lock end with ChannelClosed."""

        async def test(channel: AsyncChannel, watches: _Watches) -> None:
            await channel.lock("nightly", ttl=600)
            waits = [
                asyncio.create_task(channel.lock("nightly", ttl=60, wait=None)) for _ in range(3)
            ]
            await watches.began.wait()
            await channel.close()
            ended = await asyncio.gather(*waits, return_exceptions=True)
            assert [type(end) for end in ended] == [ChannelClosed] * 3

        in_loop(test)

    @requires("events_every|events_coalesced")
    def test_changes_arrive_in_a_loop(self, subject: Subject, in_loop: _Run) -> None:
        """The present entries first, then what other handles change."""
        other = subject.open()
        other.set("a", 1)

        async def test(channel: AsyncChannel, _: _Watches) -> None:
            async with channel.subscribe(replay=True) as changes:
                assert (await anext(changes))[:3] == ("set", "a", 1)
                other.set("b", 2)
                assert (await anext(changes))[:3] == ("set", "b", 2)
                other.unset("a")
                assert (await anext(changes))[:2] == ("unset", "a")
            assert [change async for change in changes] == []

        in_loop(test)
