"""The channel type ``mongo`` in an event loop, with the asyncio client of its driver."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

import ojobchannels as oc
from ojobchannels.aio.native.channel import NativeChannel
from ojobchannels.documents import check_key
from ojobchannels.testing import (
    CompareAndSetContract,
    FenceContract,
    LockContract,
    RetryContract,
    Subject,
    TokenContract,
)
from ojobchannels.testing.contracts.remote.base import use_everything
from ojobchannels.testing.contracts.remote.in_loop import LoopSubject
from ojobchannels.testing.contracts.remote.outages import OutageContract
from ojobchannels.testing.contracts.remote.requests import LostRequestContract
from ojobchannels.testing.proxy import Proxy
from ojobchannels_mongo.testing import SharedMongo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Storage

STORM = 300
PATIENCE = 60


class InLoop:
    """Storages on a replica set, whose handles work in an event loop."""

    @pytest.fixture
    def ojob_subject(self, replicated_storage: Storage) -> Subject:
        return LoopSubject("mongo", replicated_storage.config["args"])


class TestInLoop(InLoop, LockContract, RetryContract):
    """What the kit demands of locks holds for the operations in a loop, too."""

    def test_every_operation_works(self, channel: oc.Channel) -> None:
        """With transactions, and reads of a snapshot."""
        use_everything(channel)


@pytest.mark.thorough
class TestMoreInLoop(InLoop, CompareAndSetContract, FenceContract, TokenContract):
    """What the kit demands of fences and tokens."""


@pytest.mark.thorough
class TestFaultsInLoop(LostRequestContract, OutageContract):
    """Operations in a loop survive a broken connection and a server that does not reply."""

    tests_idle_connections = False
    remembers_unlock = True
    repeats_writes = True

    @pytest.fixture
    def ojob_server(self, url_replicated: str) -> SharedMongo:
        return SharedMongo(url_replicated)

    @pytest.fixture
    def ojob_subject(self, ojob_server: SharedMongo, server_part: str) -> Subject:
        return LoopSubject("mongo", {"url": ojob_server.url_of(server_part)})


@pytest.fixture
def proxy(storage: Storage) -> Iterator[Proxy]:
    """A proxy before the server."""
    parts = urlsplit(storage.url)
    with Proxy((parts.hostname or "localhost", parts.port or 27017)) as proxy:
        yield proxy


@pytest.fixture
def behind(storage: Storage, proxy: Proxy) -> str:
    """The URL of the storage behind the proxy."""
    return SharedMongo(storage.url).url_of(storage.options["database"], proxy.address)


def in_loop(storage: Storage, url: str, test: Callable[[NativeChannel], Awaitable[None]]) -> None:
    """Run a coroutine function with a channel on the storage."""

    async def run() -> None:
        options = {**storage.options, "url": url, "timeout": PATIENCE}
        async with oc.open_async_channel(storage.name, type="mongo", **options) as channel:
            assert isinstance(channel, NativeChannel)
            await test(channel)

    asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    """Wait until the server is in a state."""
    while not condition():  # noqa: ASYNC110  it reports no event
        await asyncio.sleep(0.01)


def test_a_request_whose_reply_is_lost_is_repeated(
    storage: Storage, behind: str, proxy: Proxy
) -> None:
    """Also a lock, which is granted once, and whose release is known."""

    async def test(channel: NativeChannel) -> None:
        await channel.set("key", 1)
        cuts = [proxy.cut_reply(1, b"ojob_documents")]
        assert await channel.get("key") == 1
        cuts.append(proxy.cut_reply(1, b"nightly"))
        lease = await channel.lock("nightly", ttl=600)
        cuts.append(proxy.cut_reply(1, b"nightly"))
        await lease.release()
        assert all(cut.is_set() for cut in cuts)
        assert await channel.locks() == []

    in_loop(storage, behind, test)


def test_a_cancelled_request_gives_back_what_it_was_granted(
    storage: Storage, behind: str, proxy: Proxy
) -> None:
    """The server had granted the lock when the task was cancelled; its reply arrives later."""
    observer = storage.open()

    async def test(channel: NativeChannel) -> None:
        assert await channel.get("key", "none") == "none"
        proxy.black_hole(requests=False)
        waiting = asyncio.create_task(channel.lock("nightly", ttl=600, wait=None))
        await until(lambda: observer.lock_info("nightly"))
        waiting.cancel()
        await asyncio.sleep(0)
        proxy.heal()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: observer.lock_info("nightly") is None)
        assert await channel.get("key", "none") == "none"

    in_loop(storage, behind, test)


def test_the_reply_to_a_cancelled_read_goes_to_no_other_request(
    storage: Storage, behind: str, proxy: Proxy
) -> None:
    """The read is cut short in the middle, and its connection is closed."""
    observer = storage.open()
    observer.set("early", 1)
    observer.set("late", 2)

    async def test(channel: NativeChannel) -> None:
        assert await channel.get("late") == 2
        before = proxy.counters.requests
        proxy.black_hole(requests=False)
        reading = asyncio.create_task(channel.get("early"))
        await until(lambda: proxy.counters.requests > before)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        proxy.heal()
        assert await channel.get("late") == 2

    in_loop(storage, behind, test)


def test_a_storm_of_cancelled_waits_leaves_nothing(storage: Storage) -> None:
    """No lease, and no waiter in this process."""

    async def test(channel: NativeChannel) -> None:
        held = await channel.lock("nightly", ttl=600)
        waits = [
            asyncio.create_task(channel.lock("nightly", ttl=600, wait=None)) for _ in range(STORM)
        ]
        await channel.lock_info("nightly")
        for wait in waits:
            wait.cancel()
        ended = await asyncio.gather(*waits, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended)
        await held.release()
        assert await channel.locks() == []
        async with channel.lock("nightly", ttl=60):
            pass

    in_loop(storage, storage.url, test)


def test_tasks_that_are_cancelled_at_random_leave_nothing(replicated_storage: Storage) -> None:
    """Wherever they are: before a request, in it, in the body, or while they give back a lock."""
    rng = random.Random(7)

    async def test(channel: NativeChannel) -> None:
        async def work(number: int) -> None:
            async with channel.lock(f"lock {number % 5}", ttl=600, wait=None) as lease:
                await channel.set(number % 5, number, fence=lease.fence)
                await asyncio.sleep(rng.random() / 1000)

        tasks = [asyncio.create_task(work(number)) for number in range(40)]
        while pending := [task for task in tasks if not task.done()]:
            rng.choice(pending).cancel()
            await asyncio.sleep(rng.random() / 100)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(end) for end in ended} <= {type(None), asyncio.CancelledError}
        assert await channel.locks() == []

    in_loop(replicated_storage, replicated_storage.url, test)


def test_channels_of_one_loop_share_a_client(storage: Storage) -> None:
    """The last one closes it, and leaves no task of the driver behind."""
    handles = [storage.open(), storage.open("another"), storage.open(prefix="elsewhere")]

    async def test() -> None:
        backends = [handle.hook.asynchronous() for handle in handles]
        clients = [each.connection.collections().client for each in backends]
        assert clients[0] is clients[1] is not clients[2]
        await backends[0].set(key=check_key("key"), value=1, fence=None)
        await backends[1].close()
        assert await backends[0].get(key=check_key("key")) == 1
        await backends[0].close()
        with pytest.raises(oc.ChannelClosed):
            await backends[0].get(key=check_key("key"))
        await backends[2].close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(test())


def test_a_forked_child_has_a_client_of_its_own(replicated_storage: Storage) -> None:
    """The parent continues to use its own, and keeps its lease."""
    args = replicated_storage.config["args"]

    async def in_child() -> None:
        async with oc.open_async_channel(replicated_storage.name, type="mongo", **args) as channel:
            await channel.set("child", await channel.get("parent"))
            assert await channel.try_lock("nightly", ttl=60) is None

    async def test(channel: NativeChannel) -> None:
        async with channel.lock("nightly", ttl=600):
            await channel.set("parent", 1)
            child = os.fork()
            if not child:
                status = 1
                try:
                    asyncio.run(in_child())
                    status = 0
                finally:
                    os._exit(status)
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            assert status == 0
            assert await channel.get("child") == 1

    in_loop(replicated_storage, replicated_storage.url, test)
