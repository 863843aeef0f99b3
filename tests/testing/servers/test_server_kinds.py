"""Redis and MongoDB servers: their options, users, TLS, Sentinels and clusters."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path

import pytest

from ojobchannels.testing import servers
from ojobchannels.testing.servers import (
    MongoServer,
    RedisCluster,
    RedisSentinel,
    RedisServer,
    mongo_wire,
    resp,
)
from ojobchannels.testing.servers.ports import HOST
from ojobchannels.testing.servers.programs import find


@pytest.fixture(params=servers.installed(servers.REDIS_FLAVOURS))
def flavour(request: pytest.FixtureRequest) -> str:
    """Each installed flavour of Redis in turn."""
    with servers.or_skip():
        return find(servers.REDIS_FLAVOURS, request.param)[0].name


def _set(node: RedisServer, key: str) -> str:
    try:
        return str(node.command("SET", key, "value"))
    except resp.ErrorReply as refusal:
        return str(refusal).partition(" ")[0]


def test_redis_has_directives_passwords_and_users(flavour: str) -> None:
    """The URLs have the credentials."""
    with RedisServer(
        flavour,
        options={"maxmemory-policy": "allkeys-lru"},
        password="p/w",  # noqa: S106  of this test
        users={"job": ("s:t", "~* &* +@all -flushall")},
    ) as server:
        assert server.command("CONFIG", "GET", "maxmemory-policy") == [
            "maxmemory-policy",
            "allkeys-lru",
        ]
        assert server.url == f"redis://:p%2Fw@127.0.0.1:{server.port}/0"
        assert server.url_at((HOST, 1), "job") == "redis://job:s%3At@127.0.0.1:1/0"
        with pytest.raises(resp.ErrorReply, match=r"^NOAUTH "):
            resp.run_commands(server.address, ("GET", "key"))
        with pytest.raises(resp.ErrorReply, match=r"^NOPERM "):
            resp.run_commands(server.address, ("AUTH", "job", "s:t"), ("FLUSHALL",))


def test_redis_listens_on_a_unix_socket(redis: RedisServer) -> None:
    """At the path `socket`."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(redis.socket)
        client.sendall(b"PING\r\n")
        assert client.recv(64) == b"+PONG\r\n"


def test_a_sentinel_promotes_the_replica(flavour: str) -> None:
    """It has the data of the dead master."""
    with RedisSentinel(flavour) as group:
        first, second = group.servers
        assert group.master is first
        first.command("SET", "key", "value")
        second.wait_until(lambda: second.command("GET", "key") == "value", "lags behind")
        first.kill()
        group.wait_for_master(second)
        assert second.command("GET", "key") == "value"
        assert second.command("SET", "key", "newer") == "OK"


def test_a_cluster_serves_all_slots_from_three_masters(flavour: str) -> None:
    """Each node redirects requests for the slots of others."""
    with RedisCluster(flavour) as cluster:
        assert cluster.url == cluster.nodes[0].url
        replies = Counter(_set(node, key) for node in cluster.nodes for key in ("a", "b", "c"))
        assert replies == {"OK": 3, "MOVED": 6}


def test_mongo_has_further_arguments_and_requires_tls(tmp_path: Path) -> None:
    """With a certificate of the client; a plain connection is closed.

    The arguments may be such as test commands, which inject failures.
    """
    options = ("--setParameter", "enableTestCommands=1")
    with servers.or_skip():
        certificates = servers.Certificates.make(tmp_path)
        server = MongoServer(certificates=certificates, options=options)
    with server:
        assert server.url.endswith("?tls=true")
        context = certificates.client_context()
        with pytest.raises(ConnectionError):
            mongo_wire.run_command(server.address, {"hello": 1})
        failures: mongo_wire.Part = {"failCommands": ["ping"], "errorCode": 91}
        fail = {"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": failures}
        assert mongo_wire.run_command(server.address, fail, context).is_ok
        assert not mongo_wire.run_command(server.address, {"ping": 1}, context).is_ok
