"""Locks of other libraries, each set up for the speed that its documentation promises.

An instance is one program's access to one lock. `wait` is the library's own way of waiting, with
its own pauses.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from benchmarks.measure import CannotRun, Workspace

TTL = 30
_LONG = 3600


class Peer:
    """A lock of another library with `acquire(blocking)` and `release`, as most have."""

    name: ClassVar[str]
    _lock: Any
    _on_close: Callable[[], object] = staticmethod(lambda: None)

    def lock(self) -> None:
        """Acquire the free lock."""
        if self._lock.acquire(blocking=False) is False:
            raise CannotRun("a free lock was refused")

    def wait(self) -> None:
        """Wait for the lock."""
        if self._lock.acquire(blocking=True) is False:
            raise CannotRun("it stopped waiting")

    def unlock(self) -> None:
        """Release the lock."""
        self._lock.release()

    def close(self) -> None:
        """Close what the lock was made with."""
        self._on_close()


class Blocking(Peer):
    """A lock whose `acquire` always waits."""

    def lock(self) -> None:
        """Acquire the lock."""
        self._lock.acquire()

    wait = lock


class FastenersInProcess(Peer):
    """Its lock for threads."""

    name = "fasteners (threads; a bare lock: no token, ttl or fence)"
    _locks: ClassVar[dict[str, Any]] = {}

    def __init__(self, workspace: Workspace, name: str) -> None:
        import fasteners

        made = fasteners.ReaderWriterLock()
        self._lock = self._locks.setdefault(f"{workspace.folder} {name}", made)

    def lock(self) -> None:
        """Acquire the lock."""
        self._lock.acquire_write_lock()

    wait = lock

    def unlock(self) -> None:
        """Release the lock."""
        self._lock.release_write_lock()


class FilelockInProcess(Blocking):
    """Acquired again by a process that already holds the file: no system call."""

    name = "filelock (held again)"

    def __init__(self, workspace: Workspace, name: str) -> None:
        import filelock

        self._lock = filelock.FileLock(workspace.folder / f"{name}.held")
        self._lock.acquire()
        self._on_close = self._lock.release

    def wait(self) -> None:
        """Not supported."""
        raise CannotRun("a process that already holds it does not wait")


class Filelock(Peer):
    """flock on a file that is opened each time."""

    name = "filelock"

    def __init__(self, workspace: Workspace, name: str) -> None:
        import filelock

        self._lock = filelock.FileLock(workspace.folder / f"{name}.filelock")


class Portalocker(Blocking):
    """flock on a file that is opened each time."""

    name = "portalocker"

    def __init__(self, workspace: Workspace, name: str) -> None:
        import portalocker

        self._lock = portalocker.Lock(str(workspace.folder / f"{name}.portalocker"), timeout=_LONG)


class Fasteners(Peer):
    """fcntl on a file that is opened each time."""

    name = "fasteners"

    def __init__(self, workspace: Workspace, name: str) -> None:
        import fasteners

        self._lock = fasteners.InterProcessLock(str(workspace.folder / f"{name}.fasteners"))


class ToozFile(Peer):
    """Fasteners, through a coordinator."""

    name = "tooz (file)"

    def __init__(self, workspace: Workspace, name: str) -> None:
        coordinator = _coordinator(f"file://{workspace.folder / 'tooz'}")
        self._lock = coordinator.get_lock(name.encode())
        self._on_close = coordinator.stop


class Mithril(Peer):
    """A lease with a fencing token; a lock can be used once, so each pair makes a new one."""

    _backend: Any
    _name: str

    def lock(self) -> None:
        """Make a lock and acquire it."""
        self._make()
        super().lock()

    def wait(self) -> None:
        """Make a lock and wait for it."""
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

    def __init__(self, workspace: Workspace, name: str) -> None:
        quiet_mithril()
        from mithril.backends import FileBackend

        self._backend, self._name = FileBackend(workspace.folder / "mithril"), name


class Diskcache(Blocking):
    """A key that is added to a cache; no owner, no ttl; waiting polls every ms."""

    name = "diskcache.Lock"

    def __init__(self, workspace: Workspace, name: str) -> None:
        import diskcache

        cache = diskcache.Cache(str(workspace.folder / "diskcache-locks"))
        self._lock = diskcache.Lock(cache, name)
        self._on_close = cache.close


class MithrilSqlite(Mithril):
    """A row through SQLAlchemy."""

    name = "mithril-locks (SQLite)"

    def __init__(self, workspace: Workspace, name: str) -> None:
        quiet_mithril()
        from mithril.backends import SQLiteBackend
        from sqlalchemy import create_engine

        engine = create_engine(f"sqlite:///{workspace.folder / 'mithril.db'}")
        self._backend, self._name = SQLiteBackend(engine), name
        self._on_close = engine.dispose


class SqlalchemyDlock(Peer):
    """The locks that a database provides."""

    name = "sqlalchemy-dlock"

    def __init__(self, workspace: Workspace, name: str) -> None:
        from sqlalchemy import create_engine
        from sqlalchemy_dlock import create_sadlock

        engine = create_engine(f"sqlite:///{workspace.folder / 'dlock.db'}")
        self._on_close = engine.dispose
        if engine.dialect.name == "sqlite":
            raise CannotRun("it has no locks for SQLite, only for MySQL, MSSQL, Oracle, PostgreSQL")
        self._lock = create_sadlock(engine.connect(), name)


class OnRedis(Peer):
    """A lock that is made with a client of redis-py."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        import redis

        self._client: Any = redis.Redis.from_url(workspace.server("redis"))
        self._lock = self._made(name)
        self._on_close = self._client.close

    def _made(self, name: str) -> Any:
        raise NotImplementedError


class RedisPy(OnRedis):
    """SET NX PX and a script; waiting polls every 0.1 s."""

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
    """Scripts; waiting polls every 0.1 s."""

    name = "sherlock"

    def _made(self, name: str) -> Any:
        import sherlock

        return sherlock.RedisLock(name, client=self._client, expire=TTL, timeout=_LONG)


class ToozRedis(Peer):
    """redis-py's lock, through a coordinator."""

    name = "tooz (redis)"

    def __init__(self, workspace: Workspace, name: str) -> None:
        server = urlsplit(workspace.server("redis"))
        coordinator = _coordinator(f"redis://{server.netloc}")
        self._lock = coordinator.get_lock(name.encode())
        self._on_close = coordinator.stop


class Pottery(OnRedis):
    """Redlock with one master."""

    name = "pottery"

    def _made(self, name: str) -> Any:
        from pottery import Redlock

        return Redlock(key=name, masters={self._client}, auto_release_time=TTL)


class MithrilRedis(Mithril):
    """Scripts; waiting is BLPOP."""

    name = "mithril-locks (redis)"

    def __init__(self, workspace: Workspace, name: str) -> None:
        quiet_mithril()
        import redis
        from mithril.backends import RedisBackend

        self._client: Any = redis.Redis.from_url(workspace.server("redis"))
        self._backend, self._name = RedisBackend(self._client), name
        self._on_close = self._client.close


class OnMongo(Peer):
    """A lock that is made with a client of PyMongo."""

    type = "mongo"

    def __init__(self, workspace: Workspace, name: str) -> None:
        from pymongo import MongoClient

        self._client: Any = MongoClient(workspace.server(self.type))
        self._lock = self._made(name)
        self._on_close = self._client.close

    def _made(self, name: str) -> Any:
        raise NotImplementedError


class Mongoelector(OnMongo):
    """An insert; waiting polls every 0.25 s. The clock is the client's."""

    name = "mongoelector"

    def _made(self, name: str) -> Any:
        from mongoelector.locker import MongoLocker

        return MongoLocker(name, self._client["mongoelector"], ttl=TTL)


class MongoelectorStandalone(Mongoelector):
    """The same on a server without a replica set."""

    type = "mongo-w1"


class Mongolock(OnMongo):
    """An insert; waiting polls every 0.1 s. The clock is the client's."""

    name = "mongolock"

    def _made(self, name: str) -> Any:
        from mongolock import MongoLock

        self._name, self._owner = name, secrets.token_hex(8)
        if not hasattr(type(self._client["mongolock"]["lock"]), "insert"):
            raise CannotRun("it calls Collection.insert, which PyMongo 4 no longer has")
        return MongoLock(client=self._client)

    def lock(self) -> None:
        """Acquire the lock."""
        self._lock.lock(self._name, self._owner, timeout=_LONG, expire=TTL)

    wait = lock

    def unlock(self) -> None:
        """Release the lock."""
        self._lock.release(self._name, self._owner)


def _coordinator(url: str) -> Any:
    from tooz import coordination

    parts = urlsplit(url)
    if parts.scheme == "file":
        Path(parts.path).mkdir(exist_ok=True)
    coordinator = coordination.get_coordinator(url, secrets.token_hex(4).encode())
    coordinator.start()
    return coordinator


def quiet_mithril() -> None:
    """Turn off its log, which goes to standard output by default."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


LOCKERS: dict[str, tuple[type[Peer], ...]] = {
    "simple": (FastenersInProcess, FilelockInProcess),
    "file": (Filelock, Portalocker, Fasteners, ToozFile, MithrilFile),
    "db": (Diskcache, MithrilSqlite, SqlalchemyDlock),
    "redis": (RedisPy, PythonRedisLock, Sherlock, ToozRedis, Pottery, MithrilRedis),
    "mongo": (Mongoelector, Mongolock),
    "mongo-w1": (MongoelectorStandalone,),
    "ignite": (),
}
