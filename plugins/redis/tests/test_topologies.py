"""Servers behind TLS, behind Sentinels, and in a cluster."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.aio.native.channel import NativeChannel
from ojobchannels.testing.contracts.remote.base import use_everything
from ojobchannels.testing.contracts.remote.cancelled import until
from ojobchannels.testing.proxy import Proxy
from ojobchannels.testing.servers import (
    Certificates,
    RedisCluster,
    RedisGroup,
    RedisSentinel,
    RedisServer,
    or_skip,
)
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.proving import assert_exclusion
from ojobchannels.testing.torture.targets import on_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    Background = Callable[..., Future[Any]]

# A primary that is only slow must not be replaced: until it notices, it would grant locks as well.
PATIENCE = "4000"
PLAN = Plan(sections=10_000, faults=("kill", "stop", "failover"), pause=1, asynchronous=True)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """An authority, a server and a client."""
    with or_skip():
        return Certificates.make(tmp_path)


def test_tls_checks_the_server_and_the_client(
    server: RedisServer, certificates: Certificates
) -> None:
    """It works with the authority and a client's certificate, and not without either."""
    with Proxy(server.address, tls=certificates.server_context()) as proxy:
        options: dict[str, Any] = {
            "type": "redis",
            "host": "127.0.0.1",
            "port": proxy.port,
            "timeout": 2,
        }
        known = {"tls_ca": str(certificates.authority)}
        own = {"tls_cert": str(certificates.client), "tls_key": str(certificates.client)}
        with oc.open_channel("orders", **options, tls=True, **known, **own) as channel:
            use_everything(channel)
        query = "&".join(f"{name}={value}" for name, value in (known | own).items())
        with oc.open_channel("orders", f"rediss://127.0.0.1:{proxy.port}?{query}") as channel:
            assert channel.size() == 0
        with oc.open_channel("orders", **options, tls=True, tls_verify=False, **own) as channel:
            assert channel.size() == 0
        for wrong in (own, known):
            with pytest.raises((oc.ChannelUnavailable, oc.ChannelTimeout)):
                oc.open_channel("orders", **options, tls=True, **wrong)


def test_sentinels_lead_to_the_primary_before_and_after_a_failover() -> None:
    """The channel reconnects by itself, and its fences grow."""
    with or_skip(), RedisSentinel() as group:
        sentinel = f"127.0.0.1:{group.sentinel.port}"
        options: dict[str, Any] = {"sentinels": ["127.0.0.1:1", sentinel], "service": group.service}
        with oc.open_channel("orders", type="redis", timeout=20, **options) as channel:
            use_everything(channel)
            channel.set("key", 1)
            lease = channel.lock("nightly", ttl=60)
            lease.release()
            old, new = group.servers
            new.wait_until(
                lambda: new.info()["master_repl_offset"] == old.info()["master_repl_offset"],
                "did not follow",
            )
            old.kill()
            group.wait_for_master(new)
            with channel.lock("nightly", ttl=60) as later:
                assert later.fence > lease.fence
            assert channel.get("key") == 1
            assert channel.pop() == 1
        with pytest.raises(oc.ChannelUnavailable, match="unknown service"):
            oc.open_channel("orders", type="redis", sentinels=[sentinel], service="other")
        with pytest.raises(oc.ChannelUnavailable, match="sentinel_username and sentinel_password"):
            oc.open_channel("orders", type="redis", **group.options, sentinel_password="wrong")


def test_a_service_is_used_in_the_event_loop() -> None:
    """A task that waits for a lock gets it after a failover, too."""
    with or_skip(), RedisSentinel() as group:
        old, new = group.servers

        async def test() -> None:
            async with in_loop(group) as (channel, other):
                await use_in_loop(channel, other)
                held = other.lock("nightly", ttl=600)
                waiting = await begin_to_wait(channel, "nightly")
                await until(lambda: offset(new) == offset(old))
                old.kill()
                await asyncio.to_thread(group.wait_for_master, new)
                await asyncio.to_thread(held.release)
                async with await waiting as lease:
                    assert lease.fence > held.fence
                assert await channel.get("key") == 2

        asyncio.run(test())


def offset(server: RedisServer) -> str:
    """Return how much of what the primary has written the server knows."""
    return server.info()["master_repl_offset"]


@asynccontextmanager
async def in_loop(group: RedisGroup) -> AsyncIterator[tuple[NativeChannel, oc.Channel]]:
    """Open a channel in the running event loop, and a handle for threads."""
    options: dict[str, Any] = {"type": "redis", "timeout": 20, **group.options}
    with oc.open_channel("orders", **options) as other:
        async with asyncio.timeout(60), oc.open_async_channel("orders", **options) as channel:
            assert isinstance(channel, NativeChannel)
            yield channel, other


async def begin_to_wait(channel: NativeChannel, name: str) -> asyncio.Task[oc.AsyncLease]:
    """Return a task that waits for a lock."""
    waiting = asyncio.create_task(channel.lock(name, ttl=600, wait=None))
    await until(lambda: channel._waiting.looking_tasks)
    return waiting


async def use_in_loop(channel: NativeChannel, other: oc.Channel) -> None:
    """Use documents, locks and a subscription; a cancelled wait leaves nothing."""
    opened = set(threading.enumerate())
    await channel.set("key", 1)
    async with channel.lock("nightly", ttl=60) as lease:
        await lease.extend()
        assert [info.name for info in await channel.locks()] == ["nightly"]
    assert set(threading.enumerate()) <= opened
    async with channel.subscribe(replay=True) as changes:
        assert (await anext(changes))[:3] == ("set", "key", 1)
        await asyncio.to_thread(other.set, "key", 2)
        assert (await anext(changes))[:3] == ("set", "key", 2)
    held = await channel.lock("nightly", ttl=600)
    waiting = await begin_to_wait(channel, "nightly")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    waiting = await begin_to_wait(channel, "nightly")
    await held.release()
    await (await waiting).release()
    assert await channel.locks() == []


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    """Three nodes."""
    with or_skip(), RedisCluster() as running:
        yield running


def test_a_cluster_serves_documents_and_locks_from_all_its_nodes(cluster: RedisCluster) -> None:
    """Whichever node the URL names; without the option `cluster` the error asks for it."""
    for node in cluster.nodes:
        with oc.open_channel("orders", node.url, cluster=True) as channel:
            use_everything(channel)
            with oc.open_channel("other {orders}", node.url, cluster=True) as other:
                use_everything(other)
    with pytest.raises(oc.InvalidOption, match="cluster: true"):
        oc.open_channel("orders", cluster.url)
    with pytest.raises(oc.ChannelUnavailable, match="options username and password"):
        oc.open_channel("orders", cluster.url, cluster=True, password="wrong")


def test_a_cluster_whose_nodes_do_not_report_their_hosts(cluster: RedisCluster) -> None:
    """As behind a load balancer with a port for each node: all have the host of the first one."""
    for node in cluster.nodes:
        node.command("CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint")
    with oc.open_channel("orders", cluster.url, cluster=True) as channel:
        use_everything(channel)


def test_a_node_that_is_down_affects_no_lease_of_the_others() -> None:
    """One call renews all; only for leases of that node the outcome is None."""
    options = {"cluster-require-full-coverage": "no", "cluster-node-timeout": "60000"}
    with (
        or_skip(),
        RedisCluster(options=options) as cluster,
        oc.open_channel("orders", cluster.url, cluster=True, timeout=2) as channel,
    ):
        leases = [channel.lock(f"lock {n}", ttl=60) for n in range(12)]
        down = {lease.name: is_on(cluster.nodes[0], lease) for lease in leases}
        assert set(down.values()) == {True, False}
        cluster.nodes[0].kill()
        requests = [oc.hookspecs.LeaseRequest(lease.name, lease.token, 60_000) for lease in leases]
        results = channel.hook.extend_all(leases=requests, timeout=9000)
        assert results == [None if down[lease.name] else True for lease in leases]
        lost = [request for request in requests if down[request.name]]
        with pytest.raises(oc.ChannelUnavailable):
            channel.hook.extend_all(leases=lost, timeout=300)


def test_locks_are_listed_when_a_node_is_replaced_meanwhile(in_background: Background) -> None:
    """As soon as the other nodes know the successor, and not only at the next call."""
    options = {"cluster-require-full-coverage": "no", "cluster-node-timeout": "60000"}
    with (
        or_skip(),
        RedisCluster(options=options) as cluster,
        oc.open_channel("orders", cluster.url, cluster=True, timeout=20) as channel,
    ):
        leases = [channel.lock(f"lock {n}", ttl=60) for n in range(12)]
        left = {lease.name for lease in leases if not is_on(cluster.nodes[0], lease)}
        cluster.nodes[0].kill()
        listing = in_background(channel.locks)
        give_slots_to_the_second(cluster)
        assert {info.name for info in listing.result(15)} == left


def give_slots_to_the_second(cluster: RedisCluster) -> None:
    """Have the second node replace the first one, which is down."""
    slots = [str(slot) for slot in range(16_384 // 3)]
    for node in cluster.nodes[1:]:
        node.command("CLUSTER", "DELSLOTS", *slots)
    cluster.nodes[1].command("CLUSTER", "ADDSLOTS", *slots)


def is_on(node: RedisServer, lease: oc.Lease) -> bool:
    """Return whether a lock of the channel `orders` is on that node."""
    return node.command("KEYS", f"ojob:{{orders:{lease.name}}}:lock") != []


def test_a_slot_that_moves_is_followed(cluster: RedisCluster, in_background: Background) -> None:
    """A lock also while it moves (ASK); documents wait until all of them have moved (TRYAGAIN)."""
    with oc.open_channel("orders", cluster.url, cluster=True, timeout=30) as channel:
        for number in range(20):
            channel.set(number, number)
        lease = channel.lock("nightly", ttl=60)
        moves = [Move(cluster, tag) for tag in ("{orders}", "{orders:nightly}")]
        for move in moves:
            move.begin()
        assert channel.get(3) == 3
        lease.extend()
        assert channel.try_lock("nightly", ttl=30) is None
        waiting = in_background(channel.set, 3, "moved")
        lease.release()
        for move in moves:
            move.finish()
        waiting.result(30)
        assert channel.get(3) == "moved"
        assert channel.size() == 20
        with channel.lock("nightly", ttl=60) as later:
            assert later.fence > lease.fence


def test_a_cluster_is_used_in_the_event_loop() -> None:
    """A task follows a slot that moves, and waits for a lock whose node is replaced."""
    options = {"cluster-require-full-coverage": "no", "cluster-node-timeout": "60000"}
    with or_skip(), RedisCluster(options=options) as cluster:

        async def test() -> None:
            async with in_loop(cluster) as (channel, other):
                await use_in_loop(channel, other)
                async with channel.lock("moving", ttl=600) as lease:
                    move = Move(cluster, "{orders:moving}")
                    move.begin()
                    await lease.extend()
                    move.finish()
                    await lease.extend()
                leases = [other.lock(f"lock {n}", ttl=600) for n in range(12)]
                held = next(lease for lease in leases if is_on(cluster.nodes[0], lease))
                waiting = await begin_to_wait(channel, held.name)
                cluster.nodes[0].kill()
                give_slots_to_the_second(cluster)
                async with await waiting as later:
                    assert later.fence > held.fence

        asyncio.run(test())


class Move:
    """The move of a tag's hash slot from one node to another."""

    def __init__(self, cluster: RedisCluster, tag: str) -> None:
        self._nodes = cluster.nodes
        self.slot = str(cluster.nodes[0].command("CLUSTER", "KEYSLOT", tag))
        self.source = next(
            node for node in cluster.nodes if node.command("CLUSTER", "COUNTKEYSINSLOT", self.slot)
        )
        self.target = next(node for node in cluster.nodes if node is not self.source)
        self.target_id = str(self.target.command("CLUSTER", "MYID"))

    def begin(self) -> None:
        """Move the keys; the source redirects requests for them."""
        source_id = str(self.source.command("CLUSTER", "MYID"))
        self.target.command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", source_id)
        self.source.command("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.target_id)
        keys = self.source.command("CLUSTER", "GETKEYSINSLOT", self.slot, "100")
        assert isinstance(keys, list)
        there = ("127.0.0.1", str(self.target.port), "", "0", "5000")
        self.source.command("MIGRATE", *there, "KEYS", *map(str, keys))

    def finish(self) -> None:
        """Assign the slot to the target."""
        others = [node for node in self._nodes if node not in (self.target, self.source)]
        for node in (self.target, self.source, *others):
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", self.target_id)
        # Two moves in one epoch are a conflict, which the cluster takes seconds to resolve.
        self.target.wait_until(self._agree, "had another epoch than the others")

    def _agree(self) -> bool:
        """Return whether all nodes know the same epoch."""
        states = [str(node.command("CLUSTER", "INFO")) for node in self._nodes]
        epochs = {re.findall(r"cluster_current_epoch:(\d+)", state)[0] for state in states}
        return len(epochs) == 1


def test_the_option_cluster_is_refused_for_a_single_server(server: RedisServer) -> None:
    """When the channel is opened."""
    with pytest.raises((oc.InvalidOption, oc.ChannelUnavailable), match="cluster"):
        oc.open_channel("orders", server.url, cluster=True)


@pytest.mark.torture
@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_sections_exclude_each_other_while_nodes_of_a_cluster_are_replaced() -> None:
    """Primaries are killed while their replicas are in step."""
    options = {"cluster-node-timeout": PATIENCE}
    with or_skip(), RedisCluster(replicated=True, options=options) as cluster:
        _prove_exclusion_over_failovers(cluster)


@pytest.mark.torture
@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_sections_exclude_each_other_while_a_sentinel_fails_over(tmp_path: Path) -> None:
    """Over TLS, to the Sentinel and to the servers; only Debian's server is built with it."""
    with or_skip():
        certificates = Certificates.make(tmp_path)
        patience = int(PATIENCE) / 1000
        with RedisSentinel("redis-server", certificates=certificates, down_after=patience) as group:
            _prove_exclusion_over_failovers(group)


def _prove_exclusion_over_failovers(group: RedisGroup) -> None:
    target = on_group(group)
    while not assert_exclusion(target, PLAN).done.get("failover"):
        pass  # faults are chosen at random


def test_a_grant_that_the_promoted_replica_missed_is_noticed() -> None:
    """The lock is granted again, with a higher fence, which refuses the old holder's writes."""
    with or_skip(), RedisSentinel() as group:
        primary, replica = group.servers
        with oc.open_channel("orders", type="redis", timeout=20, **group.options) as channel:
            channel.set("key", "before")
            stored = primary.command("DBSIZE")
            replica.wait_until(lambda: replica.command("DBSIZE") == stored, "lags behind")
            replica.kill()
            lease = channel.lock("nightly", ttl=60)
            primary.kill()
            replica.start()
            group.wait_for_master(replica)
            with channel.lock("nightly", ttl=60) as later:
                assert later.fence > lease.fence
                channel.set("key", "later", fence=later.fence)
                with pytest.raises(oc.StaleFence):
                    channel.set("key", "late", fence=lease.fence)
                with pytest.raises(oc.LockLost):
                    lease.extend()
            assert channel.get("key") == "later"
