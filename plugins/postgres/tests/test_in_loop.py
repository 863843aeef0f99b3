"""The promises to callers of an event loop, on connections of psycopg's asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.aio.native.channel import NativeChannel
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
from ojobchannels.testing.contracts.remote.cancelled import CancelledTaskContract
from ojobchannels.testing.contracts.remote.in_loop import (
    LoopSubject,
    match_by_index,
    use_in_forked_child,
    use_without_a_thread,
)
from ojobchannels.testing.contracts.remote.outages import OutageContract
from ojobchannels.testing.contracts.remote.requests import LostRequestContract
from ojobchannels_postgres.testing import SharedPostgres

if TYPE_CHECKING:
    from conftest import Storage


class TestLocksInLoop(LockContract, TokenContract):
    """What the kit demands of locks holds for the operations in a loop, too."""

    @pytest.fixture
    def ojob_subject(self, storage: Storage) -> Subject:
        return LoopSubject("postgres", storage.options)


@pytest.mark.thorough
class TestInLoop(
    DocumentContract,
    OrderContract,
    CompareAndSetContract,
    FenceContract,
    RetryContract,
    WakeupContract,
):
    """So does what it demands of documents, of requests that are repeated, and of waiters."""

    @pytest.fixture
    def ojob_subject(self, storage: Storage) -> Subject:
        return LoopSubject("postgres", storage.options)


class TestCancelledTasks(CancelledTaskContract):
    """Cancelled tasks leave nothing on the server, in the pool, or for another request."""

    @pytest.fixture
    def ojob_server(self, url: str) -> SharedPostgres:
        return SharedPostgres(url)


class _BehindProxy:
    """The operations of a handle in a loop, whose server is behind a proxy."""

    @pytest.fixture
    def ojob_server(self, url: str) -> SharedPostgres:
        return SharedPostgres(url)

    @pytest.fixture
    def ojob_subject(self, ojob_server: SharedPostgres, server_part: str) -> Subject:
        return LoopSubject("postgres", {"url": ojob_server.url_of(server_part)})


class TestFaultsInLoop(_BehindProxy, LostRequestContract):
    """Operations in a loop survive a broken connection."""

    remembers_unlock = True


@pytest.mark.thorough
class TestOutagesInLoop(_BehindProxy, OutageContract):
    """They survive a server that does not reply, too."""


def in_loop(storage: Storage, test: Callable[[NativeChannel], Awaitable[None]]) -> None:
    """Run a coroutine function with a channel of its own."""

    async def run() -> None:
        async with oc.open_async_channel(
            storage.name, type="postgres", **storage.options
        ) as channel:
            assert isinstance(channel, NativeChannel)
            await test(channel)

    asyncio.run(run())


def connections(storage: Storage, of_each: str = "pid") -> int:
    """Return the number of connections with the name of the storage; do something to each."""
    with storage.client() as client:
        found = client.execute(
            f"SELECT {of_each} FROM pg_stat_activity"
            " WHERE application_name = %s AND pid <> pg_backend_pid()",
            [storage.name],
        )
        return len(found.fetchall())


@pytest.fixture
def named(storage: Storage) -> Storage:
    """A storage whose connections have its name at the server."""
    joint = "&" if "?" in storage.url else "?"
    storage.options["url"] = f"{storage.url}{joint}application_name={storage.name}"
    return storage


def test_operations_start_no_thread(storage: Storage) -> None:
    """Only a wait for a lock does: the listener, which all channels of the process share."""
    in_loop(storage, use_without_a_thread)


def test_the_connections_are_closed_with_the_channel(named: Storage) -> None:
    """At most as many as requests may be under way at once, and none afterwards."""

    async def test(channel: NativeChannel) -> None:
        await asyncio.gather(*(channel.get(number) for number in range(100)))
        assert connections(named) <= 8 + 1

    in_loop(named, test)
    named.until(lambda: connections(named) == 0)


def test_connections_that_the_server_closed_are_not_used_again(named: Storage) -> None:
    """The loop notices, so that what must not be done twice is not in doubt either."""

    async def test(channel: NativeChannel) -> None:
        await channel.set("key", 1)
        assert connections(named, "pg_terminate_backend(pid)")
        named.until(lambda: connections(named) == 0)
        assert await channel.pop() == 1
        assert await channel.size() == 0

    in_loop(named, test)


def test_a_large_batch_is_sent_while_the_loop_does_other_work(storage: Storage) -> None:
    """More than the socket takes at once."""
    items = dict.fromkeys(range(60), "x" * 100_000)

    async def test(channel: NativeChannel) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(channel.set_all(items))
            group.create_task(channel.set("other", 1))
        assert await channel.unset_all([*items, "other"]) == 61

    in_loop(storage, test)


def test_a_forked_child_leaves_the_connections_to_its_parent(storage: Storage) -> None:
    """It opens its own, and what it closes at its end is not the parent's."""
    again = partial(oc.open_async_channel, storage.name, type="postgres", **storage.options)
    in_loop(storage, lambda channel: use_in_forked_child(channel, again))


def test_matches_use_the_index_of_the_channel(storage: Storage) -> None:
    """It was created on a thread, by whoever keeps records in the channel."""
    in_loop(storage, match_by_index)
