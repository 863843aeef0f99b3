"""Locks of other libraries, each set up for the speed that its documentation promises.

A class opens one program's way to one lock. `wait` is the library's own way of waiting, with its
own pauses.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from benchmarks.measure import CannotRun, Place

TTL = 30
_LONG = 3600


class Peer:
    """A lock of another library that has `acquire` and `release`, as most do."""

    name: ClassVar[str]
    _lock: Any

    def lock(self) -> None:
        """Takes it, free."""
        if self._lock.acquire(blocking=False) is False:
            raise CannotRun("a free lock was refused")

    def wait(self) -> None:
        """Waits for it."""
        if self._lock.acquire(blocking=True) is False:
            raise CannotRun("it gave up waiting")

    def unlock(self) -> None:
        """Gives it back."""
        self._lock.release()

    def close(self) -> None:
        """Has nothing to close."""


# --- in one process ------------------------------------------------------------------------------


class FastenersInProcess(Peer):
    """Its lock for threads."""

    name = "fasteners (threads; a bare lock: no token, ttl or fence)"
    _locks: ClassVar[dict[str, Any]] = {}

    def __init__(self, place: Place, name: str) -> None:
        import fasteners

        made = fasteners.ReaderWriterLock()
        self._lock = self._locks.setdefault(f"{place.folder} {name}", made)

    def lock(self) -> None:
        """Takes it."""
        self._lock.acquire_write_lock()

    wait = lock

    def unlock(self) -> None:
        """Gives it back."""
        self._lock.release_write_lock()


class FilelockInProcess(Peer):
    """Its way in when this process holds the file already: no call of the system."""

    name = "filelock (held again)"

    def __init__(self, place: Place, name: str) -> None:
        import filelock

        self._lock = filelock.FileLock(place.folder / f"{name}.held")
        self._lock.acquire()

    def lock(self) -> None:
        """Counts up."""
        self._lock.acquire()

    def wait(self) -> None:
        """Cannot be waited for."""
        raise CannotRun("who holds it already does not wait")

    def close(self) -> None:
        """Gives back the file."""
        self._lock.release()


# --- in files ------------------------------------------------------------------------------------


class Filelock(Peer):
    """flock by way of a file that is opened each time."""

    name = "filelock"

    def __init__(self, place: Place, name: str) -> None:
        import filelock

        self._lock = filelock.FileLock(place.folder / f"{name}.filelock")


class Portalocker(Peer):
    """flock by way of a file that is opened each time."""

    name = "portalocker"

    def __init__(self, place: Place, name: str) -> None:
        import portalocker

        self._lock = portalocker.Lock(str(place.folder / f"{name}.portalocker"), timeout=_LONG)

    def lock(self) -> None:
        """Takes it."""
        self._lock.acquire()

    wait = lock


class Fasteners(Peer):
    """fcntl on a file that is opened each time."""

    name = "fasteners"

    def __init__(self, place: Place, name: str) -> None:
        import fasteners

        self._lock = fasteners.InterProcessLock(str(place.folder / f"{name}.fasteners"))


class ToozFile(Peer):
    """Fasteners, by way of a coordinator."""

    name = "tooz (file)"

    def __init__(self, place: Place, name: str) -> None:
        self._coordinator = _coordinator(f"file://{place.folder / 'tooz'}")
        self._lock = self._coordinator.get_lock(name.encode())

    def close(self) -> None:
        """Leaves the coordinator."""
        self._coordinator.stop()


class Mithril(Peer):
    """A lease with a fencing token; a lock can be used once, so that each pair makes one."""

    _backend: Any
    _name: str

    def lock(self) -> None:
        """Makes a lock, and takes it."""
        self._make()
        super().lock()

    def wait(self) -> None:
        """Makes a lock, and waits for it."""
        self._make()
        super().wait()

    def _make(self) -> None:
        import mithril

        self._lock = mithril.Lock(
            self._name, backend=self._backend, ttl=float(TTL), timeout=float(_LONG)
        )


class MithrilFile(Mithril):
    """In files."""

    name = "mithril-locks (file)"

    def __init__(self, place: Place, name: str) -> None:
        _quiet_mithril()
        from mithril.backends import FileBackend

        self._backend, self._name = FileBackend(place.folder / "mithril"), name


# --- in SQLite -----------------------------------------------------------------------------------


class Diskcache(Peer):
    """A key that is added to a cache; no owner, no ttl; waiting is asking again each ms."""

    name = "diskcache.Lock"

    def __init__(self, place: Place, name: str) -> None:
        import diskcache

        self._cache = diskcache.Cache(str(place.folder / "diskcache-locks"))
        self._lock = diskcache.Lock(self._cache, name)

    def lock(self) -> None:
        """Takes it."""
        self._lock.acquire()

    wait = lock

    def close(self) -> None:
        """Closes the cache."""
        self._cache.close()


class MithrilSqlite(Mithril):
    """A row by way of SQLAlchemy."""

    name = "mithril-locks (SQLite)"

    def __init__(self, place: Place, name: str) -> None:
        _quiet_mithril()
        from mithril.backends import SQLiteBackend
        from sqlalchemy import create_engine

        self._engine = create_engine(f"sqlite:///{place.folder / 'mithril.db'}")
        self._backend, self._name = SQLiteBackend(self._engine), name

    def close(self) -> None:
        """Ends the engine."""
        self._engine.dispose()


class SqlalchemyDlock(Peer):
    """Locks that a database has built in."""

    name = "sqlalchemy-dlock"

    def __init__(self, place: Place, name: str) -> None:
        from sqlalchemy import create_engine
        from sqlalchemy_dlock import create_sadlock

        self._engine = create_engine(f"sqlite:///{place.folder / 'dlock.db'}")
        self._connection = self._engine.connect()
        if self._engine.dialect.name == "sqlite":
            raise CannotRun("it has no locks for SQLite, only for MySQL, MSSQL, Oracle, PostgreSQL")
        self._lock = create_sadlock(self._connection, name)

    def close(self) -> None:
        """Ends the engine."""
        self._connection.close()
        self._engine.dispose()


# --- in Redis ------------------------------------------------------------------------------------


class OnRedis(Peer):
    """Closes the client that the lock was made with."""

    def __init__(self, place: Place, name: str) -> None:
        import redis

        self._client: Any = redis.Redis.from_url(place.server(place.redis))
        self._lock = self._made(name)

    def _made(self, name: str) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        """Closes the client."""
        self._client.close()


class RedisPy(OnRedis):
    """SET NX PX and a script; waiting is asking again each 0.1 s."""

    name = "redis-py"

    def _made(self, name: str) -> Any:
        return self._client.lock(f"redis-py:{name}", timeout=TTL)


class PythonRedisLock(OnRedis):
    """SET NX EX and a script; waiting is BLPOP."""

    name = "python-redis-lock"

    def _made(self, name: str) -> Any:
        import redis_lock

        return redis_lock.Lock(self._client, name, expire=TTL)


class Sherlock(OnRedis):
    """Scripts; waiting is asking again each 0.1 s."""

    name = "sherlock"

    def _made(self, name: str) -> Any:
        import sherlock

        return sherlock.RedisLock(name, client=self._client, expire=TTL, timeout=_LONG)


class ToozRedis(Peer):
    """redis-py's lock, by way of a coordinator."""

    name = "tooz (redis)"

    def __init__(self, place: Place, name: str) -> None:
        server = urlsplit(place.server(place.redis))
        self._coordinator = _coordinator(f"redis://{server.netloc}")
        self._lock = self._coordinator.get_lock(name.encode())

    def close(self) -> None:
        """Leaves the coordinator."""
        self._coordinator.stop()


class Pottery(OnRedis):
    """Redlock with one master."""

    name = "pottery"

    def _made(self, name: str) -> Any:
        from pottery import Redlock

        return Redlock(key=name, masters={self._client}, auto_release_time=TTL)


class MithrilRedis(Mithril):
    """Scripts; waiting is BLPOP."""

    name = "mithril-locks (redis)"

    def __init__(self, place: Place, name: str) -> None:
        _quiet_mithril()
        import redis
        from mithril.backends import RedisBackend

        self._client: Any = redis.Redis.from_url(place.server(place.redis))
        self._backend, self._name = RedisBackend(self._client), name

    def close(self) -> None:
        """Closes the client."""
        self._client.close()


# --- in MongoDB ----------------------------------------------------------------------------------


class OnMongo(Peer):
    """Ends the client that the lock was made with."""

    def __init__(self, place: Place, name: str) -> None:
        from pymongo import MongoClient

        self._client: Any = MongoClient(place.server(self._url(place)))
        self._lock = self._made(name)

    def _url(self, place: Place) -> str:
        return place.mongo

    def _made(self, name: str) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        """Ends the client."""
        self._client.close()


class Mongoelector(OnMongo):
    """An insert; waiting is asking again each 0.25 s. The clock is the client's."""

    name = "mongoelector"

    def _made(self, name: str) -> Any:
        from mongoelector.locker import MongoLocker

        return MongoLocker(name, self._client["mongoelector"], ttl=TTL)


class MongoelectorAlone(Mongoelector):
    """The same on a server without a replica set."""

    def _url(self, place: Place) -> str:
        return place.mongo_alone


class Mongolock(OnMongo):
    """An insert; waiting is asking again each 0.1 s. The clock is the client's."""

    name = "mongolock"

    def _made(self, name: str) -> Any:
        from mongolock import MongoLock

        self._name, self._owner = name, secrets.token_hex(8)
        if not hasattr(type(self._client["mongolock"]["lock"]), "insert"):
            raise CannotRun("it calls Collection.insert, which PyMongo 4 no longer has")
        return MongoLock(client=self._client)

    def lock(self) -> None:
        """Takes it."""
        self._lock.lock(self._name, self._owner, timeout=_LONG, expire=TTL)

    wait = lock

    def unlock(self) -> None:
        """Gives it back."""
        self._lock.release(self._name, self._owner)


def _coordinator(url: str) -> Any:
    from tooz import coordination

    folder = urlsplit(url)
    if folder.scheme == "file":
        Path(folder.path).mkdir(exist_ok=True)
    coordinator = coordination.get_coordinator(url, secrets.token_hex(4).encode())
    coordinator.start()
    return coordinator


def _quiet_mithril() -> None:
    """Turns off its log, which it writes to standard output by default."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


LOCKERS: dict[str, tuple[type[Peer], ...]] = {
    "simple": (FastenersInProcess, FilelockInProcess),
    "file": (Filelock, Portalocker, Fasteners, ToozFile, MithrilFile),
    "db": (Diskcache, MithrilSqlite, SqlalchemyDlock),
    "redis": (RedisPy, PythonRedisLock, Sherlock, ToozRedis, Pottery, MithrilRedis),
    "mongo": (Mongoelector, Mongolock),
    "mongo-w1": (MongoelectorAlone,),
}
