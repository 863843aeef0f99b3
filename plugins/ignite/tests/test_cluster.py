"""A few nodes, of which one dies."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import ojobchannels as oc
from ojobchannels.testing.servers import IgniteCluster, or_skip
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.proving import prove_exclusion

TIMEOUT = 20

pytestmark = pytest.mark.timeout(180)  # so that they begin first: they wait for long


@pytest.fixture(params=[2])
def cluster(request: pytest.FixtureRequest) -> Iterator[IgniteCluster]:
    """A cluster of the test's own; each node takes a second to start."""
    with or_skip(), IgniteCluster(request.param) as running:
        yield running


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_the_death_of_a_node_loses_only_what_has_no_backup(cluster: IgniteCluster) -> None:
    """Documents, marks, fences and leases are on another node, which clients find.

    Without backups, calls for what died with the node fail, and say so.
    """
    with (
        oc.open_channel("orders", cluster.url, timeout=TIMEOUT) as channel,
        oc.open_channel("orders", f"{cluster.url}/single", timeout=TIMEOUT, backups=0) as single,
    ):
        leases = store_twenty(channel)
        held = store_twenty(single)
        dead = cluster.nodes[0]
        dead.kill()
        began = time.monotonic()
        assert channel.get_all() == [{"n": number} for number in range(20)]
        assert time.monotonic() - began < TIMEOUT
        assert_partly_lost(single, held)
        for number, lease in enumerate(leases):
            assert channel.try_lock(lease.name, ttl=1) is None
            with pytest.raises(oc.StaleFence):
                channel.set(number, "late", fence=lease.fence - 1)
            lease.extend()
            lease.release()
            assert channel.lock(lease.name, ttl=30).fence > lease.fence
        dead.start()
        assert channel.size() == 20


def store_twenty(channel: oc.Channel) -> list[oc.Lease]:
    """Store twenty entries, each under a lock of its own; return the leases."""
    leases = [channel.lock(f"lock {number}", ttl=600) for number in range(20)]
    for number, lease in enumerate(leases):
        channel.set(number, {"n": number}, fence=lease.fence)
    return leases


def assert_partly_lost(channel: oc.Channel, held: list[oc.Lease]) -> None:
    """Assert that some rows are lost, and that no call takes them for absent."""
    with pytest.raises(oc.ChannelUnavailable, match="lost"):
        channel.get_all()
    lost = 0
    for lease in held:
        try:
            assert channel.try_lock(lease.name, ttl=1) is None
        except oc.ChannelUnavailable:
            lost += 1
    assert 0 < lost < len(held)
    began = time.monotonic()
    channel.close()
    assert time.monotonic() - began < 2 * TIMEOUT


@pytest.mark.thorough
def test_a_node_that_hangs_is_left_for_another(cluster: IgniteCluster) -> None:
    """A suspended node does not reply; calls continue once the other has dropped it."""
    with oc.open_channel("orders", cluster.url, timeout=30) as channel:
        channel.set("key", 1)
        cluster.nodes[0].pause()
        try:
            assert channel.get("key") == 1
            channel.set("key", 2)
            with channel.lock("nightly", ttl=30):
                assert channel.get("key") == 2
        finally:
            cluster.nodes[0].resume()


@pytest.mark.torture
@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_sections_exclude_each_other_while_nodes_die() -> None:
    """Every few seconds another node is killed and started again."""
    plan = Plan(sections=500, faults=("node",), ttl=1, pause=1)
    assert prove_exclusion("ignite-cluster", plan).done["node"] >= 2
