"""A network that splits a cluster of three nodes into a part of two and a part of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import permutations
from typing import Any

import pytest
from pyignite import Client

import ojobchannels as oc
from ojobchannels.testing.proxy import Proxy
from ojobchannels.testing.servers import IgniteCluster, IgniteServer, or_skip

pytestmark = [pytest.mark.torture, pytest.mark.thorough, pytest.mark.timeout(600)]
NAMES = [f"lock {number}" for number in range(20)]
TTL = 3600


class SeparableCluster(IgniteCluster):
    """Three nodes, with a proxy from each one to each port of each other one.

    Clients connect to the nodes directly, and reach all of them at all times.
    """

    def separate(self, part: IgniteServer) -> None:
        """Lose all traffic between a node and the others; return when they have dropped it."""
        for ends, proxies in self._proxies.items():
            if part in ends:
                for proxy in proxies:
                    proxy.black_hole()
        for node in self.nodes:
            size = 1 if node is part else len(self.nodes) - 1
            node.wait_until(partial(_has_size, node, size), "dropped no node")

    def heal(self) -> None:
        """Forward everything again, also what was held."""
        for proxies in self._proxies.values():
            for proxy in proxies:
                proxy.heal()

    def _start(self, starting: ExitStack) -> None:
        self._proxies: dict[Sequence[IgniteServer], list[Proxy]] = {}
        for node in self.nodes:
            starting.callback(node.stop)
            node.prepare()
        for source, target in permutations(self.nodes, 2):
            proxies = [Proxy((target.address[0], port)) for port in target.inner_ports]
            for proxy, port in zip(proxies, target.inner_ports, strict=True):
                starting.enter_context(proxy)
                source.routes[port] = proxy.port
            self._proxies[source, target] = proxies
        super()._start(starting)


def _has_size(node: IgniteServer, size: int) -> bool:
    return size_of(node) == size


def size_of(node: IgniteServer) -> int:
    """Return how many nodes a node is connected to, itself included."""
    client = Client(partition_aware=False)
    with client.connect(*node.address), client.sql("SELECT COUNT(*) FROM SYS.NODES") as rows:
        return int(next(rows)[0])


@pytest.fixture
def cluster() -> Iterator[SeparableCluster]:
    """A cluster of the test's own, whose network it may cut."""
    with or_skip(), SeparableCluster() as running:
        yield running


def open_at(nodes: Sequence[IgniteServer], timeout: float = 60, min_nodes: int = 1) -> oc.Channel:
    """Open the channel for clients that know these nodes."""
    addresses = [node.address for node in nodes]
    options: dict[str, Any] = {"nodes": addresses, "timeout": timeout, "minNodes": min_nodes}
    return oc.open_channel("orders", type="ignite", **options)


def granted(channel: oc.Channel) -> dict[str, oc.Lease]:
    """Return the locks that one part grants; of some, the smaller part has no copy."""
    leases: dict[str, oc.Lease] = {}
    for name in NAMES:
        with suppress(oc.ChannelUnavailable):
            leases[name] = channel.lock(name, ttl=TTL)
    return leases


def test_both_parts_grant_locks(cluster: SeparableCluster) -> None:
    """A lock may have two holders; once healed, a node that is restarted has what the others have.

    With `minNodes: 2`, only the larger part grants or extends, and clients that reach both use it.
    """
    *larger, single = cluster.nodes
    with (
        open_at(larger) as channel,
        open_at([single]) as channel_of_one,
        open_at([single], 10, min_nodes=2) as impatient,
        open_at([single, *larger], min_nodes=2) as guarded,
    ):
        held = impatient.lock("held", ttl=TTL)
        cluster.separate(single)

        of_one = granted(channel_of_one)
        both = granted(channel)
        assert of_one
        assert set(of_one) <= set(both) == set(NAMES)
        assert {lease.lost for lease in [*of_one.values(), *both.values()]} == {False}

        for name in (next(iter(of_one)), "new"):
            with pytest.raises(oc.ChannelError):
                impatient.try_lock(name, ttl=TTL)
        with pytest.raises(oc.ChannelError):
            held.extend()
        assert guarded.lock("new", ttl=TTL).fence
        assert channel.try_lock("held", ttl=TTL) is None

        cluster.heal()
        single.restart()
        single.wait_until(lambda: size_of(single) == len(cluster.nodes), "did not join the others")
        for name, lease in both.items():
            info = channel_of_one.lock_info(name)
            assert info is not None
            assert info.fence == lease.fence
            if name in of_one:
                with pytest.raises(oc.LockLost):
                    of_one[name].release()
