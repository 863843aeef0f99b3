"""The floor of `db`: the bare statements on one connection."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from benchmarks.floors.common import BOOT_ID, TTL, Key, Value, decode_all, encode, holder, new_token

_WALL: Final = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
_LOCKS: Final = """
CREATE TABLE IF NOT EXISTS locks (
    channel TEXT NOT NULL, name TEXT NOT NULL, fence INTEGER NOT NULL, token TEXT NOT NULL,
    ttl INTEGER NOT NULL, until INTEGER NOT NULL, wall_until INTEGER NOT NULL, epoch TEXT NOT NULL,
    since INTEGER NOT NULL, alive INTEGER NOT NULL, holder TEXT NOT NULL,
    PRIMARY KEY (channel, name)
) WITHOUT ROWID
"""
_DOCUMENTS: Final = """
CREATE TABLE IF NOT EXISTS documents (
    position INTEGER PRIMARY KEY, channel TEXT NOT NULL, key TEXT NOT NULL,
    written_key TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (channel, key)
)
"""
_IN_ORDER: Final = "CREATE INDEX IF NOT EXISTS documents_in_order ON documents (channel, position)"
_TAKE: Final = f"""
INSERT INTO locks
VALUES ('floor', :name, {_WALL}, :token, :ttl, {_WALL} + :ttl, {_WALL} + :ttl, :epoch, {_WALL},
    :pid, :holder)
ON CONFLICT (channel, name) DO UPDATE
SET fence = max(fence + 1, excluded.fence), token = excluded.token, ttl = excluded.ttl,
    until = excluded.until, wall_until = excluded.wall_until, epoch = excluded.epoch,
    since = excluded.since, alive = excluded.alive, holder = excluded.holder
WHERE token = '' OR until <= {_WALL}
RETURNING fence
"""
_FREE: Final = f"""
UPDATE locks SET token = '', ttl = 0, until = 0, wall_until = 0, alive = 0, holder = '{{}}'
WHERE channel = 'floor' AND name = :name AND token = :token AND until > {_WALL}
RETURNING fence
"""
_SIMPLEST: Final = """
CREATE TABLE IF NOT EXISTS simplest (
    name TEXT PRIMARY KEY, token TEXT NOT NULL, until REAL NOT NULL, fence INTEGER NOT NULL
) WITHOUT ROWID
"""
_TAKE_SIMPLEST: Final = """
INSERT INTO simplest VALUES (:name, :token, julianday('now') + :days, 1)
ON CONFLICT (name) DO UPDATE SET token = excluded.token, until = excluded.until, fence = fence + 1
WHERE token = '' OR until <= julianday('now')
RETURNING fence
"""
_FREE_SIMPLEST: Final = "UPDATE simplest SET token = '' WHERE name = :name AND token = :token"
_PUT: Final = f"""
INSERT INTO documents VALUES (
    max({_WALL}, (SELECT coalesce(max(position), 0) + 1 FROM documents)),
    'floor', :key, :written_key, :value
)
ON CONFLICT (channel, key) DO UPDATE
SET position = excluded.position, written_key = excluded.written_key, value = excluded.value
"""


def _database(folder: Path, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        folder / "floor.db", timeout=10, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode=WAL").fetchone()
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA journal_size_limit=1000000").fetchone()
    for statement in (_LOCKS, _DOCUMENTS, _IN_ORDER):
        connection.execute(statement)
    return connection


class DatabaseLock:
    """One upsert … RETURNING, one UPDATE … RETURNING, on one connection, WAL and NORMAL."""

    def __init__(self, folder: Path, name: str) -> None:
        self._connection = _database(folder, "NORMAL")
        self._baton = os.open(folder / f"{name}.baton", os.O_RDWR | os.O_CREAT, 0o600)
        self._has_baton = False
        self._name = name
        self._token = ""

    def lock(self) -> int:
        """One statement."""
        self._token = new_token()
        parameters = {
            "name": self._name,
            "token": self._token,
            "ttl": TTL * 1000,
            "epoch": BOOT_ID,
            "pid": os.getpid(),
            "holder": encode(holder()),
        }
        row = self._connection.execute(_TAKE, parameters).fetchone()
        return row[0] if row else 0

    def wait(self) -> int:
        """One wake-up from a blocking flock, one statement."""
        fcntl.flock(self._baton, fcntl.LOCK_EX)
        self._has_baton = True
        return self.lock()

    def unlock(self) -> bool:
        """One statement."""
        parameters = {"name": self._name, "token": self._token}
        row = self._connection.execute(_FREE, parameters).fetchone()
        if self._has_baton:
            self._has_baton = False
            fcntl.flock(self._baton, fcntl.LOCK_UN)
        return row is not None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        os.close(self._baton)


class SimplestDatabaseLock:
    """The least that is a lock with a fence: two bare statements on four columns, WAL, NORMAL."""

    def __init__(self, folder: Path, name: str) -> None:
        self._connection = _database(folder, "NORMAL")
        self._connection.execute(_SIMPLEST)
        self._name = name
        self._token = ""

    def lock(self) -> int:
        """One statement."""
        self._token = new_token()
        row = {"name": self._name, "token": self._token, "days": TTL / 86_400_000}
        taken = self._connection.execute(_TAKE_SIMPLEST, row).fetchone()
        return taken[0] if taken else 0

    def unlock(self) -> None:
        """One statement."""
        self._connection.execute(_FREE_SIMPLEST, {"name": self._name, "token": self._token})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Database:
    """One statement on one connection, WAL and FULL."""

    def __init__(self, folder: Path, name: str) -> None:
        self._connection = _database(folder, "FULL")

    def get(self, key: Key) -> Any:
        """One SELECT."""
        statement = "SELECT value FROM documents WHERE channel = 'floor' AND key = ?"
        return json.loads(self._connection.execute(statement, (encode(key),)).fetchone()[0])

    def set(self, key: Key, value: Value) -> None:
        """One upsert, which moves the entry to the end of the order."""
        self._connection.execute(_PUT, _row(key, value))

    def unset(self, key: Key) -> None:
        """One DELETE."""
        statement = "DELETE FROM documents WHERE channel = 'floor' AND key = ?"
        self._connection.execute(statement, (encode(key),))

    def get_all(self) -> list[Any]:
        """One SELECT in the order of change."""
        statement = "SELECT value FROM documents WHERE channel = 'floor' ORDER BY position"
        return decode_all(row[0] for row in self._connection.execute(statement))

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """One transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_PUT, [_row(key, value) for key, value in items])
        self._connection.execute("COMMIT")

    def newest(self, limit: int) -> list[Any]:
        """One SELECT by the index of the order."""
        statement = (
            "SELECT value FROM documents WHERE channel = 'floor' ORDER BY position DESC LIMIT ?"
        )
        return decode_all(row[0] for row in self._connection.execute(statement, (limit,)))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _row(key: Key, value: Value) -> dict[str, str]:
    text = encode(key)
    return {"key": text, "written_key": text, "value": encode(value)}
