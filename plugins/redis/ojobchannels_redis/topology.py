"""Where to ask: one server, the primary that Sentinels name, or the nodes of a Redis Cluster."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from redis.exceptions import AskError, ConnectionError, MovedError, ReadOnlyError, RedisError

from ojobchannels_redis.connections import Pool, Wire, connect, open_connection
from ojobchannels_redis.keys import slot
from ojobchannels_redis.options import Address, Settings


class Places(ABC):
    """Which connections lead to the server that has a key."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def pool(self, key: str, limit: float) -> Pool:
        """Returns the connections to the server that has the key.

        Raises:
            RedisError: Nobody could tell within about `limit` seconds.
        """

    @abstractmethod
    def pools(self, limit: float) -> list[Pool]:
        """Returns the connections to each of the servers."""

    @abstractmethod
    def open_subscriber(self, limit: float) -> Any:
        """Returns a connection of redis-py's on which any message arrives."""

    @abstractmethod
    def known(self) -> Iterable[Pool]:
        """Returns every pool there is."""

    def follow(self, error: RedisError) -> Pool | None:
        """Takes note that a server sent us elsewhere; answers where to ask this once, if told."""
        return None

    def doubt(self) -> None:
        """Takes note that a connection failed."""
        return

    def forget(self) -> None:
        """Closes, in a forked child, its copies of the parent's sockets."""
        for pool in self.known():
            pool.forget()


class OnePlace(Places):
    """A server whose address does not change."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._pool = Pool(lambda limit: connect(settings.addresses[0], settings, limit))

    def pool(self, key: str, limit: float) -> Pool:
        return self._pool

    def pools(self, limit: float) -> list[Pool]:
        return [self._pool]

    def open_subscriber(self, limit: float) -> Any:
        return open_connection(self.settings.addresses[0], self.settings, limit)

    def known(self) -> Iterable[Pool]:
        return (self._pool,)


class Primary(Places):
    """The primary server of a service that Sentinels watch: asked for at every new connection."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._sentinels = list(settings.addresses)
        self._pool = Pool(lambda limit: Wire(self._open(limit), limit))

    def pool(self, key: str, limit: float) -> Pool:
        return self._pool

    def pools(self, limit: float) -> list[Pool]:
        return [self._pool]

    def open_subscriber(self, limit: float) -> Any:
        return self._open(limit)

    def known(self) -> Iterable[Pool]:
        return (self._pool,)

    def _open(self, limit: float) -> Any:
        limit /= len(self._sentinels) + 1
        connection = open_connection(self._find(limit), self.settings, limit)
        try:
            connection.send_command("ROLE")
            role = connection.read_response()[0]
        except BaseException:
            connection.disconnect()
            raise
        if role != b"master":
            connection.disconnect()
            raise ReadOnlyError(f"the Sentinels still name a {role.decode()} as the primary")
        return connection

    def _find(self, limit: float) -> Address:
        troubles = []
        for sentinel in list(self._sentinels):
            try:
                told = _ask_once(
                    sentinel,
                    self.settings,
                    limit,
                    ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.settings.service),
                    sentinel=True,
                )
            except RedisError as error:
                troubles.append(f"{sentinel}: {error}")
                continue
            if told:
                self._sentinels.sort(key=lambda one: one != sentinel)  # who knew is asked first
                return Address(told[0].decode(), int(told[1]))
            troubles.append(f"{sentinel}: it knows no service {self.settings.service!r}")
        raise ConnectionError("no Sentinel names a primary: " + "; ".join(troubles))


class Cluster(Places):
    """The nodes of a Redis Cluster, and which hash slots each has."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._mutex = threading.Lock()
        self._pools: dict[Address, Pool] = {}
        self._slots: list[tuple[int, int, Address]] = []
        self._teller: Address | None = None
        self._moved: dict[int, Address] = {}

    def pool(self, key: str, limit: float) -> Pool:
        wanted = slot(key)
        if not self._slots:
            self._map(limit)
        address = self._moved.get(wanted)
        if address is None:
            for first, last, node in self._slots:
                if first <= wanted <= last:
                    address = node
                    break
            else:
                self._slots = []
                raise ConnectionError(f"no node of the cluster has the hash slot {wanted}")
        return self._pool_of(address)

    def pools(self, limit: float) -> list[Pool]:
        self._map(limit)
        return [self._pool_of(node) for node in {node for _, _, node in self._slots}]

    def open_subscriber(self, limit: float) -> Any:
        if not self._slots:
            self._map(limit)
        nodes = list({node for _, _, node in self._slots})
        return open_connection(random.choice(nodes), self.settings, limit)  # noqa: S311

    def known(self) -> Iterable[Pool]:
        return list(self._pools.values())

    def follow(self, error: RedisError) -> Pool | None:
        if isinstance(error, AskError):  # MovedError is one too
            if isinstance(error, MovedError):
                if error.host:
                    self._moved[error.slot_id] = Address(error.host, error.port)
                else:
                    self.doubt()
                return None
            return self._pool_of(Address(error.host, error.port))
        return None

    def doubt(self) -> None:
        self._slots = []

    def forget(self) -> None:
        self._mutex = threading.Lock()
        super().forget()

    def _map(self, limit: float) -> None:
        nodes = list(dict.fromkeys((*self.settings.addresses, *self._pools)))
        nodes.sort(key=lambda one: one != self._teller)  # who knew is asked first
        troubles = []
        for node in nodes:
            try:
                rows = _ask_once(node, self.settings, limit / len(nodes), ("CLUSTER", "SLOTS"))
            except RedisError as error:
                troubles.append(f"{node}: {error}")
                continue
            self._slots = [
                (first, last, Address(host.decode() or node.host, port))
                for first, last, (host, port, *_), *_ in rows
            ]
            self._moved = {}
            if self._slots:
                self._teller = node
                return
            troubles.append(f"{node}: it knows no node that has a hash slot")
        raise ConnectionError("no node tells of the cluster: " + "; ".join(troubles))

    def _pool_of(self, address: Address) -> Pool:
        with self._mutex:
            found = self._pools.get(address)
            if found is None:
                found = self._pools[address] = Pool(_connector(address, self.settings))
            return found


def places_of(settings: Settings) -> Places:
    """Returns the kind of places that the settings mean."""
    if settings.cluster:
        return Cluster(settings)
    return Primary(settings) if settings.service else OnePlace(settings)


def _connector(address: Address, settings: Settings) -> Callable[[float], Wire]:
    return lambda limit: connect(address, settings, limit)


def _ask_once(
    address: Address,
    settings: Settings,
    limit: float,
    command: tuple[Any, ...],
    sentinel: bool = False,
) -> Any:
    connection = open_connection(address, settings, limit, sentinel)
    try:
        connection.send_command(*command)
        return connection.read_response()
    finally:
        connection.disconnect()
