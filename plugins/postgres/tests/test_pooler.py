"""PgBouncer in transaction mode: each statement may get another connection to the server."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import ojobchannels as oc
from ojobchannels.remote import waiters
from ojobchannels.testing.contracts.documents.subscribing import ReceivedChanges
from ojobchannels.testing.contracts.remote.base import use_everything
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.proving import prove_exclusion
from ojobchannels_postgres.testing import SharedPostgres

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from conftest import Storage
    from ojobchannels.testing.kit.pytest_fixtures import WaitObserver
    from ojobchannels.testing.servers import PgBouncer, PostgresServer

    Background = Callable[..., Future[Any]]

_IS_PREPARED = """
SELECT EXISTS (
    SELECT FROM pg_prepared_statements WHERE strpos(statement, $1 || '.ojob_documents') > 0
)
"""


def test_every_operation_works_through_a_pooler(pooled: Storage) -> None:
    """Nothing needs a session: no prepared statement, no setting, no lock of the session."""
    use_everything(pooled.open())


def test_many_threads_exclude_each_other_through_few_connections(
    pooled: Storage, server: PostgresServer
) -> None:
    """Sixteen threads on three locks; fences grow, and the pool is not exceeded."""
    channel, turns = pooled.open(), 15
    inside = dict.fromkeys("abc", 0)
    fences: dict[str, list[int]] = {name: [] for name in inside}

    def work(number: int) -> None:
        name = "abc"[number % 3]
        for turn in range(turns):
            with channel.lock(name, ttl=30, wait=60) as lease:
                inside[name] += 1
                assert inside[name] == 1
                fences[name].append(lease.fence)
                channel.set(f"{number}", turn, fence=lease.fence)
                inside[name] -= 1

    with ThreadPoolExecutor(16) as threads:
        for done in [threads.submit(work, number) for number in range(16)]:
            done.result(60)
    assert all(each == sorted(set(each)) for each in fences.values())
    assert sum(map(len, fences.values())) == 16 * turns
    with SharedPostgres(server.url).client(server.url) as client:
        backends = client.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'postgres' "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchone()
    assert backends is not None
    assert backends[0] <= 4 + 1  # the size of the pool, and the listener


@pytest.mark.usefixtures("rare_looks")
def test_a_release_through_a_pooler_wakes_a_waiter_of_another_process(
    pooled: Storage, observer: WaitObserver, in_background: Background
) -> None:
    """Notifications pass the pooler, and arrive on the direct connection."""
    holder = pooled.open(timeout=9)  # settings of its own, and so a listener
    channel = pooled.open(extensions=[observer])
    lags = []
    for _ in range(5):
        lease = holder.lock("nightly", ttl=60)
        waiting = in_background(channel.lock, "nightly", ttl=30, wait=30)
        observer.await_waiters()
        pooled.until(lambda: pooled.server_of(channel).listener.live)
        pooled.until(lambda: pooled.has_notice("ojob_locks", "awaited", channel))
        released = time.monotonic()
        lease.release()
        waiting.result(20).release()
        lags.append(time.monotonic() - released)
    assert sorted(lags)[2] < 0.2, lags  # a look at the lock would take an hour


def test_without_a_direct_connection_waiters_and_subscriptions_poll(
    pooled_only: Storage,
    observer: WaitObserver,
    in_background: Background,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """LISTEN through the pooler succeeds and nothing arrives; this is noticed, and logged once."""
    received, channel = ReceivedChanges(), pooled_only.open(extensions=[observer])
    lease = channel.lock("nightly", ttl=60)
    with caplog.at_level(logging.WARNING, "ojobchannels.postgres"):
        with channel.subscribe(received):
            pooled_only.until(lambda: "listen_url" in caplog.text)
            channel.set("key", 1)
            received.wait_for(lambda: received.values("key") == [1])
        waiting = in_background(channel.lock, "nightly", ttl=30, wait=30)
        observer.await_waiters()
        lease.release()
        waiting.result(10).release()
    assert len(caplog.records) == 1


@pytest.fixture
def rare_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiter that nothing wakes looks at its lock once an hour."""
    for name in ("_LOOK", "_LOOK_SELDOM"):
        monkeypatch.setattr(waiters, name, (3600, 3600))


@pytest.mark.usefixtures("rare_looks")
def test_a_release_wakes_a_waiter_of_the_same_process_without_notifications(
    pooled_only: Storage,
) -> None:
    """On threads, in the loop, and from one to the other."""
    turns = 3

    def on_threads() -> None:
        for _ in range(turns):
            with channel.lock("nightly", ttl=60, wait=30):
                time.sleep(0)

    async def in_loop() -> None:
        async def work() -> None:
            for _ in range(turns):
                async with tasks.lock("nightly", ttl=60, wait=30):
                    await asyncio.sleep(0)

        async with oc.open_async_channel(
            pooled_only.name, type="postgres", **pooled_only.options
        ) as tasks:
            await asyncio.gather(*(work() for _ in range(5)))

    channel = pooled_only.open()
    with ThreadPoolExecutor(5) as threads:
        done = [threads.submit(on_threads) for _ in range(5)]
        asyncio.run(in_loop())
        for each in done:
            each.result(30)


def test_prepared_statements_are_those_of_whoever_had_the_connection(
    pooler: PgBouncer, server: PostgresServer
) -> None:
    """Their names are digests of their texts, so that it does not matter who prepared them."""
    for url in (server.url, pooler.url):
        with oc.open_channel("prepared", url, prepare=True, timeout=5) as channel:
            use_everything(channel)
            with ThreadPoolExecutor(16) as threads:
                list(threads.map(lambda number: channel.set(number, number), range(300)))
            assert channel.size() == 300
            channel.destroy()


def test_the_tables_are_created_by_prepared_statements_too(pooler: PgBouncer) -> None:
    """Others have prepared the same ones on the connection, which would abort a transaction."""
    for schema in ("first prepared", "next prepared"):
        with oc.open_channel("prepared", pooler.url, schema=schema, prepare=True) as channel:
            channel.set("key", 1)
            assert channel.get("key") == 1


def test_tables_that_change_end_prepared_statements(server: PostgresServer) -> None:
    """A statement whose plan is no longer valid is sent again as a text."""
    with oc.open_channel("changed", server.url, schema="changed", prepare=True) as channel:
        channel.lock("nightly", ttl=30).release()
        with psycopg.connect(server.url, autocommit=True) as client:
            client.execute("ALTER TABLE changed.ojob_locks ALTER token TYPE varchar")
        channel.lock("nightly", ttl=30).release()


def test_statements_are_prepared_where_no_pooler_is_noticed(
    pooler: PgBouncer, server: PostgresServer
) -> None:
    """A pooler is noticed by the process that it names; without it, all connections prepare."""
    for url, expected in ((server.url, True), (pooler.url, False)):
        schema = f"noticed_{expected}"
        with oc.open_channel("noticed", url, schema=schema) as channel:
            channel.set("key", 1)
            backend = channel.hook.get.get_hookimpls()[0].plugin
            first = backend._connection.server.pool.take(10, tested=False)
            assert first.run(_IS_PREPARED, (f'"{schema}"',), 10) == [(expected,)]
            assert backend._connection.server.prepares is expected
            first.close()


@pytest.mark.torture
@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_sections_exclude_each_other_through_a_pooler(
    server: PostgresServer, pooler: PgBouncer
) -> None:
    """Eight processes, killed and stopped at work."""
    url = f"{pooler.url}?listen_url={server.url}"
    plan = Plan(sections=1500, faults=("kill", "stop"), pause=0.3)
    assert prove_exclusion(url, plan).done["kill"] > 0
