"""A channel and a manager belong to one event loop; another one is refused, with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc


@pytest.fixture(params=("simple", "db"))
def options(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The options of a channel that works in the loop, and of one with a thread."""
    if request.param == "simple":
        return {"type": "simple", "space": str(tmp_path)}
    return {"type": "db", "file": str(tmp_path / "store")}


def in_another_loop(work: Callable[[], Awaitable[object]]) -> Coroutine[Any, Any, object]:
    """Run a coroutine in an event loop of another thread."""

    async def call() -> object:
        return await work()

    return asyncio.to_thread(lambda: asyncio.run(call()))


def test_another_loop_is_refused(options: dict[str, Any]) -> None:
    """Any operation is refused; the loop of the channel continues as before."""

    async def test() -> None:
        async with oc.open_async_channel("one", **options) as channel:
            lease = await channel.lock("nightly", ttl=600)
            attempts: list[Callable[[], Awaitable[object]]] = [
                lambda: channel.set("key", 1),
                lambda: channel.lock("nightly", ttl=600, wait=None),
                lambda: anext(channel.subscribe()),
                lease.extend,
                lease.release,
                channel.close,
            ]
            for attempt in attempts:
                with pytest.raises(oc.WrongEventLoop, match="belongs to another event loop"):
                    await in_another_loop(attempt)
            assert await channel.get("key") is None
            await lease.release()

    asyncio.run(test())


def test_a_channel_is_closed_after_its_loop(options: dict[str, Any]) -> None:
    """A loop that has ended can close nothing: the next one may."""

    async def first() -> oc.AsyncChannel:
        channel = await oc.open_async_channel("one", **options)
        await channel.lock("nightly", ttl=600)
        return channel

    channel = asyncio.run(first())
    asyncio.run(channel.close())
    with oc.open_channel("one", **options) as other:
        assert other.locks() == []


def test_another_loop_is_refused_by_a_manager(tmp_path: Path) -> None:
    """It starts no run there."""

    async def test() -> None:
        url = f"simple:?space={tmp_path}"
        async with oc.AsyncJobManager(jobs=url, locks=url) as manager:
            await manager.runs()
            with pytest.raises(oc.WrongEventLoop, match="the job manager: it belongs"):
                await in_another_loop(manager.run("report").start)
            assert await manager.runs() == []

    asyncio.run(test())


def test_without_a_loop_of_asyncio_the_error_says_so(options: dict[str, Any]) -> None:
    """As in a program of trio, which performs the steps of a coroutine itself."""
    opening = oc.open_async_channel("one", **options)
    with pytest.raises(oc.WrongEventLoop, match="no event loop of asyncio is running"):
        opening.send(None)
