"""A few nodes, of which one dies."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import ojobchannels as oc
from ojobchannels.testing.servers import IgniteCluster, IgniteServer, or_skip
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
def test_the_death_of_a_node_loses_nothing(cluster: IgniteCluster) -> None:
    """Whichever it is: documents, marks, fences and leases are on another, which clients find."""
    with oc.open_channel("orders", cluster.url, timeout=TIMEOUT) as channel:
        leases = [channel.lock(f"lock {number}", ttl=120) for number in range(20)]
        for number, lease in enumerate(leases):
            channel.set(number, {"n": number}, fence=lease.fence)
        dead = cluster.nodes[0]
        dead.kill()
        began = time.monotonic()
        assert channel.get_all() == [{"n": number} for number in range(20)]
        assert time.monotonic() - began < TIMEOUT
        for number, lease in enumerate(leases):
            assert channel.try_lock(lease.name, ttl=1) is None
            with pytest.raises(oc.StaleFence):
                channel.set(number, "late", fence=lease.fence - 1)
            lease.extend()
            lease.release()
            assert channel.lock(lease.name, ttl=30).fence > lease.fence
        dead.start()
        assert channel.size() == 20


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


def test_what_is_lost_is_not_silently_absent(cluster: IgniteCluster) -> None:
    """With a node, all copies of some rows die: calls for these fail, and say so."""
    with oc.open_channel("orders", cluster.url, timeout=TIMEOUT, backups=0) as channel:
        names = [f"lock {number}" for number in range(20)]
        for number, name in enumerate(names):
            channel.set(number, number)
            channel.lock(name, ttl=600)
        cluster.nodes[0].kill()
        with pytest.raises(oc.ChannelUnavailable, match="lost"):
            channel.get_all()
        lost = 0
        for name in names:
            try:
                assert channel.try_lock(name, ttl=1) is None
            except oc.ChannelUnavailable:
                lost += 1
        assert 0 < lost < len(names)
        began = time.monotonic()
    assert time.monotonic() - began < 2 * TIMEOUT


def test_a_time_zone_with_daylight_saving_time_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The warning says what to do; locks work, and their times are right."""
    with (
        or_skip(),
        IgniteServer(timezone="Europe/Lisbon") as server,
        oc.open_channel("orders", server.url) as channel,
    ):
        assert "-Duser.timezone=UTC" in caplog.text
        before = time.time() * 1000
        with channel.lock("nightly", ttl=30):
            info = channel.lock_info("nightly")
        assert info is not None
        assert before - 1000 < info.since < time.time() * 1000 + 1000


@pytest.mark.torture
@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_sections_exclude_each_other_while_nodes_die() -> None:
    """Every few seconds another node is killed and started again."""
    plan = Plan(sections=500, faults=("node",), ttl=1, pause=1)
    assert prove_exclusion("ignite-cluster", plan).done["node"] >= 2
