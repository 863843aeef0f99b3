"""The life of a server of each kind: its start, a crash, a restart, and its end."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest

from ojobchannels.testing import servers
from ojobchannels.testing.servers import MongoServer, PostgresServer, RedisServer, mongo_wire
from ojobchannels.testing.servers.ports import HOST
from ojobchannels.testing.servers.postgres import accepts
from ojobchannels.testing.servers.process import Server
from tests.testing.servers.processes import ended, listeners, user_of, watcher_of

LOGIN = "root:p%2Fw@"


class Kind(NamedTuple):
    """How a server is made, and what is true after each of its starts, which are numbered."""

    make: Callable[[], Server]
    check: Callable[[Any, int], None]


def has_all_writes(server: RedisServer, start: int) -> None:
    """All writes that were acknowledged before a crash are there."""
    assert server.command("INCR", "starts") == start


def requires_a_login(server: MongoServer, _: int) -> None:
    """The URL has it."""
    query = f"?replicaSet={server.replica_set}" if server.replica_set else ""
    assert server.url == f"mongodb://{LOGIN}127.0.0.1:{server.port}/{query}"
    assert not mongo_wire.run_command(server.address, {"listDatabases": 1}).is_ok


def has_a_primary(server: MongoServer, start: int) -> None:
    """And requires a login."""
    requires_a_login(server, start)
    assert server.url_at((HOST, 1)) == f"mongodb://{LOGIN}127.0.0.1:1/?directConnection=true"
    assert mongo_wire.run_command(server.address, {"hello": 1}).is_true("isWritablePrimary")


def is_not_run_by_root(server: PostgresServer, _: int) -> None:
    """It would refuse to start."""
    assert server.url == f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
    assert user_of(server.pid) != 0
    assert accepts(server.address)


def mongo(replica_set: bool) -> Server:
    """Return a server with a user, which is another way to start it."""
    return MongoServer(replica_set=replica_set, user=("root", "p/w"))


KINDS = {
    **{
        flavour: Kind(partial(RedisServer, flavour), has_all_writes)
        for flavour in servers.installed(servers.REDIS_FLAVOURS)
    },
    "mongo": Kind(partial(mongo, False), requires_a_login),
    "mongo-set": Kind(partial(mongo, True), has_a_primary),
    **{
        flavour: Kind(partial(PostgresServer, flavour), is_not_run_by_root)
        for flavour in servers.installed(servers.POSTGRES_FLAVOURS)
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_is_killed_restarted_and_stopped(kind: str) -> None:
    """It is ready when `start` returns, with the same port and data, and leaves nothing at last.

    It listens on the loopback address only. While it is down, no other program can get its port.
    """
    with servers.or_skip():
        server = KINDS[kind].make()
    with server:
        before = server.port, server.folder
        first = server.pid
        assert_serves(server)
        KINDS[kind].check(server, 1)
        server.kill()
        assert_down(server)
        server.start()
        second = server.pid
        assert_serves(server)
        KINDS[kind].check(server, 2)
        server.restart()
        assert_serves(server)
        KINDS[kind].check(server, 3)
        assert (server.port, server.folder) == before
        assert len({first, second, server.pid}) == 3
        assert_leaves_nothing(server)


def assert_serves(server: Server) -> None:
    """Assert that the server is ready, for clients on this host."""
    assert server.is_ready()
    assert listeners(server.port) == {"0100007F"}


def assert_down(server: Server) -> None:
    """Assert that nothing listens at the server's address, and that it is reserved."""
    with pytest.raises(ConnectionRefusedError), socket.create_connection(server.address):
        pass
    taken = pytest.raises(OSError, check=lambda error: error.errno == errno.EADDRINUSE)
    with taken, socket.socket() as other:
        other.bind(server.address)


def assert_leaves_nothing(server: Server) -> None:
    """Stop the server while it is suspended: process, watcher, folder and port are gone."""
    port, folder = server.port, server.folder
    processes = [os.pidfd_open(pid) for pid in (server.pid, watcher_of(server.pid))]
    server.pause()
    server.stop()
    assert [ended(each) for each in processes] == [True, True]
    assert not folder.exists()
    assert listeners(port) == set()
    server.stop()
    with pytest.raises(RuntimeError, match="start it first"):
        _ = server.port
