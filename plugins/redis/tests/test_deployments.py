"""Servers as they are run: restarted, secured, full, behind Sentinels, in a cluster."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.testing.proxy import Proxy
from ojobchannels.testing.servers import (
    REDIS_FLAVOURS,
    Certificates,
    RedisCluster,
    RedisSentinel,
    RedisServer,
    installed,
    or_skip,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    Background = Callable[..., Future[Any]]


def url_as(server: RedisServer, user: str) -> str:
    """Where a user finds the server, whose password is `word`."""
    return f"redis://{user}:word@127.0.0.1:{server.port}"


def use_everything(channel: oc.Channel) -> None:
    """Calls every operation, and looks at what it answers."""
    channel.set({"id": 1}, {"n": 1})
    channel.set_all({"a": 1, "b": 2})
    assert channel.get({"id": 1.0}) == {"n": 1}
    assert channel.get_all() == [{"n": 1}, 1, 2]
    assert channel.get_keys() == [{"id": 1}, "a", "b"]
    assert [key for key, _ in channel.items(newest_first=True)] == ["b", "a", {"id": 1}]
    assert channel.get_set({"n": 1}, {"id": 1}, {"n": 2}) == {"n": 1}
    assert (channel.add("a", 5), channel.add("c", 5)) == (False, True)
    assert (channel.pop(), channel.shift(), channel.size()) == (5, 1, 2)
    assert (channel.unset("b"), channel.unset_all(["b", {"id": 1}])) == (True, 1)
    leases = [channel.lock(f"lock {n}", ttl=30) for n in range(8)]
    assert sorted(info.name for info in channel.locks()) == [lease.name for lease in leases]
    requests = [oc.hookspecs.LeaseRequest(one.name, one.token, 60_000) for one in leases]
    assert channel.hook.extend_all(leases=requests, timeout=3000) == [True] * 8
    leases[0].extend(60)
    channel.set("guarded", 1, fence=leases[0].fence)
    with pytest.raises(oc.StaleFence):
        channel.set("guarded", 2, fence=leases[0].fence - 1)
    adopted = channel.lease_from(leases[1].to_document())
    assert adopted.fence == leases[1].fence
    waiter = threading.Timer(0.1, leases[2].release)
    waiter.start()
    with channel.lock("lock 2", ttl=30, wait=10) as lease:
        assert lease.fence > leases[2].fence
    waiter.join()
    assert channel.force_unlock("lock 3") is not None
    adopted.release()
    for number in (0, 4, 5, 6, 7):
        leases[number].release()
    assert channel.locks() == []
    channel.destroy()
    assert channel.size() == 0


@pytest.mark.parametrize("flavour", installed(REDIS_FLAVOURS))
def test_every_operation_on_every_server(flavour: str) -> None:
    """Redis 6.2, 7 and 8, Valkey 8 and 9: what is installed here."""
    with or_skip(), RedisServer(flavour) as server:
        for url in (server.url, f"unix://{server.socket}?db=3"):
            with oc.open_channel("orders", url) as channel:
                use_everything(channel)


def test_databases_and_prefixes_keep_channels_of_one_name_apart(url: str) -> None:
    """Each has its own documents and locks."""
    with (
        oc.open_channel("test-apart", url.replace("/0", "/1")) as one,
        oc.open_channel("test-apart", url.replace("/0", "/2")) as two,
        oc.open_channel("test-apart", f"{url.replace('/0', '/1')}?prefix=other") as three,
    ):
        for number, channel in enumerate((one, two, three)):
            channel.destroy()
            channel.set("key", number)
            channel.lock("nightly", ttl=30)
        assert [channel.get("key") for channel in (one, two, three)] == [0, 1, 2]
        assert [len(channel.locks()) for channel in (one, two, three)] == [1, 1, 1]


def test_a_channel_outlives_a_restart_of_its_server(server: RedisServer) -> None:
    """Idle connections and scripts are gone; documents, leases and fences are as they were."""
    with oc.open_channel("orders", server.url) as channel:
        channel.set("key", 1, fence=5)
        lease = channel.lock("nightly", ttl=60)
        for end in (server.shut_down, server.kill):
            time.sleep(1.1) if end == server.kill else None  # the log is flushed each second
            end()
            server.start()
            assert channel.get("key") == 1
            assert channel.try_lock("nightly", ttl=1) is None
            lease.extend()
            with pytest.raises(oc.StaleFence):
                channel.set("key", 2, fence=4)
        lease.release()
        channel.set_all({"a": 1, "b": 2})
        assert channel.pop() == 2


def test_calls_during_a_restart_wait_for_the_server(
    server: RedisServer, in_background: Background
) -> None:
    """Within the channel's timeout nobody notices."""
    with oc.open_channel("orders", server.url, timeout=30) as channel:
        channel.set("key", 1)
        server.shut_down()
        calls: list[Callable[[], Any]] = [
            lambda: channel.get("key"),
            lambda: channel.set("other", 2),
            lambda: channel.try_lock("nightly", ttl=30),
            lambda: channel.pop(),
        ]
        waiting = [in_background(call) for call in calls]
        assert not any(one.done() for one in waiting)
        server.start()
        assert waiting[0].result(30) in (1, None)  # `pop` may have been first
        assert waiting[2].result(30) is not None


def test_a_server_that_forgot_all_scripts_is_told_them_again(server: RedisServer) -> None:
    """By every operation, also the one that extends many leases at once."""
    with oc.open_channel("orders", server.url) as channel:
        use_everything(channel)
        leases = [channel.lock(f"lock {n}", ttl=30) for n in range(5)]
        requests = [oc.hookspecs.LeaseRequest(one.name, one.token, 60_000) for one in leases]
        server.command("SCRIPT", "FLUSH")
        assert channel.hook.extend_all(leases=requests, timeout=3000) == [True] * 5
        for lease in leases:
            server.command("SCRIPT", "FLUSH")
            lease.release()
        server.command("SCRIPT", "FLUSH")
        channel.set("key", 1)
        server.command("SCRIPT", "FLUSH")
        assert channel.pop() == 1


def test_a_server_that_stands_still_is_waited_for_and_no_longer(server: RedisServer) -> None:
    """A stopped process answers nothing; each call ends, and later ones work."""
    with oc.open_channel("orders", server.url, timeout=0.5) as channel:
        channel.set("key", 1)
        server.pause()
        with pytest.raises(oc.OutcomeUnknown):
            channel.pop()
        with pytest.raises(oc.ChannelTimeout):  # not even a connection: nothing is in doubt
            channel.pop()
        began = time.monotonic()
        with pytest.raises(oc.ChannelTimeout) as late:
            channel.get("key")
        assert 0.4 < time.monotonic() - began < 5
        assert late.value.seconds == 0.5
        server.resume()
        assert channel.get("key", default="popped") in (1, "popped")


def test_nobody_listens_is_told_at_once_when_a_channel_is_opened(server: RedisServer) -> None:
    """With the address, and long before the timeout."""
    server.kill()
    began = time.monotonic()
    with pytest.raises(oc.ChannelUnavailable, match=f"127.0.0.1:{server.port}"):
        oc.open_channel("orders", server.url, timeout=20)
    assert time.monotonic() - began < 5
    with pytest.raises(oc.ChannelUnavailable):
        oc.open_channel("orders", "unix:///no/such/socket")
    with pytest.raises(oc.ChannelUnavailable):
        oc.open_channel("orders", "redis://no-such-host.invalid")


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_may_evict_locks_is_warned_of(
    caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    """Once per server, with the advice; one without a limit evicts nothing."""
    options = {"maxmemory-policy": policy, "maxmemory": "100mb"}
    with or_skip(), RedisServer(options=options) as server:
        with oc.open_channel("orders", server.url), oc.open_channel("others", server.url):
            pass
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert policy in caplog.text
        assert "noeviction" in caplog.text
        caplog.clear()
        server.command("CONFIG", "SET", "maxmemory", "0")
        with oc.open_channel("orders", server.url):
            assert caplog.records == []


def test_a_full_server_refuses_to_store_and_still_unlocks() -> None:
    """StorageFull tells what to do; what is held can be given back."""
    with or_skip(), RedisServer() as server, oc.open_channel("orders", server.url) as channel:
        lease = channel.lock("nightly", ttl=30)
        channel.set("key", 1)
        server.command("CONFIG", "SET", "maxmemory", "1")
        attempts: list[Callable[[], Any]] = [
            lambda: channel.set("other", 2),
            lambda: channel.set_all({"a": 1, "b": 2}),
            lambda: channel.try_lock("other", ttl=30),
        ]
        for attempt in attempts:
            with pytest.raises(oc.StorageFull):
                attempt()
        assert channel.get("key") == 1
        lease.release()
        assert channel.unset("key")
        server.command("CONFIG", "SET", "maxmemory", "0")
        with channel.lock("nightly", ttl=30) as later:
            assert later.fence > lease.fence
        assert channel.size() == 0


def test_an_acl_user_needs_what_the_documentation_lists(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With these rules all works; one that may do less is told what it lacks."""
    documented = (
        "~ojob:* &ojob:* +@read +@write +@scripting +@pubsub +time +ping +info +client|setinfo"
    )
    users = {
        "job": ("word", documented),
        "lodger": ("word", "~other:* +@all"),
        "deaf": ("word", "resetchannels ~ojob:* +@all"),
    }
    with or_skip(), RedisServer(users=users) as server:
        with oc.open_channel("orders", url_as(server, "job")) as channel:
            use_everything(channel)
        with oc.open_channel("orders", url_as(server, "lodger")) as channel:
            for attempt in (lambda: channel.get("key"), lambda: channel.set("key", 1)):
                with pytest.raises(oc.ChannelUnavailable, match="~PREFIX"):
                    attempt()
        assert caplog.records == []
        with oc.open_channel("orders", url_as(server, "deaf")) as channel:
            use_everything(channel)  # waiters look again instead of being woken
        assert "&PREFIX" in caplog.text


def test_a_user_who_may_not_ask_for_information_can_work(caplog: pytest.LogCaptureFixture) -> None:
    """The look at version and eviction is left out."""
    caplog.set_level(logging.WARNING)
    users = {"job": ("word", "~ojob:* &ojob:* +@all -info -config")}
    with (
        or_skip(),
        RedisServer(users=users) as server,
        oc.open_channel("orders", url_as(server, "job")) as channel,
    ):
        use_everything(channel)


def test_keys_of_another_program_are_not_taken_for_ours(server: RedisServer) -> None:
    """They are told as damage, and left as they are."""
    with oc.open_channel("orders", server.url) as channel:
        server.command("SET", "ojob:{orders}:values", "text")
        server.command("SET", "ojob:{orders:nightly}:lock", "what?")
        for attempt in (
            lambda: channel.get("key"),
            lambda: channel.set("key", 1),
            lambda: channel.try_lock("nightly", ttl=1),
            lambda: channel.lock_info("nightly"),
        ):
            with pytest.raises(oc.ChannelDamaged, match="prefix"):
                attempt()
        assert server.command("GET", "ojob:{orders}:values") == "text"
        assert server.command("GET", "ojob:{orders:nightly}:lock") == "what?"


def test_values_of_another_program_are_told_as_damage(server: RedisServer) -> None:
    """What is no JSON was not written by a channel, and is not guessed at."""
    with oc.open_channel("orders", server.url) as channel:
        channel.set("key", 1)
        server.command("HSET", "ojob:{orders}:values", '"key"', "{text")
        for attempt in (
            lambda: channel.get("key"),
            lambda: channel.get_all(),
            lambda: list(channel.items()),
            lambda: channel.get_set(1, "key", 2),
            lambda: channel.pop(),
        ):
            with pytest.raises(oc.ChannelDamaged, match="another program wrote") as failed:
                attempt()
            assert isinstance(failed.value.__cause__, ValueError)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """An authority, a server and a client."""
    with or_skip():
        return Certificates.make(tmp_path)


def test_tls_checks_the_server_and_shows_the_client(
    server: RedisServer, certificates: Certificates
) -> None:
    """With the authority and a client's certificate it works, without one of them it does not."""
    with Proxy(server.address, tls=certificates.server_context()) as proxy:
        place: dict[str, Any] = {
            "type": "redis",
            "host": "127.0.0.1",
            "port": proxy.port,
            "timeout": 2,
        }
        known = {"tls_ca": str(certificates.authority)}
        mine = {"tls_cert": str(certificates.client), "tls_key": str(certificates.client)}
        with oc.open_channel("orders", **place, tls=True, **known, **mine) as channel:
            use_everything(channel)
        query = "&".join(f"{name}={value}" for name, value in (known | mine).items())
        with oc.open_channel("orders", f"rediss://127.0.0.1:{proxy.port}?{query}") as channel:
            assert channel.size() == 0
        with oc.open_channel("orders", **place, tls=True, tls_verify=False, **mine) as channel:
            assert channel.size() == 0
        for wrong in (mine, known):
            with pytest.raises((oc.ChannelUnavailable, oc.ChannelTimeout)):
                oc.open_channel("orders", **place, tls=True, **wrong)


def test_sentinels_lead_to_the_primary_before_and_after_a_failover() -> None:
    """The channel goes on by itself, and its fences grow."""
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


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    """Three nodes."""
    with or_skip(), RedisCluster() as running:
        yield running


def test_a_cluster_serves_documents_and_locks_from_all_its_nodes(cluster: RedisCluster) -> None:
    """Whatever node is named; and a channel that does not know that it is one is told."""
    for node in cluster.nodes:
        with oc.open_channel("orders", node.url, cluster=True) as channel:
            use_everything(channel)
            with oc.open_channel("other {orders}", node.url, cluster=True) as other:
                use_everything(other)
    with pytest.raises(oc.InvalidOption, match="cluster: true"):
        oc.open_channel("orders", cluster.url)


def test_a_node_that_is_away_takes_no_lease_of_the_others_with_it() -> None:
    """Renewals of all come in one call; those of the node are to be asked for again."""
    options = {"cluster-require-full-coverage": "no", "cluster-node-timeout": "60000"}
    with (
        or_skip(),
        RedisCluster(options=options) as cluster,
        oc.open_channel("orders", cluster.url, cluster=True, timeout=2) as channel,
    ):
        leases = [channel.lock(f"lock {n}", ttl=60) for n in range(12)]
        away = {lease.name: is_on(cluster.nodes[0], lease) for lease in leases}
        assert set(away.values()) == {True, False}
        cluster.nodes[0].kill()
        requests = [oc.hookspecs.LeaseRequest(one.name, one.token, 60_000) for one in leases]
        answers = channel.hook.extend_all(leases=requests, timeout=9000)
        assert answers == [None if away[lease.name] else True for lease in leases]
        lost = [one for one in requests if away[one.name]]
        with pytest.raises(oc.ChannelUnavailable):
            channel.hook.extend_all(leases=lost, timeout=300)


def is_on(node: RedisServer, lease: oc.Lease) -> bool:
    """Tells whether a lock of the channel `orders` is on that node."""
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


class Move:
    """The hash slot of a tag on its way from its node to another."""

    def __init__(self, cluster: RedisCluster, tag: str) -> None:
        self.slot = str(cluster.nodes[0].command("CLUSTER", "KEYSLOT", tag))
        self.source = next(
            node for node in cluster.nodes if node.command("CLUSTER", "COUNTKEYSINSLOT", self.slot)
        )
        self.target = next(node for node in cluster.nodes if node is not self.source)
        self.target_id = str(self.target.command("CLUSTER", "MYID"))

    def begin(self) -> None:
        """Moves the keys, and has the source send everybody on who asks for one."""
        source_id = str(self.source.command("CLUSTER", "MYID"))
        self.target.command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", source_id)
        self.source.command("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.target_id)
        keys = self.source.command("CLUSTER", "GETKEYSINSLOT", self.slot, "100")
        assert isinstance(keys, list)
        there = ("127.0.0.1", str(self.target.port), "", "0", "5000")
        self.source.command("MIGRATE", *there, "KEYS", *map(str, keys))

    def finish(self) -> None:
        """Gives the slot to the target."""
        for node in (self.target, self.source):
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", self.target_id)


def test_a_server_that_is_no_cluster_is_not_taken_for_one(server: RedisServer) -> None:
    """The option says so, and the server does not."""
    with pytest.raises((oc.InvalidOption, oc.ChannelUnavailable), match="cluster"):
        oc.open_channel("orders", server.url, cluster=True)


def test_a_connection_that_the_server_closed_while_idle_puts_nothing_in_doubt(
    server: RedisServer,
) -> None:
    """Servers do that to save memory; what is asked next finds it out first."""
    with oc.open_channel("orders", server.url) as channel:
        channel.set("key", 1)
        server.command("CONFIG", "SET", "timeout", "1")
        server.wait_until(lambda: server.info()["connected_clients"] == "1", "closed nothing")
        assert channel.unset("no such key") is False
        server.wait_until(lambda: server.info()["connected_clients"] == "1", "closed nothing")
        assert channel.hook.unlock(name="nightly", token="a" * 32) is False
        server.wait_until(lambda: server.info()["connected_clients"] == "1", "closed nothing")
        assert channel.pop() == 1


def test_closing_the_last_channel_leaves_no_connection(server: RedisServer) -> None:
    """Those that use one server share its connections; with the last they go."""
    one, two = (oc.open_channel(name, server.url) for name in ("orders", "others"))
    one.set("key", 1)
    two.set("key", 1)
    with one.lock("nightly", ttl=30), pytest.raises(oc.LockBusy):
        one.lock("nightly", ttl=30, wait=0.1)
    one.close()
    assert two.get("key") == 1
    two.close()
    server.wait_until(lambda: server.info()["connected_clients"] == "1", "kept connections")
