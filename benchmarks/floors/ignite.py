"""The floor of `ignite`: the bare requests through pyignite's own client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any, Final

from benchmarks.floors.common import TTL, Key, Value, encode, holder, new_token

_TEXT: Final = "java.lang.String"
_ADD: Final = 9004
_CREATE: Final = 9000


def connect(url: str) -> tuple[Any, Any]:
    """Return a client of the node, and a cache with a table of texts."""
    from pyignite import Client
    from pyignite.datatypes import prop_codes as prop
    from pyignite.datatypes.cache_config import CacheAtomicityMode

    client = Client(partition_aware=False)
    host, _, port = url.partition("://")[2].partition(":")
    client.connect(host, int(port))
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
    cache = client.get_or_create_cache(
        {
            prop.PROP_NAME: "floor",
            prop.PROP_CACHE_ATOMICITY_MODE: CacheAtomicityMode.TRANSACTIONAL,
            prop.PROP_BACKUPS_NUMBER: 1,
            prop.PROP_QUERY_ENTITIES: [table],
        }
    )
    return client, cache


class IgniteLock:
    """One query with the clock of the node, and one replacement; a waiter polls every 10 ms."""

    def __init__(self, url: str, name: str) -> None:
        self._client, self._cache = connect(url)
        self._name = name
        self._cache.put(name, encode({"fence": 0, "token": "", "until": 0}))

    def lock(self) -> int:
        """Two requests."""
        text, now = self._read()
        state = json.loads(text)
        if state["token"] and now < state["until"]:
            return 0
        fence = max(state["fence"] + 1, now * 1000)
        lease = {"fence": fence, "token": new_token(), "until": now + TTL, "holder": holder()}
        return fence if self._cache.replace_if_equals(self._name, text, encode(lease)) else 0

    def wait(self) -> int:
        """Poll: the protocol of thin clients has no events."""
        while not (fence := self.lock()):
            time.sleep(0.01)
        return fence

    def unlock(self) -> bool:
        """Two requests."""
        text, now = self._read()
        free = encode({"fence": now * 1000, "token": "", "until": 0})
        return bool(self._cache.replace_if_equals(self._name, text, free))

    def _read(self) -> tuple[str, int]:
        query = 'SELECT V, CURRENT_TIMESTAMP FROM "floor".ENTRIES WHERE K = ?'
        ((text, (now, _)),) = self._client.sql(query, query_args=[self._name])
        return text, round(now.timestamp() * 1000)

    def close(self) -> None:
        """Close the client."""
        self._client.close()


class IgniteStore:
    """A row for each entry, replaced as it was read; the order is a counter of the cluster."""

    def __init__(self, url: str, name: str) -> None:
        self._client, self._cache = connect(url)
        self._name = name
        self._count(_CREATE, [("value", 1), ("configured", False)])

    def get(self, key: Key) -> Any:
        """One get."""
        return self._cache.get(self._key(key))

    def set(self, key: Key, value: Value) -> None:
        """A get, the next number of the counter, and a replacement."""
        own = self._key(key)
        text = self._cache.get(own)
        order = self._count(_ADD, [("group", None), ("number", 1)])
        stored = f"{order:020d}{encode(value)}"
        if text is None:
            self._cache.put_if_absent(own, stored)
        else:
            self._cache.replace_if_equals(own, text, stored)

    def unset(self, key: Key) -> None:
        """A get and a conditional removal."""
        own = self._key(key)
        self._cache.remove_if_equals(own, self._cache.get(own))

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """One after the other: a thin client has no batch that a suspended one does not block."""
        for key, value in items:
            self.set(key, value)

    def _key(self, key: Key) -> str:
        return self._name + encode(key)

    def _count(self, code: int, arguments: list[tuple[str, Any]]) -> int:
        from pyignite.datatypes import Bool, Long, String
        from pyignite.queries import Query, query_perform

        types = {"value": Long, "configured": Bool, "group": String, "number": Long}
        fields = [("name", String), *((name, types[name]) for name, _ in arguments)]
        reply = query_perform(
            Query(code, fields),
            self._client.random_node,
            query_params={"name": f"floor {self._name}", **dict(arguments)},
            response_config=[("value", Long)] if code == _ADD else None,
        )
        return int(reply.value["value"]) if code == _ADD else 0

    def close(self) -> None:
        """Close the client."""
        self._client.close()
