"""The names of our keys, and the node to connect to for each.

That is one server, the primary that Sentinels name, or one of the nodes of a cluster.
"""

import random
import threading
from abc import ABC, abstractmethod
from binascii import crc_hqx
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Any, Final
from urllib.parse import unquote

from redis.exceptions import (
    AskError,
    ConnectionError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from ojobchannels.remote.options import Address
from ojobchannels_redis.connections import Connection, Pool, open_connection
from ojobchannels_redis.errors import is_refused_for_now
from ojobchannels_redis.options import Settings

_SLOTS: Final = 16384
_REMEMBERED: Final = 256
_IN_CHANNEL: Final = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D", ":": "%3A"})
_IN_LOCK: Final = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})
_IN_PATTERN: Final = str.maketrans({char: f"\\{char}" for char in "\\*?[]^-"})


class Keys:
    """The keys of one channel.

    All documents of a channel are in one hash slot, each lock is in a slot of its own: the text
    between the first pair of braces decides. Names are escaped so that different names never make
    the same key.

    Attributes:
        lock: Returns the key of a lock with some name; it remembers those of late.
        documents: The keys of the documents, in the order in which the scripts take them: values,
            order of change, keys as written, marks of fences, counter of changes.
        changes: The Pub/Sub channel for messages about changes; databases of a server share it.
        marks: The key of the marks of fences.
        swept: The key that exists for a day after marks were swept.
        indexes: The key of what is known of the indexes.
        all_locks: The pattern of the keys of the locks of all channels with the prefix.
    """

    def __init__(self, prefix: str, channel: str) -> None:
        escaped = channel.translate(_IN_CHANNEL)
        stem = f"{prefix}:{{{escaped}}}"
        self.documents = tuple(f"{stem}:{part}" for part in "values order keys marks count".split())
        self.values = self.documents[0]
        self._lock_stem = f"{prefix}:{{{escaped}:"
        self.lock = lru_cache(_REMEMBERED)(partial(_lock_key, self._lock_stem))
        self._wake_stem = f"{prefix}:wake:"
        self.marks = self.documents[3]
        self.changes = self.documents[4]
        self.swept = f"{stem}:swept"
        self.indexes = f"{stem}:indexes-1"
        self._index_stem = f"{stem}:index-1"
        self.all_locks = f"{prefix.translate(_IN_PATTERN)}:{{*}}:lock"
        self.lock_pattern = f"{self._lock_stem.translate(_IN_PATTERN)}*}}:lock"

    def index(self, kind: str, field: str) -> str:
        """Return the key of the index of a kind of values in a field."""
        return f"{self._index_stem}:{kind}:{field.translate(_IN_CHANNEL)}"

    def lock_name(self, key: str) -> str:
        """Return the name of the lock that has that key."""
        return unquote(key[len(self._lock_stem) : -len("}:lock")])

    def queue(self, lock_key: str) -> str:
        """Return the key of the queue of waiters for a lock."""
        return f"{lock_key.removesuffix('lock')}queue"

    def wake_channel(self, subscriber: str) -> str:
        """Return the Pub/Sub channel on which the waiters of a process are woken."""
        return self._wake_stem + subscriber


def _lock_key(stem: str, name: str) -> str:
    if not ("%" in name or "{" in name or "}" in name):  # as most: to translate takes long
        return f"{stem}{name}}}:lock"
    return f"{stem}{name.translate(_IN_LOCK)}}}:lock"


def slot(key: str) -> int:
    """Return the hash slot of a key."""
    tag = key[key.index("{") + 1 : key.index("}")]
    return crc_hqx(tag.encode(), 0) % _SLOTS


class Topology(ABC):
    """Which connections lead to the node that has a key."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def pool(self, key: str, limit: float) -> Pool:
        """Return the connections to the node that has the key.

        Raises:
            RedisError: The node could not be determined within about `limit` seconds.
        """

    @abstractmethod
    def pools(self, limit: float) -> list[Pool]:
        """Return the connections to each node, determined within about `limit` seconds."""

    @abstractmethod
    def open_subscriber(self, limit: float) -> Any:
        """Return a connection of redis-py on which every published message arrives."""

    @abstractmethod
    def known(self) -> Iterable[Pool]:
        """Return every pool that exists."""

    def follow(self, error: RedisError) -> Pool | None:
        """Note a redirection; return the connections to use for this request only, if any."""
        return None

    def invalidate(self) -> None:
        """Note that a connection failed."""
        return

    def forget(self) -> None:
        """Close, in a forked child, its copies of the parent's sockets."""
        for pool in self.known():
            pool.forget()


class _OnePool(Topology):
    """All keys are on one node at a time."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._pool = Pool(lambda limit: Connection(self.open_subscriber(limit)))

    def pool(self, key: str, limit: float) -> Pool:
        return self._pool

    def pools(self, limit: float) -> list[Pool]:
        return [self._pool]

    def known(self) -> Iterable[Pool]:
        return (self._pool,)


class Standalone(_OnePool):
    """A server whose address does not change."""

    def open_subscriber(self, limit: float) -> Any:
        return open_connection(self.settings.addresses[0], self.settings, limit)


class Sentinel(_OnePool):
    """The primary of a service that Sentinels watch: they are asked at every new connection."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._sentinels = list(settings.addresses)

    def open_subscriber(self, limit: float) -> Any:
        limit /= len(self._sentinels) + 1
        connection = _open_member(self._find(limit), self.settings, limit)
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
        errors = []
        for sentinel in list(self._sentinels):
            try:
                reply = _request(
                    sentinel,
                    self.settings,
                    limit,
                    ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.settings.service),
                    sentinel=True,
                )
            except RedisError as error:
                errors.append(f"{sentinel}: {error}")
                continue
            if reply:
                self._sentinels.sort(key=lambda other: other != sentinel)  # first next time
                return Address(reply[0].decode(), int(reply[1]))
            errors.append(f"{sentinel}: unknown service {self.settings.service!r}")
        raise ConnectionError("no Sentinel names a primary: " + "; ".join(errors))


class Cluster(Topology):
    """The nodes of a Redis Cluster, and the hash slots of each."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._mutex = threading.Lock()
        self._pools: dict[Address, Pool] = {}
        self._slots: list[tuple[int, int, Address]] = []
        self._last_source: Address | None = None
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
        if not self._slots:
            self._map(limit)
        return [self._pool_of(node) for node in {node for _, _, node in self._slots}]

    def open_subscriber(self, limit: float) -> Any:
        if not self._slots:
            self._map(limit)
        nodes = list({node for _, _, node in self._slots})
        return open_connection(random.choice(nodes), self.settings, limit)  # noqa: S311  spreads clients, keeps no secret

    def known(self) -> Iterable[Pool]:
        return list(self._pools.values())

    def follow(self, error: RedisError) -> Pool | None:
        if isinstance(error, AskError):  # MovedError derives from it
            if isinstance(error, MovedError):
                if error.host:
                    self._moved[error.slot_id] = Address(error.host, error.port)
                else:
                    self.invalidate()
                return None
            return self._pool_of(Address(error.host, error.port))
        return None

    def invalidate(self) -> None:
        self._slots = []

    def forget(self) -> None:
        self._mutex = threading.Lock()
        super().forget()

    def _map(self, limit: float) -> None:
        nodes = list(dict.fromkeys((*self.settings.addresses, *self._pools)))
        nodes.sort(key=lambda other: other != self._last_source)
        errors = []
        kind: type[RedisError] = ResponseError  # all refuse: then another attempt is of no use
        for node in nodes:
            try:
                rows = _request(node, self.settings, limit / len(nodes), ("CLUSTER", "SLOTS"))
            except RedisError as error:
                errors.append(f"{node}: {error}")
                if not isinstance(error, ResponseError) or is_refused_for_now(error):
                    kind = ConnectionError
                continue
            self._slots = [
                (first, last, Address(host.decode() or node.host, port))
                for first, last, (host, port, *_), *_ in rows
            ]
            self._moved = {}
            if self._slots:
                self._last_source = node
                return
            errors.append(f"{node}: it reports no node that has a hash slot")
            kind = ConnectionError
        raise kind("no node describes the cluster: " + "; ".join(errors))

    def _pool_of(self, address: Address) -> Pool:
        with self._mutex:
            pool = self._pools.get(address)
            if pool is None:
                pool = self._pools[address] = Pool(partial(self._open, address))
            return pool

    def _open(self, address: Address, limit: float) -> Connection:
        try:
            return Connection(_open_member(address, self.settings, limit))
        except MasterDownError:
            self.invalidate()
            raise


def topology_of(settings: Settings) -> Topology:
    """Return the topology that the settings describe."""
    if settings.cluster:
        return Cluster(settings)
    return Sentinel(settings) if settings.service else Standalone(settings)


def _open_member(address: Address, settings: Settings, limit: float) -> Any:
    """Open a connection to a server that a Sentinel or another node named.

    Raises:
        MasterDownError: Nothing listens at the address: soon they name its successor.
        RedisError: Another reason.
    """
    try:
        return open_connection(address, settings, limit)
    except ConnectionError as error:
        if isinstance(error.__context__, ConnectionRefusedError):
            raise MasterDownError(str(error)) from error
        raise


def _request(
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
