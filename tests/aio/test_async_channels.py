"""The asynchronous face of channels; the kit proves the promises on each backend."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc

TYPES = ("simple", "db")
STORM = 10_000


@pytest.fixture(params=TYPES)
def options(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The options of a channel that runs in the loop, and of one with a thread."""
    if request.param == "simple":
        return {"type": "simple", "space": str(tmp_path)}
    return {"type": "db", "file": str(tmp_path / "store")}


class Watches:
    """An extension that notices that a task waits for a lock."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    @oc.hookimpl(wrapper=True)
    def watch(self) -> Iterator[None]:
        self.began.set()
        return (yield)


def test_documents_are_awaited(options: dict[str, Any]) -> None:
    """Every operation on documents has the result of the synchronous one."""

    async def test() -> None:
        channel = await oc.open_async_channel("docs", **options)
        await channel.set("a", {"n": 1})
        await channel.set_all({"b": {"n": 2}, "c": {"n": 3}})
        assert await channel.get("a") == {"n": 1}
        assert await channel.get("x", default=0) == 0
        newest = [item async for item in channel.items(newest_first=True, limit=1)]
        assert newest == [("c", {"n": 3})]
        assert await channel.get_all(match={"n": 2}) == [{"n": 2}]
        assert await channel.get_keys() == ["a", "b", "c"]
        assert await channel.get_set({"n": 1}, "a", {"n": 4}) == {"n": 1}
        assert not await channel.add("a", 0)
        assert await channel.pop() == {"n": 4}
        assert await channel.shift() == {"n": 2}
        assert await channel.unset("c")
        assert await channel.unset_all(["c"]) == 0
        await channel.close()
        with pytest.raises(oc.ChannelClosed):
            await channel.size()

    asyncio.run(test())


def test_a_storm_of_cancelled_waits_leaves_nothing(options: dict[str, Any]) -> None:
    """Ten thousand tasks wait without a thread each, are cancelled, and leave the lock free."""

    async def test() -> None:
        watches = Watches()
        async with oc.open_async_channel("storm", extensions=[watches], **options) as channel:
            held = await channel.lock("nightly", ttl=600)
            before = threading.active_count()
            waits = [
                asyncio.create_task(channel.lock("nightly", ttl=600, wait=None))
                for _ in range(STORM)
            ]
            await watches.began.wait()
            assert threading.active_count() <= before + 1
            for wait in waits:
                wait.cancel()
            ended = await asyncio.gather(*waits, return_exceptions=True)
            assert {type(end) for end in ended} == {asyncio.CancelledError}
            await held.release()
            async with channel.lock("nightly", ttl=600):
                assert len(await channel.locks()) == 1
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(test())


def test_a_stalled_backend_stops_neither_the_loop_nor_a_cancel(tmp_path: Path) -> None:
    """Other tasks run, and a cancelled task ends, while a call on a thread gets no reply."""
    called, proceed = threading.Event(), threading.Event()

    class Stalled:
        """A server that does not reply."""

        @oc.hookimpl(wrapper=True)
        def get(self) -> Iterator[None]:
            called.set()
            assert proceed.wait(60)
            return (yield)

    async def test() -> None:
        file = str(tmp_path / "store")
        async with oc.open_async_channel("slow", type="db", file=file, extensions=[Stalled()]) as c:
            reading = asyncio.create_task(c.get("key"))
            await asyncio.to_thread(called.wait, 60)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert not proceed.is_set()
            proceed.set()

    asyncio.run(test())


def test_a_task_that_would_wait_for_itself_gets_an_error(options: dict[str, Any]) -> None:
    """As a thread does: locks are not reentrant. The message names the task."""

    async def test() -> None:
        async with (
            oc.open_async_channel("self", **options) as channel,
            channel.lock("nightly", ttl=60, keep_alive=True),
        ):
            with pytest.raises(oc.WouldDeadlock, match="is held by this task itself, which"):
                await channel.lock("nightly", ttl=60, wait=None)

    asyncio.run(test())


def test_a_lease_is_handed_over(options: dict[str, Any]) -> None:
    """By its document, to another channel, which keeps it."""

    async def test() -> None:
        async with (
            oc.open_async_channel("hand", **options) as one,
            oc.open_async_channel("hand", **options) as other,
        ):
            lease = await one.lock("nightly", ttl=60)
            document = await lease.to_document()
            async with await other.lease_from(document) as taken:
                assert taken.fence == lease.fence
                await taken.extend(120)
                assert taken.ttl == 120
            assert await one.lock_info("nightly") is None

    asyncio.run(test())


def test_a_failed_body_keeps_its_error(options: dict[str, Any]) -> None:
    """The lock is released, and the error of the body is the one that is raised."""

    async def test() -> None:
        async with oc.open_async_channel("body", **options) as channel:
            with pytest.raises(ZeroDivisionError):
                async with channel.lock("nightly", ttl=60):
                    raise ZeroDivisionError
            assert await channel.locks() == []

    asyncio.run(test())
