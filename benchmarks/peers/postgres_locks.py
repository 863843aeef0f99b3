"""Locks on PostgreSQL: of other libraries, and the statements of ShedLock, which is for Java."""

from __future__ import annotations

import socket
import time
from typing import Any, Final

from benchmarks.measure import CannotRun, Workspace
from benchmarks.peers.locks import TTL, Mithril, Peer, quiet_mithril

_PAUSE: Final = 0.05
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS shedlock (
    name varchar(64) PRIMARY KEY, lock_until timestamp NOT NULL,
    locked_at timestamp NOT NULL, locked_by varchar(255) NOT NULL
)
"""
_NOW: Final = "timezone('utc', CURRENT_TIMESTAMP)"
_LOCK: Final = f"""
INSERT INTO shedlock (name, lock_until, locked_at, locked_by)
VALUES (%(name)s, {_NOW} + %(most)s::interval, {_NOW}, %(by)s)
ON CONFLICT (name) DO UPDATE
SET lock_until = {_NOW} + %(most)s::interval, locked_at = {_NOW}, locked_by = %(by)s
WHERE shedlock.lock_until <= {_NOW}
"""
_UNLOCK: Final = f"""
UPDATE shedlock SET lock_until = {_NOW} WHERE name = %(name)s AND locked_by = %(by)s
"""


class ShedLock(Peer):
    """Its JdbcTemplateLockProvider with usingDbTime: no fence; it never waits, so here it polls."""

    name = "ShedLock's statements (no fence)"

    def __init__(self, workspace: Workspace, name: str) -> None:
        import psycopg

        self._client: Any = psycopg.connect(workspace.server("postgres"), autocommit=True)
        self._client.execute("SELECT pg_advisory_lock(1)")  # for the creation only
        self._client.execute(_CREATE)
        self._client.execute("SELECT pg_advisory_unlock(1)")
        self._values = {"name": name, "most": f"{TTL} seconds", "by": socket.gethostname()}
        self._on_close = self._client.close

    def lock(self) -> None:
        """One statement."""
        if not self._client.execute(_LOCK, self._values).rowcount:
            raise CannotRun("a free lock was refused")

    def wait(self) -> None:
        """Poll."""
        while not self._client.execute(_LOCK, self._values).rowcount:
            time.sleep(_PAUSE)

    def unlock(self) -> None:
        """One statement."""
        self._client.execute(_UNLOCK, self._values)


class SqlalchemyDlock(Peer):
    """An advisory lock of the session: no ttl, no fence, nothing on the disk."""

    name = "sqlalchemy-dlock (no ttl, no fence; ends with the connection)"

    def __init__(self, workspace: Workspace, name: str) -> None:
        from sqlalchemy import create_engine
        from sqlalchemy_dlock import create_sadlock

        url = workspace.server("postgres").replace("postgresql:", "postgresql+psycopg:")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        self._connection = engine.connect()
        self._lock = create_sadlock(self._connection, name)
        self._on_close = engine.dispose

    def lock(self) -> None:
        """Acquire the free lock."""
        if not self._lock.acquire(block=False):
            raise CannotRun("a free lock was refused")

    def wait(self) -> None:
        """Wait for the lock."""
        self._lock.acquire(block=True)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        self._on_close()


class MithrilPostgres(Mithril):
    """Two rows through SQLAlchemy, in a serializable transaction."""

    name = "mithril-locks (PostgreSQL)"

    def __init__(self, workspace: Workspace, name: str) -> None:
        quiet_mithril()
        from mithril.backends import PostgresBackend
        from sqlalchemy import create_engine

        url = workspace.server("postgres").replace("postgresql:", "postgresql+psycopg:")
        engine = create_engine(url)
        self._backend, self._name = PostgresBackend(engine), name
        self._on_close = engine.dispose


LOCKERS: Final[tuple[type[Peer], ...]] = (ShedLock, SqlalchemyDlock, MithrilPostgres)
