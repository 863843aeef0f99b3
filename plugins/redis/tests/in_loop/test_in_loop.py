"""The channel type ``redis`` in an event loop, on connections of the driver's asyncio client."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis

import ojobchannels as oc
from ojobchannels.aio.native.channel import NativeChannel
from ojobchannels.aio.native.hookspecs import AWAITED
from ojobchannels.testing import Subject
from ojobchannels.testing.contracts.remote.base import use_everything
from ojobchannels.testing.contracts.remote.cancelled import CancelledTaskContract, until
from ojobchannels.testing.contracts.remote.in_loop import (
    Loop,
    LoopSubject,
    OperationContracts,
    use_without_a_thread,
)
from ojobchannels.testing.contracts.remote.outages import OutageContract
from ojobchannels.testing.contracts.remote.requests import LostRequestContract
from ojobchannels_redis.testing import SharedRedis

if TYPE_CHECKING:
    from ojobchannels.testing.servers import RedisServer

STORM = 1_000
PATIENCE = 60


class TestInLoop(OperationContracts):
    """What the kit demands of documents and locks holds for the operations in a loop, too."""

    @pytest.fixture
    def ojob_subject(self, url: str) -> Subject:
        return LoopSubject("redis", {"url": url})


class TestCancelledTasks(CancelledTaskContract):
    """Cancelled tasks leave nothing on the server, in the pool, or for another request."""

    @pytest.fixture
    def ojob_server(self, url: str) -> SharedRedis:
        return SharedRedis(url)


class TestFaultsInLoop(LostRequestContract, OutageContract):
    """Operations in a loop survive a broken connection and a server that does not reply."""

    @pytest.fixture
    def ojob_server(self, url: str) -> SharedRedis:
        return SharedRedis(url)

    @pytest.fixture
    def ojob_subject(self, ojob_server: SharedRedis, server_part: str) -> Subject:
        return LoopSubject("redis", {"url": ojob_server.url_of(server_part)})


def test_the_kit_performs_every_operation_in_the_loop(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a handle without extensions, whose operations are called directly."""
    performed = set()
    perform = Loop.perform

    def record(loop: Loop, operation: str, names: Iterable[str], *arguments: Any) -> Any:
        performed.add(operation)
        return perform(loop, operation, names, *arguments)

    monkeypatch.setattr(Loop, "perform", record)
    with LoopSubject("redis", {"url": url}).cleanup() as subject:
        use_everything(subject.open())
    assert performed == set(AWAITED)


def in_loop(url: str, test: Callable[[NativeChannel], Awaitable[None]]) -> None:
    """Run a coroutine function with a channel of its own."""

    async def run() -> None:
        async with (
            asyncio.timeout(3 * PATIENCE),
            oc.open_async_channel(Subject("redis").name, url) as channel,
        ):
            assert isinstance(channel, NativeChannel)
            await test(channel)
            await channel.destroy()

    asyncio.run(run())


def test_operations_start_no_thread(url: str) -> None:
    """Only a wait for a lock does: the subscriber, which all channels of the process share."""
    in_loop(url, use_without_a_thread)


def test_a_storm_of_cancelled_waits_leaves_nothing(url: str, client: redis.Redis) -> None:
    """No lease, no place in the queue of the server, and no waiter in this process."""

    async def test(channel: NativeChannel) -> None:
        held = await channel.lock("nightly", ttl=600)
        waits = [
            asyncio.create_task(channel.lock("nightly", ttl=600, wait=None)) for _ in range(STORM)
        ]
        await until(lambda: client.keys(f"*{channel.name}*:queue"))
        for wait in waits:
            wait.cancel()
        ended = await asyncio.gather(*waits, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended)
        assert client.keys(f"*{channel.name}*:queue") == []
        await held.release()
        assert await channel.locks() == []
        async with channel.lock("nightly", ttl=60):
            pass

    in_loop(url, test)


def test_a_call_before_the_task_waits_is_not_missed(url: str) -> None:
    """The server may call it right after the refusal that put it into the queue."""
    name, token = "nightly", "0123456789abcdef"

    async def test(channel: NativeChannel) -> None:
        hook = channel._in_loop
        backend = hook.lock.get_hookimpls()[0].plugin
        other = await channel.lock("other", ttl=600)
        listening = asyncio.create_task(channel.lock("other", ttl=600, wait=None))
        await until(lambda: backend._subscriber.is_subscribed(backend._wake_channel()))
        held = await channel.lock(name, ttl=600)
        busy = await hook.lock(name=name, token=token, ttl=600_000, holder={}, waits=True)
        await held.release()
        await until(lambda: not backend._held.waiters[token]._asleep.locked())
        watch = hook.watch(name=name, seen_fence=busy.fence, token=token, notify=lambda: None)
        assert await watch.look() == 0
        watch.close()
        await hook.unlock(name=name, token=token)
        await other.release()
        await (await listening).release()

    in_loop(url, test)


def test_the_connections_are_closed_with_the_channel(server: RedisServer) -> None:
    """At most as many as requests may be under way at once, and none afterwards."""

    async def test(channel: NativeChannel) -> None:
        await asyncio.gather(*(channel.get(number) for number in range(100)))
        assert int(server.info()["connected_clients"]) <= 32 + 2

    in_loop(server.url, test)
    server.wait_until(lambda: server.info()["connected_clients"] == "1", "kept connections")


def test_an_extension_that_wraps_operations_is_called_on_threads(url: str) -> None:
    """It expects their results, which an event loop does not have yet."""
    seen: list[object] = []

    class Extension:
        @oc.hookimpl(wrapper=True)
        def get(self) -> Iterator[None]:
            result = yield
            seen.append(result)
            return result

    async def test() -> None:
        async with oc.open_async_channel("wrapped", url, extensions=[Extension()]) as channel:
            assert not isinstance(channel, NativeChannel)
            await channel.get("key")

    asyncio.run(test())
    assert len(seen) == 1


def test_a_lease_is_released_once_by_tasks_and_threads(url: str) -> None:
    """The later ones find it released, and raise nothing."""

    async def test(channel: NativeChannel) -> None:
        lease = await channel.lock("nightly", ttl=60)
        await asyncio.gather(
            *(lease.release() for _ in range(5)),
            *(asyncio.to_thread(lease.sync.release) for _ in range(5)),
        )
        assert await channel.locks() == []

    in_loop(url, test)


def test_another_loop_leaves_no_connection_behind(url: str) -> None:
    """It is refused before it asks; a connection of it would be of no use to the channel's loop."""

    async def test(channel: NativeChannel) -> None:
        async def use() -> None:
            await channel.get("key")

        await channel.set("key", 1)
        with pytest.raises(oc.WrongEventLoop):
            await asyncio.to_thread(lambda: asyncio.run(use()))
        assert await channel.get("key") == 1

    in_loop(url, test)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # asyncio reports what its loop left open
def test_a_channel_is_closed_after_its_loop(url: str) -> None:
    """Its leases are released; the connections of the loop that has ended are left to it."""

    async def first() -> oc.AsyncChannel:
        channel = await oc.open_async_channel(Subject("redis").name, url)
        await channel.lock("nightly", ttl=600)
        return channel

    channel = asyncio.run(first())
    asyncio.run(channel.close())
    with oc.open_channel(channel.name, url) as other:
        assert other.locks() == []
    gc.collect()
