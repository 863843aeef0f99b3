"""The channel type ``ignite`` in an event loop, on connections of its own."""

from __future__ import annotations

import asyncio
import select
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar

import pytest
from pyignite.utils import cache_id

import ojobchannels as oc
from ojobchannels.aio.native.channel import NativeChannel
from ojobchannels.plugins import checked_options, registry
from ojobchannels.steps import drive_async
from ojobchannels.testing import (
    CompareAndSetContract,
    DocumentContract,
    FenceContract,
    LockContract,
    OrderContract,
    RetryContract,
    Subject,
    TokenContract,
    WakeupContract,
)
from ojobchannels.testing.contracts.remote.base import PATIENT
from ojobchannels.testing.contracts.remote.cancelled import CancelledTaskContract, until
from ojobchannels.testing.contracts.remote.in_loop import LoopSubject, use_in_forked_child
from ojobchannels.testing.proxy import Proxy
from ojobchannels_ignite.in_loop.node import TransportConnection, open_connection
from ojobchannels_ignite.options import settings_of
from ojobchannels_ignite.protocol.requests import Requests
from ojobchannels_ignite.testing import SharedIgnite


class InLoop:
    """Storages whose handles work in an event loop."""

    @pytest.fixture
    def ojob_subject(self, cache_url: str) -> Subject:
        return LoopSubject("ignite", {"url": cache_url})


class TestInLoop(InLoop, LockContract):
    """What the kit demands of locks holds for the operations in a loop, too."""


@pytest.mark.thorough
class TestMoreInLoop(
    InLoop,
    DocumentContract,
    OrderContract,
    CompareAndSetContract,
    FenceContract,
    RetryContract,
    TokenContract,
    WakeupContract,
):
    """So does what it demands of documents, fences and tokens, and of waiters."""


class TestCancelledTasks(CancelledTaskContract):
    """Cancelled tasks leave nothing on the cluster, in the pool, or for another request."""

    deciding: ClassVar = {"lock": 2}

    @pytest.fixture
    def ojob_server(self, url: str) -> SharedIgnite:
        return SharedIgnite(url)


def in_loop(
    storage: Subject, test: Callable[[NativeChannel], Awaitable[None]], **options: Any
) -> None:
    """Run a coroutine function with a channel of its own."""

    async def run() -> None:
        async with oc.open_async_channel(
            storage.name, type="ignite", **storage.options | options
        ) as channel:
            assert isinstance(channel, NativeChannel)
            await test(channel)

    asyncio.run(run())


def test_operations_and_waiters_start_no_thread(storage: Subject) -> None:
    """Neither do a hundred tasks that wait for a lock."""

    async def test(channel: NativeChannel) -> None:
        opened = set(threading.enumerate())
        await channel.set("key", 1)
        assert (await channel.get("key"), await channel.size()) == (1, 1)
        assert (await channel.add("key", 2), await channel.get_set(1, "key", 2)) == (False, 1)
        assert [item async for item in channel.items()] == [("key", 2)]
        await channel.set_all({"last": 3})
        assert (await channel.get_keys(), await channel.get_all()) == (["key", "last"], [2, 3])
        assert (await channel.pop(), await channel.shift()) == (3, 2)
        assert (await channel.unset("key"), await channel.unset_all(["last"])) == (False, 0)
        await channel.destroy()
        async with channel.lock("nightly", ttl=600) as lease:
            waits = [
                asyncio.create_task(channel.lock("nightly", ttl=600, wait=None)) for _ in range(100)
            ]
            await until(lambda: channel._waiting.looking_tasks)
            await lease.extend()
            assert [info.name for info in await channel.locks()] == ["nightly"]
            assert set(threading.enumerate()) <= opened
        first, *others = waits
        async with await first:
            assert await channel.force_unlock("other") is None
            for wait in others:
                wait.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        assert set(threading.enumerate()) <= opened

    in_loop(storage, test)


def test_a_forked_child_leaves_the_connections_to_its_parent(storage: Subject) -> None:
    """It opens its own, and what it closes at its end is not the parent's."""
    again = partial(oc.open_async_channel, storage.name, type="ignite", **storage.options)
    in_loop(storage, lambda channel: use_in_forked_child(channel, again))


def test_a_node_that_fails_is_left_for_another(storage: Subject) -> None:
    """The request is repeated there, and later ones go there at once."""
    settings = settings_of(checked_options(registry().find("ignite"), storage.options))
    with Proxy(settings.nodes[0]) as first, Proxy(settings.nodes[0]) as second:

        async def test(channel: NativeChannel) -> None:
            await channel.set("key", 1)
            assert not second.counters.connections
            first.refuse()
            first.reset()
            assert await channel.get("key") == 1
            first.heal()
            used = first.counters.connections
            async with channel.lock("nightly", ttl=600):
                assert await channel.shift() == 1
            assert first.counters.connections == used
            assert second.counters.connections

        nodes = [first.address, second.address]
        in_loop(storage, test, url=None, nodes=nodes, cacheName=settings.cache, timeout=PATIENT)


def test_a_reply_is_not_dropped_because_the_loop_was_busy(storage: Subject) -> None:
    """It has come in time, although a callback kept the loop from it for longer."""
    settings = settings_of(checked_options(registry().find("ignite"), storage.options))

    def be_busy(connection: TransportConnection) -> None:
        select.select([connection._socket], [], [], PATIENT)
        time.sleep(max(connection.ends - time.monotonic(), 0))

    async def test(_: NativeChannel) -> None:
        connection = await open_connection(settings.nodes[0], settings, PATIENT)
        connection.ends = time.monotonic() + 0.5
        requests = Requests(connection, cache_id(settings.cache))
        asking = asyncio.create_task(drive_async(requests.get("no such key")))
        await asyncio.sleep(0)
        be_busy(connection)
        assert await asking is None
        connection.close()

    in_loop(storage, test)
