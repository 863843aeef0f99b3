"""What goes over the wire: so many commands, and no more."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels_mongo.codec import FIRST

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Storage

    from ojobchannels.testing.proxy import Proxy

COSTS: dict[str, tuple[Callable[[oc.Channel], Any], int]] = {
    "get": (lambda channel: channel.get("key"), 1),
    "set": (lambda channel: channel.set("key", 1), 1),
    "fenced set": (lambda channel: channel.set("key", 1, fence=1), 1),
    "unset": (lambda channel: channel.unset("key"), 1),
    "fenced unset": (lambda channel: channel.unset("key", fence=1), 1),
    "add": (lambda channel: channel.add("new", 1), 1),
    "get_set": (lambda channel: channel.get_set(1, "key", 2), 2),
    "pop": (lambda channel: channel.pop(), 1),
    "shift": (lambda channel: channel.shift(), 1),
    "size": (lambda channel: channel.size(), 1),
    "get_keys": (lambda channel: channel.get_keys(), 1),
    "lock and unlock": (lambda channel: channel.lock("nightly", ttl=30).release(), 2),
    "busy": (lambda channel: channel.try_lock("held", ttl=30), 1),
    "lock_info": (lambda channel: channel.lock_info("held"), 1),
    "locks": (lambda channel: channel.locks(), 1),
    "force_unlock": (lambda channel: channel.force_unlock("held"), 1),
}


@pytest.fixture
def counted(storage: Storage, behind: Storage) -> oc.Channel:
    """A channel over a proxy that counts, with one entry and one lock that is held."""
    direct = storage.open()
    direct.set("key", 1)
    direct.lock("held", ttl=60)
    # Heartbeats of the driver would count as well.
    behind.url += "&serverMonitoringMode=poll"
    behind.url = behind.url.replace("heartbeatFrequencyMS=500", "heartbeatFrequencyMS=3600000")
    channel = behind.open()
    channel.get("key")
    return channel


@pytest.mark.parametrize(("operation", "cost"), COSTS.values(), ids=COSTS.keys())
def test_an_operation_costs_so_many_round_trips(
    counted: oc.Channel, proxy: Proxy, operation: Callable[[oc.Channel], Any], cost: int
) -> None:
    """One to lock, one to unlock, one for whatever one document takes."""
    before = proxy.counters.requests
    operation(counted)
    assert proxy.counters.requests - before == cost


def test_the_server_sees_one_command_to_lock_and_one_to_unlock(storage: Storage) -> None:
    """By its own profiler; none of them waits for a lock of the database's or scans anything."""
    name = f"{storage.config['args']['database']}_profiled"
    channel = storage.open(database=name)
    with channel.lock("nightly", ttl=30):
        pass
    with storage.client() as client:
        database = client[name]
        database.command("profile", 2)
        with channel.lock("nightly", ttl=30):
            pass
        database.command("profile", 0)
        seen = list(database["system.profile"].find({"appName": "ojobchannels"}))
        client.drop_database(name)
    assert Counter(one["op"] for one in seen) == {"command": 1, "update": 1}
    assert {one["planSummary"] for one in seen} == {"IDHACK", "IXSCAN { _id: 1 }"} or all(
        "_id" in one["planSummary"] or one["planSummary"] == "IDHACK" for one in seen
    )
    assert max(one.get("docsExamined", 0) for one in seen) <= 1


def test_reading_in_order_uses_the_index(storage: Storage) -> None:
    """No page sorts or scans what is not its own."""
    channel = storage.open()
    for number in range(20):
        channel.set(number, number)
    with storage.client() as client:
        rows = client[storage.config["args"]["database"]]["ojob_documents"]
        for end in (1, -1):
            query = rows.find({"c": storage.name, "o": {"$gt": FIRST}}).sort("o", end).limit(5)
            plan = query.explain()
            assert plan["executionStats"]["totalDocsExamined"] == 5
            assert "'stage': 'SORT'" not in str(plan["queryPlanner"]["winningPlan"])


@pytest.mark.parametrize("storage", ["replicated"], indirect=True)
def test_a_waiter_on_a_replica_set_does_not_poll(
    behind: Storage, storage: Storage, proxy: Proxy
) -> None:
    """While it waits for two seconds, the server hears from it now and then."""
    channel = behind.open()
    with storage.open().lock("nightly", ttl=30):
        before = proxy.counters.requests
        with pytest.raises(oc.LockBusy):
            channel.lock("nightly", ttl=30, wait=2)
        assert proxy.counters.requests - before < 35


@pytest.mark.parametrize("storage", ["alone"], indirect=True)
def test_a_waiter_on_a_server_alone_looks_twenty_times_a_second(
    behind: Storage, storage: Storage, proxy: Proxy
) -> None:
    """And no more."""
    channel = behind.open()
    with storage.open().lock("nightly", ttl=30):
        before = proxy.counters.requests
        with pytest.raises(oc.LockBusy):
            channel.lock("nightly", ttl=30, wait=2)
        assert proxy.counters.requests - before < 60
