"""Stores of other libraries, set to the durability of ours where that can be set.

Keys are strings, since none of these libraries accepts a document as a key. A value is a document,
encoded as JSON where the library leaves the choice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from benchmarks.measure import Workspace

Key = dict[str, Any]
Value = dict[str, Any]
NOT_DURABLE = "not durable"
"""Part of the name of a store that can lose writes in a crash: it cannot be made to flush them to
the disk, flushes only a part of them, or overwrites flushed data in place."""


def text(key: Key) -> str:
    """Return the key as a string."""
    return f"id-{key['id']}"


class Peer:
    """A store of another library; operations that it lacks are not measured.

    Attributes:
        name: The library.
        lacks: Operations that it does not have.
        asynchronous: Whether its operations are coroutines.
    """

    name: ClassVar[str]
    lacks: ClassVar[frozenset[str]] = frozenset()
    asynchronous: ClassVar[bool] = False

    def close(self) -> Any:
        """Nothing to close."""


class Cachelib(Peer):
    """Pickles values; keeps no order of change, and checks nothing."""

    lacks = frozenset({"get_all"})
    _cache: Any

    def get(self, key: Key) -> Any:
        """Read an entry."""
        return self._cache.get(text(key))

    def set(self, key: Key, value: Value) -> None:
        """Write an entry."""
        self._cache.set(text(key), value, timeout=0)

    def unset(self, key: Key) -> None:
        """Remove an entry."""
        self._cache.delete(text(key))

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """Write several, one after the other."""
        self._cache.set_many({text(key): value for key, value in items}, timeout=0)


class CachelibSimple(Cachelib):
    """In memory."""

    name = "cachelib (SimpleCache)"

    def __init__(self, workspace: Workspace, name: str) -> None:  # noqa: ARG002  as the others
        from cachelib import SimpleCache

        self._cache = SimpleCache(threshold=1_000_000)


class CachelibFile(Cachelib):
    """A file for each entry; not flushed to the disk."""

    name = f"cachelib (FileSystemCache), {NOT_DURABLE}"

    def __init__(self, workspace: Workspace, name: str) -> None:
        from cachelib import FileSystemCache

        self._cache = FileSystemCache(
            str(workspace.folder / f"cachelib-{name}"), threshold=1_000_000
        )


class CachelibRedis(Cachelib):
    """A key for each entry."""

    name = "cachelib (RedisCache)"

    def __init__(self, workspace: Workspace, name: str) -> None:
        import redis
        from cachelib import RedisCache

        self._client: Any = redis.Redis.from_url(workspace.server("redis"))
        self._cache = RedisCache(host=self._client, key_prefix=f"cachelib-{name}-")

    def close(self) -> None:
        """Close the client."""
        self._client.close()


class CachelibMongo(Cachelib):
    """A row for each entry."""

    name = "cachelib (MongoDbCache)"

    def __init__(self, workspace: Workspace, name: str) -> None:
        from cachelib import MongoDbCache
        from pymongo import MongoClient

        self._client: Any = MongoClient(workspace.server("mongo"), w="majority")
        self._cache = MongoDbCache(client=self._client, collection=f"cachelib-{name}")

    def close(self) -> None:
        """Close the client."""
        self._client.close()


class Tinydb(Peer):
    """One JSON file; documents are found by a query.

    It is flushed to the disk, but overwritten in place, without a lock: a process killed in the
    middle of a write leaves an unreadable file. It cannot replace several entries at once.
    """

    name = f"TinyDB, {NOT_DURABLE}"
    lacks = frozenset({"set_all"})

    def __init__(self, workspace: Workspace, name: str) -> None:
        from tinydb import TinyDB, where

        self._database = TinyDB(workspace.folder / f"tinydb-{name}.json")
        self._where = where("key")

    def get(self, key: Key) -> Any:
        """Search."""
        return self._database.get(self._where == text(key))

    def set(self, key: Key, value: Value) -> None:
        """Search, and write the file."""
        self._database.upsert({"key": text(key), **value}, self._where == text(key))

    def unset(self, key: Key) -> None:
        """Search, and write the file."""
        self._database.remove(self._where == text(key))

    def get_all(self) -> Any:
        """Read the file."""
        return self._database.all()

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """Add rows."""
        self._database.insert_multiple({"key": text(key), **value} for key, value in items)

    def close(self) -> None:
        """Close the file."""
        self._database.close()


class Diskcache(Peer):
    """SQLite, with values as JSON, flushed at commit as ours are; it keeps no order of change.

    A write touches two pages of the database and not four: no entry moves.
    """

    name = "diskcache"

    def __init__(self, workspace: Workspace, name: str) -> None:
        import diskcache

        self._cache: Any = diskcache.Cache(
            str(workspace.folder / f"diskcache-{name}"),
            sqlite_synchronous=2,
            eviction_policy="none",
            size_limit=2**40,
        )

    def get(self, key: Key) -> Any:
        """Read an entry."""
        return json.loads(self._cache[text(key)])

    def set(self, key: Key, value: Value) -> None:
        """Write an entry."""
        self._cache[text(key)] = json.dumps(value)

    def unset(self, key: Key) -> None:
        """Remove an entry."""
        del self._cache[text(key)]

    def get_all(self) -> Any:
        """Read one after the other: there is no other way."""
        return [json.loads(self._cache[key]) for key in self._cache]

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """Write in one transaction."""
        with self._cache.transact():
            for key, value in items:
                self._cache[text(key)] = json.dumps(value)

    def close(self) -> None:
        """Close the database."""
        self._cache.close()


class Sqlitedict(Peer):
    """SQLite in a thread of its own, with values as JSON; it flushes nothing to the disk."""

    name = f"sqlitedict, {NOT_DURABLE}"

    def __init__(self, workspace: Workspace, name: str) -> None:
        from sqlitedict import SqliteDict

        self._dict: Any = SqliteDict(
            str(workspace.folder / f"sqlitedict-{name}.db"),
            encode=json.dumps,
            decode=json.loads,
            journal_mode="WAL",
        )

    def get(self, key: Key) -> Any:
        """Read an entry."""
        return self._dict[text(key)]

    def set(self, key: Key, value: Value) -> None:
        """Write an entry and commits."""
        self._dict[text(key)] = value
        self._dict.commit()

    def unset(self, key: Key) -> None:
        """Remove an entry and commits."""
        del self._dict[text(key)]
        self._dict.commit()

    def get_all(self) -> Any:
        """Read all."""
        return list(self._dict.values())

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """Write several and commits."""
        self._dict.update((text(key), value) for key, value in items)
        self._dict.commit()

    def close(self) -> None:
        """Close the database."""
        self._dict.close()


class KeyValue(Peer):
    """Asynchronous; values are documents with an envelope."""

    lacks = frozenset({"get_all"})
    asynchronous = True
    _store: Any

    async def get(self, key: Key) -> Any:
        """Read an entry."""
        return await self._store.get(text(key), collection="bench")

    async def set(self, key: Key, value: Value) -> None:
        """Write an entry."""
        await self._store.put(text(key), value, collection="bench")

    async def unset(self, key: Key) -> None:
        """Remove an entry."""
        await self._store.delete(text(key), collection="bench")

    async def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """Write several."""
        pairs = [(text(key), value) for key, value in items]
        keys, values = [key for key, _ in pairs], [value for _, value in pairs]
        await self._store.put_many(keys, values, collection="bench")

    async def close(self) -> None:
        """Close the store."""
        if hasattr(self._store, "close"):
            await self._store.close()


class KeyValueMemory(KeyValue):
    """In memory."""

    name = "py-key-value-aio (memory)"

    def __init__(self, workspace: Workspace, name: str) -> None:  # noqa: ARG002  as the others
        from key_value.aio.stores.memory import MemoryStore

        self._store = MemoryStore()


class KeyValueFiles(KeyValue):
    """A file for each entry. It is flushed to the disk, its name is not, nor is a removal."""

    name = f"py-key-value-aio (filetree), {NOT_DURABLE}"

    def __init__(self, workspace: Workspace, name: str) -> None:
        from key_value.aio.stores.filetree import FileTreeStore

        folder = workspace.folder / f"filetree-{name}"
        folder.mkdir()
        self._store = FileTreeStore(data_directory=folder)


class KeyValueDisk(KeyValue):
    """Diskcache, not flushed at commit."""

    name = f"py-key-value-aio (disk), {NOT_DURABLE}"

    def __init__(self, workspace: Workspace, name: str) -> None:
        from key_value.aio.stores.disk import DiskStore

        self._store = DiskStore(directory=workspace.folder / f"kvdisk-{name}")


class KeyValueRedis(KeyValue):
    """A key for each entry."""

    name = "py-key-value-aio (redis)"

    def __init__(self, workspace: Workspace, name: str) -> None:  # noqa: ARG002  as the others
        from key_value.aio.stores.redis import RedisStore

        self._store = RedisStore(url=workspace.server("redis"))


class KeyValueMongo(KeyValue):
    """A row for each entry."""

    name = "py-key-value-aio (mongodb)"

    def __init__(self, workspace: Workspace, name: str) -> None:
        from key_value.aio.stores.mongodb import MongoDBStore

        self._store = MongoDBStore(url=workspace.server("mongo"), db_name=f"kv-{name}")


STORES: dict[str, tuple[type[Peer], ...]] = {
    "simple": (CachelibSimple, KeyValueMemory),
    "file": (Tinydb, CachelibFile, KeyValueFiles),
    "db": (Diskcache, Sqlitedict, KeyValueDisk),
    "redis": (CachelibRedis, KeyValueRedis),
    "mongo": (CachelibMongo, KeyValueMongo),
    "postgres": (),
    "ignite": (),
}
