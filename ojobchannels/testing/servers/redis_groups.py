"""Several Redis or Valkey servers: a master and a replica with a Sentinel, or a small cluster."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import combinations, cycle, pairwise
from typing import Any

from ojobchannels.testing.servers import resp
from ojobchannels.testing.servers.certificates import Certificates
from ojobchannels.testing.servers.ports import HOST, ReservedPort
from ojobchannels.testing.servers.process import ServerGroup
from ojobchannels.testing.servers.redis import RedisServer, tls_directives

_BUS_OFFSET = 10_000
_SLOTS = 16_384


class RedisGroup(ServerGroup):
    """A group in which a replica takes the place of a master that failed."""

    channel_type = "redis"

    @property
    def faults(self) -> Mapping[str, Callable[[], object]]:
        """A failover."""
        return {"failover": self.fail_over}

    @abstractmethod
    def fail_over(self) -> None:
        """Kill a master, wait until its replica is promoted, and start the killed server again."""


class RedisSentinel(RedisGroup):
    """A master, its replica, and a Sentinel that does failovers; a context manager.

    Args:
        flavour: As for `RedisServer`.
        down_after: Seconds without a reply after which the master counts as down.
        options: Directives for both servers.
        certificates: All connections use TLS, with client certificates.

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
        certificates: Certificates | None = None,
    ) -> None:
        self.service = "channels"
        self.servers = tuple(
            RedisServer(flavour, options=options, certificates=certificates) for _ in range(2)
        )
        self.sentinel = _SentinelProcess(self.servers[0], self.service, down_after, certificates)
        self._certificates = certificates

    @property
    def options(self) -> dict[str, Any]:
        """Options of a channel on the service."""
        found = {"sentinels": [f"{HOST}:{self.sentinel.port}"], "service": self.service}
        return found | _client_options(self._certificates)

    @property
    def label(self) -> str:
        """A name for reports."""
        return f"{self.servers[0].label} behind a Sentinel" + ", TLS" * bool(self._certificates)

    def fail_over(self) -> None:
        """Kill the master, wait until its replica is promoted, and start the killed one again."""
        old = self.master
        (new,) = (server for server in self.servers if server is not old)
        old.kill()
        self.wait_for_master(new)
        old.start()
        self._wait_for_replica(old)

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
        self._wait_for_replica(replica)
        sentinel = starting.enter_context(self.sentinel)
        sentinel.wait_until(self._knows_the_replica, "did not find the replica")

    def _wait_for_replica(self, server: RedisServer) -> None:
        server.wait_until(
            lambda: server.info().get("master_link_status") == "up", "did not find its master"
        )

    def _knows_the_replica(self) -> bool:
        return bool(self.sentinel.command("SENTINEL", "replicas", self.service))


class _SentinelProcess(RedisServer):
    def __init__(
        self,
        master: RedisServer,
        service: str,
        down_after: float,
        certificates: Certificates | None,
    ) -> None:
        super().__init__(master.flavour.name, certificates=certificates)
        self._master = master
        self._service = service
        self._down_after = round(down_after * 1000)

    def _command(self) -> list[str]:
        return [*super()._command(), "--sentinel"]

    def _directives(self) -> list[str]:
        settings = {"port": str(self.port)} | tls_directives(self.port, self._certificates)
        return [
            *(f"{name} {value}" for name, value in settings.items()),
            f"bind {HOST}",
            f"dir {self.folder}",
            f"sentinel monitor {self._service} {HOST} {self._master.port} 1",
            f"sentinel down-after-milliseconds {self._service} {self._down_after}",
            f"sentinel failover-timeout {self._service} {3 * self._down_after + 1000}",
        ]


class RedisCluster(RedisGroup):
    """A cluster of three masters; a context manager.

    Args:
        flavour: As for `RedisServer`.
        options: Directives for every node.
        replicated: Whether each master has a replica, which is promoted when the master fails.

    Attributes:
        nodes: The servers that start as masters; the first has the lowest slots.
        replicas: Their replicas in the same order, if any.
    """

    def __init__(
        self,
        flavour: str | None = None,
        *,
        options: Mapping[str, str] | None = None,
        replicated: bool = False,
    ) -> None:
        directives = {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}
        nodes = [
            _ClusterNode(flavour, options=directives | dict(options or {}))
            for _ in range(6 if replicated else 3)
        ]
        self.nodes, self.replicas = tuple(nodes[:3]), tuple(nodes[3:])
        self.servers = (*self.nodes, *self.replicas)
        self._next = cycle(range(2))

    @property
    def options(self) -> dict[str, Any]:
        """Options of a channel on the cluster."""
        return {"url": self.nodes[-1].url, "cluster": True}

    @property
    def label(self) -> str:
        """A name for reports."""
        return f"{self.nodes[0].label}, a cluster" + " with replicas" * bool(self.replicas)

    def fail_over(self) -> None:
        """Kill the next master, wait until its replica is promoted, and start it again.

        The node of `options` stays up: a program that starts needs one.
        """
        number = next(self._next)
        pair = self.nodes[number], self.replicas[number]
        old = next(node for node in pair if node.is_master())
        (new,) = (node for node in pair if node is not old)
        new.wait_until(new.is_in_step, "did not follow its master")
        old.kill()
        new.wait_until(new.is_master, "was not promoted")
        for node in self.servers:
            if node is not old:
                node.wait_until(node.is_joined, "did not see all slots served")
        old.start()

    @property
    def url(self) -> str:
        """The URL of the first node."""
        return self.nodes[0].url

    def _start(self, starting: ExitStack) -> None:
        for node in self.servers:
            starting.enter_context(node)
        bounds = [_SLOTS * node // len(self.nodes) for node in range(len(self.nodes) + 1)]
        for epoch, (node, (start, end)) in enumerate(
            zip(self.nodes, pairwise(bounds), strict=True), 1
        ):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", str(epoch))
            node.command("CLUSTER", "ADDSLOTS", *map(str, range(start, end)))
        for node, other in combinations(self.servers, 2):
            node.command("CLUSTER", "MEET", HOST, str(other.port))
        for node in self.servers:
            node.wait_until(node.is_joined, "did not join the cluster")
        for node, replica in zip(self.nodes, self.replicas, strict=False):
            replica.wait_until(partial(replica.follows, node), "refused to become a replica")
            replica.wait_until(replica.is_in_step, "did not follow its master")


class _ClusterNode(RedisServer):
    _bus: ReservedPort | None = None

    def is_joined(self) -> bool:
        """Return whether the node sees all slots served."""
        info = str(self.command("CLUSTER", "INFO"))
        return "cluster_state:ok" in info and f"cluster_slots_assigned:{_SLOTS}" in info

    def is_master(self) -> bool:
        """Return whether it serves slots."""
        return self.info()["role"] == "master"

    def is_in_step(self) -> bool:
        """Return whether it is connected to its master, and can be promoted."""
        return self.info().get("master_link_status") == "up"

    def follows(self, master: RedisServer) -> bool:
        """Make it a replica of a master; return whether it knew the master."""
        try:
            self.command("CLUSTER", "REPLICATE", str(master.command("CLUSTER", "MYID")))
        except resp.ErrorReply:
            return False
        return True

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


def _client_options(certificates: Certificates | None) -> dict[str, Any]:
    if certificates is None:
        return {}
    own = str(certificates.client)
    return {"tls": True, "tls_ca": str(certificates.authority), "tls_cert": own, "tls_key": own}
