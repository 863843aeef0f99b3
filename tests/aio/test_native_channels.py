"""Channels whose backend works in the event loop: how they are opened, and cancelled calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from functools import wraps
from typing import Any

import pytest

import ojobchannels as oc
from tests.aio.native import Backend, InLoop

PATIENCE = 60

pytestmark = pytest.mark.usefixtures("native")


def test_a_loop_does_not_wait_while_a_driver_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its backends import it when they first make what works in a loop: on another thread."""
    threads: list[int] = []
    monkeypatch.setattr(Backend, "opened_on", threads)

    async def test() -> None:
        async with oc.open_async_channel("opened", type="native") as channel:
            await (await channel.beside("another")).close()
        async with oc.AsyncJobManager(locks={"type": "native"}):
            pass

    asyncio.run(test())
    assert len(threads) == 3
    assert threading.get_ident() not in threads


def test_a_text_is_refused_where_a_batch_is_expected() -> None:
    """Its characters would be taken for keys."""

    async def test() -> None:
        async with oc.open_async_channel("misused", type="native") as channel:
            await channel.set("1", 1)
            pairs: Any = ["12"]
            for misuse in (channel.unset_all("1"), channel.set_all(pairs)):
                with pytest.raises(oc.InvalidOption):
                    await misuse
            assert await channel.get_keys() == ["1"]

    asyncio.run(test())


def test_a_cancelled_request_that_fails_is_not_followed_by_another_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that did not reply to it would not reply to the release either, for as long."""
    requested = asyncio.Event()

    class Silent:
        """Each lock is granted, without a reply."""

        never_blocks = True

        @oc.hookimpl(wrapper=True)
        def lock(self) -> Generator[None, Any, Any]:
            requested.set()
            yield
            raise oc.ChannelTimeout("silent", "lock", 1)

    async def test() -> None:
        async with oc.open_async_channel("silent", type="native", extensions=[Silent()]) as channel:
            slow = {"lock": asyncio.Event(), "unlock": asyncio.Event()}
            monkeypatch.setattr(InLoop, "slow", slow)
            task = asyncio.ensure_future(channel.lock("nightly", ttl=600))
            await requested.wait()
            task.cancel()
            await asyncio.sleep(0)
            slow["lock"].set()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(asyncio.shield(task), PATIENCE)
            assert channel.sync.lock_info("nightly")
            slow["unlock"].set()
        with oc.open_channel("silent", type="native") as other:
            assert other.locks() == []

    asyncio.run(test())


def test_a_lock_is_released_although_its_request_is_cancelled_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As `asyncio.run` cancels all tasks at its end: the server may have granted the lock."""
    granted = asyncio.Event()
    lock = vars(InLoop)["lock"]

    @wraps(lock)
    async def without_reply(self: InLoop, *arguments: Any) -> None:
        await lock(self, *arguments)
        granted.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(InLoop, "lock", without_reply)

    async def test() -> None:
        channel = await oc.open_async_channel("left", type="native")
        requesting = asyncio.ensure_future(channel.lock("nightly", ttl=600))
        await granted.wait()
        assert not requesting.done()

    asyncio.run(test())
    with oc.open_channel("left", type="native") as other:
        assert other.locks() == []
