"""What a cancelled task had begun on a thread is undone, or left to the next call."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.channels.acquire import Request
from ojobchannels.hookspecs import Busy, Granted

PATIENCE = 60


class Held:
    """An extension that holds one call of an operation: after it was made, an unlock before."""

    def __init__(self, operation: str) -> None:
        self.active = False
        self.made, self.proceed = threading.Event(), threading.Event()
        self._operation = operation

    @oc.hookimpl(wrapper=True)
    def items(self) -> Iterator[None]:
        result = yield
        self.hold("items")
        return result

    @oc.hookimpl(wrapper=True)
    def adopt(self) -> Iterator[None]:
        result = yield
        self.hold("adopt")
        return result

    @oc.hookimpl(wrapper=True)
    def unlock(self) -> Iterator[None]:
        self.hold("unlock")
        return (yield)

    async def cancelled(self, work: Coroutine[Any, Any, Any]) -> None:
        """Cancel a task in the midst of the call, and let the call end."""
        self.active = True
        task = asyncio.ensure_future(work)
        await asyncio.to_thread(self.made.wait, PATIENCE)
        self.active = False
        task.cancel()
        await asyncio.sleep(0)
        self.proceed.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    def hold(self, operation: str) -> None:
        """Wait for the test, if this is the operation to hold."""
        if self.active and operation == self._operation:
            self.made.set()
            assert self.proceed.wait(PATIENCE)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """The file of a channel with a thread."""
    return str(tmp_path / "store")


def test_a_cancelled_read_of_changes_loses_none(file: str) -> None:
    """As with `asyncio.wait_for(anext(changes), …)`: the next call returns what was read."""
    held = Held("items")

    async def test() -> None:
        async with (
            oc.open_async_channel("changes", type="db", file=file, extensions=[held]) as channel,
            channel.subscribe() as changes,
        ):
            await channel.set("a", 1)
            await held.cancelled(changes.__anext__())
            await channel.set("b", 2)
            assert [(await anext(changes)).key for _ in range(2)] == ["a", "b"]

    asyncio.run(test())


def test_a_cancelled_begin_of_a_subscription_may_be_repeated(file: str) -> None:
    """The entries that it has read are delivered once."""
    held = Held("items")

    async def test() -> None:
        async with oc.open_async_channel("begin", type="db", file=file, extensions=[held]) as c:
            await c.set("a", 1)
            changes = c.subscribe(replay=True)
            await held.cancelled(changes.__anext__())
            await c.set("b", 2)
            assert [(await anext(changes)).key for _ in range(2)] == ["a", "b"]

    asyncio.run(test())


def test_a_cancelled_takeover_renews_no_lease(file: str) -> None:
    """The lease is as it was: its document is valid, and without it the lease expires."""
    held = Held("adopt")

    async def test() -> None:
        async with oc.open_async_channel("take", type="db", file=file, extensions=[held]) as c:
            document = await (await c.lock("nightly", ttl=600)).to_document()
            await held.cancelled(c.lease_from(document, keep_alive=True))
            assert c.sync.closed is False
            async with await c.lease_from(document) as lease:
                assert lease.fence == document["fence"]
            assert await c.locks() == []

    asyncio.run(test())


def test_a_lock_that_is_cancelled_while_a_thread_begins_to_request_it_is_released(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread may be suspended before the first line of the request."""
    held, send = Held("lock"), Request.send

    def send_late(request: Request, info: dict[str, Any]) -> Granted | Busy:
        held.hold("lock")
        return send(request, info)

    monkeypatch.setattr(Request, "send", send_late)

    async def test() -> None:
        async with oc.open_async_channel("take", type="db", file=file) as c:
            await held.cancelled(c.lock("nightly", ttl=600))
            assert await c.locks() == []

    asyncio.run(test())


def test_a_cancelled_handover_releases(file: str) -> None:
    """No caller has got the document, so none could release the lock."""
    held = Held("adopt")

    async def test() -> None:
        async with oc.open_async_channel("hand", type="db", file=file, extensions=[held]) as c:
            await held.cancelled((await c.lock("nightly", ttl=600)).to_document())
            assert await c.locks() == []

    asyncio.run(test())


def test_a_cancelled_opening_leaves_no_channel_open(file: str) -> None:
    """It is closed when it is open: no file stays open."""
    opening, proceed = threading.Event(), threading.Event()

    class Extension:
        """It notices that the channel is opened and closed."""

        closed = threading.Event()

        @oc.hookimpl(wrapper=True)
        def close(self) -> Iterator[None]:
            result = yield
            self.closed.set()
            return result

    class Extensions(list[object]):
        """Extensions that take their time."""

        def __iter__(self) -> Iterator[object]:
            opening.set()
            assert proceed.wait(PATIENCE)
            return super().__iter__()

    extension = Extension()

    async def test() -> None:
        extensions = Extensions([extension])
        opened = oc.open_async_channel("open", type="db", file=file, extensions=extensions)
        task = asyncio.ensure_future(opened)
        await asyncio.to_thread(opening.wait, PATIENCE)
        task.cancel()
        await asyncio.sleep(0)
        proceed.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(test())
    assert extension.closed.wait(PATIENCE)


def test_a_task_ends_although_a_release_gets_no_reply(file: str) -> None:
    """If it is cancelled twice, as an application that ends does; the release takes place later."""
    held = Held("unlock")

    async def test() -> None:
        async with oc.open_async_channel("slow", type="db", file=file, extensions=[held]) as c:
            entered = asyncio.Event()

            async def body() -> None:
                async with c.lock("nightly", ttl=600):
                    entered.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(body())
            await entered.wait()
            held.active = True
            task.cancel()
            await asyncio.to_thread(held.made.wait, PATIENCE)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            held.active = False
            held.proceed.set()
            assert await c.locks() == []

    asyncio.run(test())


def test_a_cancelled_request_that_fails_is_not_followed_by_another_wait(file: str) -> None:
    """A server that did not reply to it would not reply to the release either, for as long."""
    held = Held("unlock")

    class Silent:
        """Its first lock is granted, without a reply."""

        requested, times_out = threading.Event(), threading.Event()

        @oc.hookimpl(wrapper=True)
        def lock(self) -> Iterator[None]:
            yield
            self.requested.set()
            assert self.times_out.wait(PATIENCE)
            raise oc.ChannelTimeout("silent", "lock", 1)

    async def test() -> None:
        extensions = [held, Silent()]
        async with oc.open_async_channel(
            "silent", type="db", file=file, extensions=extensions
        ) as c:
            task = asyncio.ensure_future(c.lock("nightly", ttl=600))
            await asyncio.to_thread(Silent.requested.wait, PATIENCE)
            held.active = True
            task.cancel()
            await asyncio.sleep(0)
            Silent.times_out.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not held.proceed.is_set()
            held.proceed.set()
            assert await c.locks() == []

    asyncio.run(test())


def test_a_lock_that_is_not_awaited_is_reported() -> None:
    """As Python reports a coroutine: the code after it would run without the lock."""

    async def test() -> None:
        async with oc.open_async_channel("forgotten") as channel:
            channel.lock("nightly", ttl=60)
            gc.collect()

    with pytest.warns(RuntimeWarning, match="the lock 'nightly' was never awaited"):
        asyncio.run(test())
