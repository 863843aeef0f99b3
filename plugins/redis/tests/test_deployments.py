"""Servers of every kind: used whole, restarted, stopped, and left without connections."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import ojobchannels as oc
from ojobchannels.remote import pool
from ojobchannels.testing.contracts.remote.base import use_everything
from ojobchannels.testing.servers import REDIS_FLAVOURS, RedisServer, installed, or_skip


@pytest.mark.parametrize("flavour", installed(REDIS_FLAVOURS))
def test_every_operation_on_every_server(flavour: str) -> None:
    """Redis 6.2, 7 and 8, Valkey 8 and 9, as far as they are installed."""
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


def test_scripts_are_sent_again_to_a_server_that_lost_them(server: RedisServer) -> None:
    """By every operation, also by the one that extends many leases at once."""
    with oc.open_channel("orders", server.url) as channel:
        use_everything(channel)
        leases = [channel.lock(f"lock {n}", ttl=30) for n in range(5)]
        requests = [oc.hookspecs.LeaseRequest(lease.name, lease.token, 60_000) for lease in leases]
        server.command("SCRIPT", "FLUSH")
        assert channel.hook.extend_all(leases=requests, timeout=3000) == [True] * 5
        for lease in leases:
            server.command("SCRIPT", "FLUSH")
            lease.release()
        server.command("SCRIPT", "FLUSH")
        channel.set("key", 1)
        server.command("SCRIPT", "FLUSH")
        assert channel.pop() == 1


def test_calls_on_a_stopped_server_end_by_their_timeout(server: RedisServer) -> None:
    """And later ones work, when its process continues."""
    with oc.open_channel("orders", server.url, timeout=1) as channel:
        channel.set("key", 1)
        server.pause()
        with pytest.raises(oc.OutcomeUnknown):
            channel.pop()
        with pytest.raises(oc.ChannelTimeout):  # no connection, so nothing is in doubt
            channel.pop()
        began = time.monotonic()
        with pytest.raises(oc.ChannelTimeout) as late:
            channel.get("key")
        assert 0.9 < time.monotonic() - began < 15
        assert late.value.seconds == 1
        server.resume()
        assert channel.get("key", default="popped") in (1, "popped")


def test_opening_a_channel_fails_at_once_where_no_server_listens(server: RedisServer) -> None:
    """With the address, and long before the timeout."""
    server.kill()
    began = time.monotonic()
    with pytest.raises(oc.ChannelUnavailable, match=f"127.0.0.1:{server.port}"):
        oc.open_channel("orders", server.url, timeout=20)
    assert time.monotonic() - began < 15
    with pytest.raises(oc.ChannelUnavailable):
        oc.open_channel("orders", "unix:///no/such/socket")
    with pytest.raises(oc.ChannelUnavailable):
        oc.open_channel("orders", "redis://no-such-host.invalid")


@pytest.mark.parametrize("users", [{}, {"job": ("word", "~ojob:* &ojob:* +@all -info")}])
def test_a_replica_is_refused_with_the_address_of_its_primary(
    server: RedisServer, users: dict[str, tuple[str, str]]
) -> None:
    """Also one whose role the user may not see, unless it accepts writes."""
    with RedisServer(users=users) as replica:
        replica.command("REPLICAOF", "127.0.0.1", str(server.port))
        url = replica.url_at(replica.address, "job" if users else None)
        primary = "HOST:PORT" if users else f"127.0.0.1:{server.port}"
        with pytest.raises(oc.ChannelUnavailable, match=f"is a replica; .*{primary}"):
            oc.open_channel("orders", url)


def test_a_server_that_becomes_a_replica_refuses_writes_and_says_why(
    server: RedisServer,
) -> None:
    """The call tries until its timeout whether it was a failover."""
    with (
        RedisServer() as other,
        oc.open_channel("orders", server.url, timeout=1) as channel,
    ):
        server.command("REPLICAOF", "127.0.0.1", str(other.port))
        with pytest.raises(oc.ChannelUnavailable, match="it is a replica now"):
            channel.set("key", 1)


def test_connections_that_were_idle_for_a_minute_are_closed(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next call, so that a burst of calls leaves none behind."""
    with oc.open_channel("orders", server.url) as channel:
        barrier = threading.Barrier(8)

        def call() -> None:
            barrier.wait()
            channel.lock("nightly", ttl=1, wait=0.05, keep_alive=False)

        with ThreadPoolExecutor(8) as threads:
            for call_ended in [threads.submit(call) for _ in range(8)]:
                call_ended.exception()
        assert int(server.info()["connected_clients"]) > 2
        monkeypatch.setattr(pool, "_LONGEST_IDLE", 0.0)
        channel.size()
        server.wait_until(lambda: int(server.info()["connected_clients"]) <= 3, "kept them")


def test_an_idle_connection_that_the_server_closed_leaves_nothing_in_doubt(
    server: RedisServer,
) -> None:
    """The next request tests the connection first."""
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
    """Channels of one server share its connections; the last one closes them."""
    one, two = (oc.open_channel(name, server.url) for name in ("orders", "others"))
    one.set("key", 1)
    two.set("key", 1)
    with one.lock("nightly", ttl=30), pytest.raises(oc.LockBusy):
        one.lock("nightly", ttl=30, wait=0.1)
    one.close()
    assert two.get("key") == 1
    two.close()
    server.wait_until(lambda: server.info()["connected_clients"] == "1", "kept connections")
