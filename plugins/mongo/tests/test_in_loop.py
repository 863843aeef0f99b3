"""The channel type ``mongo`` in an event loop, with the asyncio client of its driver."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial
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
from ojobchannels.testing.contracts.remote.cancelled import CancelledTaskContract
from ojobchannels.testing.contracts.remote.in_loop import (
    LoopSubject,
    match_by_index,
    use_in_forked_child,
)
from ojobchannels.testing.contracts.remote.outages import OutageContract
from ojobchannels.testing.contracts.remote.requests import LostRequestContract
from ojobchannels.testing.proxy import Proxy
from ojobchannels_mongo.testing import SharedMongo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Storage

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
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see `collected`
class TestFaultsInLoop(LostRequestContract, OutageContract):
    """Operations in a loop survive a broken connection and a server that does not reply."""

    tests_idle_connections = False
    remembers_unlock = True
    repeats_writes = True

    @pytest.fixture(autouse=True)
    def collected(self) -> Iterator[None]:
        """Collect the socket that the driver leaves open if `close` cancels its connecting."""
        yield
        gc.collect()

    @pytest.fixture
    def ojob_server(self, url_replicated: str) -> SharedMongo:
        return SharedMongo(url_replicated)

    @pytest.fixture
    def ojob_subject(self, ojob_server: SharedMongo, server_part: str) -> Subject:
        return LoopSubject("mongo", {"url": ojob_server.url_of(server_part)})


class TestCancelledTasks(CancelledTaskContract):
    """Cancelled tasks leave nothing on the server, in the pool, or for another request."""

    @pytest.fixture
    def ojob_server(self, url_replicated: str) -> SharedMongo:
        return SharedMongo(url_replicated)


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
    again = partial(oc.open_async_channel, replicated_storage.name, type="mongo", **args)
    in_loop(
        replicated_storage,
        replicated_storage.url,
        lambda channel: use_in_forked_child(channel, again),
    )


def test_matches_use_the_index_of_the_channel(replicated_storage: Storage) -> None:
    """It was created on a thread, by whoever keeps records in the channel."""
    in_loop(replicated_storage, replicated_storage.url, match_by_index)
