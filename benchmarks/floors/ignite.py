"""The floor of `ignite`: the bare requests on a socket, to a cache that pyignite has made."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterable
from typing import Final

from benchmarks.floors.common import TTL, Key, Value, encode, holder, new_token

_TEXT: Final = "java.lang.String"
_CACHE: Final = "floor"
_HANDSHAKE: Final = struct.pack("<ibhhhb", 8, 1, 1, 4, 0, 2)
_TOPOLOGY_CHANGED: Final = 2
_GET: Final = 1000
_PUT: Final = 1001
_PUT_IF_ABSENT: Final = 1002
_REPLACE_IF_EQUALS: Final = 1010
_REMOVE_IF_EQUALS: Final = 1017
_QUERY: Final = 2004
_CREATE: Final = 9000
_ADD: Final = 9004


class Node:
    """A connection to a node, whose replies arrive in one part, as short ones do."""

    def __init__(self, url: str) -> None:
        from pyignite.utils import cache_id

        host, _, port = url.partition("://")[2].partition(":")
        make_cache(host, int(port))
        self._cache = struct.pack("<ib", cache_id(_CACHE), 0)
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(_HANDSHAKE)
        self._socket.recv(4096)

    def request(self, code: int, body: bytes) -> bytes:
        """Return what a reply has after its header."""
        self._socket.sendall(struct.pack("<ihq", 10 + len(body), code, 0) + body)
        reply = self._socket.recv(4096)
        # The first reply after a change of the topology, as by a new cache, has its version.
        return reply[26 if reply[12] & _TOPOLOGY_CHANGED else 14 :]

    def cached(self, code: int, *texts: str) -> bytes:
        """Request something of the cache."""
        return self.request(code, self._cache + b"".join(map(_text, texts)))

    def query(self, query: str, argument: str) -> bytes:
        """Return the rows of a query with one parameter."""
        head = self._cache + struct.pack("<bii", 101, 1, -1) + _text(query)
        return self.request(_QUERY, head + struct.pack("<i", 1) + _text(argument) + bytes(16))[16:]

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<bi", 9, len(data)) + data


def make_cache(host: str, port: int) -> None:
    """Make a cache with a table of texts, unless it exists."""
    from pyignite import Client
    from pyignite.datatypes import prop_codes as prop
    from pyignite.datatypes.cache_config import CacheAtomicityMode

    client = Client(partition_aware=False)
    fields = [{"name": "K", "type_name": _TEXT, "is_key_field": True}]
    table = {
        "table_name": "ENTRIES",
        "key_type_name": _TEXT,
        "value_type_name": _TEXT,
        "key_field_name": "K",
        "value_field_name": "V",
        "query_fields": [*fields, {"name": "V", "type_name": _TEXT}],
        "field_name_aliases": [],
        "query_indexes": [],
    }
    properties = {
        prop.PROP_NAME: _CACHE,
        prop.PROP_CACHE_ATOMICITY_MODE: CacheAtomicityMode.TRANSACTIONAL,
        prop.PROP_BACKUPS_NUMBER: 1,
        prop.PROP_QUERY_ENTITIES: [table],
    }
    with client.connect(host, port):
        client.get_or_create_cache(properties)


class IgniteLock:
    """One query with the clock of the node, and one replacement; a waiter polls every 10 ms."""

    def __init__(self, url: str, name: str) -> None:
        self._node = Node(url)
        self._name = name
        self._node.cached(_PUT, name, encode({"fence": 0, "token": "", "until": 0}))

    def lock(self) -> int:
        """Two requests."""
        text, now = self._read()
        state = json.loads(text)
        if state["token"] and now < state["until"]:
            return 0
        fence = max(state["fence"] + 1, now * 1000)
        lease = {"fence": fence, "token": new_token(), "until": now + TTL, "holder": holder()}
        return fence if self._replace(text, encode(lease)) else 0

    def wait(self) -> int:
        """Poll: the protocol of thin clients has no events."""
        while not (fence := self.lock()):
            time.sleep(0.01)
        return fence

    def unlock(self) -> bool:
        """Two requests."""
        text, now = self._read()
        return self._replace(text, encode({"fence": now * 1000, "token": "", "until": 0}))

    def _read(self) -> tuple[str, int]:
        query = f'SELECT V, CURRENT_TIMESTAMP FROM "{_CACHE}".ENTRIES WHERE K = ?'
        row = self._node.query(query, self._name)
        end = 5 + int.from_bytes(row[1:5], "little")
        return row[5:end].decode(), int.from_bytes(row[end + 1 : end + 9], "little")

    def _replace(self, old: str, new: str) -> bool:
        return self._node.cached(_REPLACE_IF_EQUALS, self._name, old, new) == b"\1"

    def close(self) -> None:
        """Close the connection."""
        self._node.close()


class IgniteStore:
    """A row for each entry, replaced as it was read; the order is a counter of the cluster."""

    def __init__(self, url: str, name: str) -> None:
        self._node = Node(url)
        self._name = name
        self._counter = _text(f"floor {name}")
        self._node.request(_CREATE, self._counter + struct.pack("<qb", 1, 0))

    def get(self, key: Key) -> str | None:
        """One get."""
        return self._get(self._key(key))

    def set(self, key: Key, value: Value) -> None:
        """A get, the next number of the counter, and a replacement."""
        own = self._key(key)
        text = self._get(own)
        (order,) = struct.unpack(
            "<q", self._node.request(_ADD, self._counter + struct.pack("<bq", 101, 1))
        )
        stored = f"{order:020d}{encode(value)}"
        if text is None:
            self._node.cached(_PUT_IF_ABSENT, own, stored)
        else:
            self._node.cached(_REPLACE_IF_EQUALS, own, text, stored)

    def unset(self, key: Key) -> None:
        """A get and a conditional removal."""
        own = self._key(key)
        if (text := self._get(own)) is not None:
            self._node.cached(_REMOVE_IF_EQUALS, own, text)

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """One after the other: a thin client has no batch that a suspended one does not block."""
        for key, value in items:
            self.set(key, value)

    def _get(self, own: str) -> str | None:
        reply = self._node.cached(_GET, own)
        return reply[5:].decode() if len(reply) > 1 else None

    def _key(self, key: Key) -> str:
        return self._name + encode(key)

    def close(self) -> None:
        """Close the connection."""
        self._node.close()
