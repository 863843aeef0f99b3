"""The floor of `postgres`: the bare statements through psycopg, prepared at their second use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from benchmarks.floors.common import TTL, Key, Value, decode_all, encode, holder, new_token

_MICROSECONDS: Final = "floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_SCHEMA: Final = """
CREATE SCHEMA IF NOT EXISTS floor;
CREATE TABLE IF NOT EXISTS floor.locks (
    name text PRIMARY KEY, fence bigint NOT NULL, token text NOT NULL, until timestamptz NOT NULL,
    since timestamptz NOT NULL, holder json NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS floor.documents (
    channel text, key text, value json NOT NULL, position bigint NOT NULL,
    PRIMARY KEY (channel, key)
);
CREATE INDEX IF NOT EXISTS in_order ON floor.documents (channel, position);
CREATE TABLE IF NOT EXISTS floor.channels (
    channel text PRIMARY KEY, position bigint NOT NULL
) WITH (fillfactor = 50);
"""
_LOCK: Final = f"""
INSERT INTO floor.locks AS l VALUES (
    %(name)s, {_MICROSECONDS}, %(token)s, clock_timestamp() + %(ttl)s * interval '1 ms',
    clock_timestamp(), %(holder)s
)
ON CONFLICT (name) DO UPDATE
SET fence = greatest(l.fence + 1, {_MICROSECONDS}), token = EXCLUDED.token,
    until = clock_timestamp() + %(ttl)s * interval '1 ms', since = clock_timestamp(),
    holder = EXCLUDED.holder
WHERE l.token = '' OR l.until <= clock_timestamp()
RETURNING fence
"""
_UNLOCK: Final = """
UPDATE floor.locks SET token = '', until = clock_timestamp(), holder = '{}'
WHERE name = %(name)s AND token = %(token)s AND until > clock_timestamp()
RETURNING pg_notify('floor', name)::text
"""
_STEP: Final = """
WITH step AS (
    INSERT INTO floor.channels AS c VALUES (%(channel)s, %(count)s)
    ON CONFLICT (channel) DO UPDATE SET position = c.position + %(count)s RETURNING position
)
"""
_PUT: Final = f"""
{_STEP} INSERT INTO floor.documents
SELECT %(channel)s, %(key)s, %(value)s::json, position FROM step
ON CONFLICT (channel, key) DO UPDATE SET value = EXCLUDED.value, position = EXCLUDED.position
"""
_PUT_ALL: Final = f"""
{_STEP} INSERT INTO floor.documents
SELECT %(channel)s, key, value::json, position - %(count)s + number FROM step,
unnest(%(key)s::text[], %(value)s::text[]) WITH ORDINALITY AS r (key, value, number)
ON CONFLICT (channel, key) DO UPDATE SET value = EXCLUDED.value, position = EXCLUDED.position
"""


def _connect(url: str) -> Any:
    import psycopg

    client = psycopg.connect(url, autocommit=True, prepare_threshold=1)
    with client.transaction():
        client.execute("SELECT pg_advisory_xact_lock(2)")
        client.execute(_SCHEMA)
    return client


class PostgresLock:
    """An upsert and an update, both by the server's clock; a waiter is woken by NOTIFY."""

    def __init__(self, url: str, name: str) -> None:
        self._client = _connect(url)
        self._name = name
        self._token = ""
        self._listens = False

    def lock(self) -> int:
        """One statement."""
        self._token = new_token()
        values = {"name": self._name, "token": self._token, "ttl": TTL, "holder": encode(holder())}
        row = self._client.execute(_LOCK, values).fetchone()
        return int(row[0]) if row else 0

    def wait(self) -> int:
        """One notification, one statement."""
        if not self._listens:
            self._client.execute("LISTEN floor")
            self._listens = True
        while not (fence := self.lock()):
            for _ in self._client.notifies(timeout=10, stop_after=1):
                break
        return fence

    def unlock(self) -> bool:
        """One statement."""
        values = {"name": self._name, "token": self._token}
        return bool(self._client.execute(_UNLOCK, values).rowcount)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class PostgresStore:
    """One statement each; a row of the channel gives the order in which changes are seen."""

    def __init__(self, url: str, name: str) -> None:
        self._client = _connect(url)
        self._name = name

    def get(self, key: Key) -> Any:
        """One SELECT."""
        rows = "SELECT value::text FROM floor.documents WHERE channel = %s AND key = %s"
        return decode_all(self._client.execute(rows, (self._name, encode(key))).fetchone())[0]

    def set(self, key: Key, value: Value) -> None:
        """One upsert."""
        row = {"channel": self._name, "count": 1, "key": encode(key), "value": encode(value)}
        self._client.execute(_PUT, row)

    def unset(self, key: Key) -> None:
        """One DELETE."""
        rows = "DELETE FROM floor.documents WHERE channel = %s AND key = %s"
        self._client.execute(rows, (self._name, encode(key)))

    def get_all(self) -> list[Any]:
        """One SELECT in the order of change."""
        rows = "SELECT value::text FROM floor.documents WHERE channel = %s ORDER BY position"
        return decode_all(row[0] for row in self._client.execute(rows, (self._name,)))

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """One upsert of arrays."""
        keys, values = zip(*((encode(key), encode(value)) for key, value in items), strict=True)
        rows = {"channel": self._name, "count": len(keys), "key": [*keys], "value": [*values]}
        self._client.execute(_PUT_ALL, rows)

    def newest(self, limit: int) -> list[Any]:
        """One SELECT on the index of the order."""
        rows = (
            "SELECT value::text FROM floor.documents WHERE channel = %s "
            "ORDER BY position DESC LIMIT %s"
        )
        return decode_all(row[0] for row in self._client.execute(rows, (self._name, limit)))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
