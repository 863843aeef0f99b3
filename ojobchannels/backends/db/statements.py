"""The database's schema and the statements of `db`.

``boot_nanos()``, ``wall_nanos()`` and ``epoch()`` are our functions: SQLite calls them while it
holds the write lock, so that the time is read inside the atomic step. Times are stored in µs.
"""

import sqlite3
from typing import Final

from ojobchannels.backends.lock_record import RESERVED
from ojobchannels.hookspecs import FIRST_FENCE

APPLICATION_ID: Final = 0x6F4A6F62
VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE documents (
    position INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    key TEXT NOT NULL,
    written_key TEXT NOT NULL,
    value TEXT NOT NULL,
    UNIQUE (channel, key)
);
CREATE INDEX documents_in_order ON documents (channel, position);
CREATE TABLE marks (
    channel TEXT NOT NULL,
    key TEXT NOT NULL,
    fence INTEGER NOT NULL,
    PRIMARY KEY (channel, key)
) WITHOUT ROWID;
CREATE TABLE locks (
    channel TEXT NOT NULL,
    name TEXT NOT NULL,
    fence INTEGER NOT NULL,
    token TEXT NOT NULL,
    ttl INTEGER NOT NULL,
    until INTEGER NOT NULL,
    wall_until INTEGER NOT NULL,
    epoch TEXT NOT NULL,
    since INTEGER NOT NULL,
    alive INTEGER NOT NULL,
    holder TEXT NOT NULL,
    previous TEXT,
    previous_fence INTEGER,
    PRIMARY KEY (channel, name)
) WITHOUT ROWID;
"""

_NOW: Final = "(boot_nanos() / 1000)"
_WALL: Final = "(wall_nanos() / 1000)"
# Whether a lease of another epoch lives is judged by the caller, who sees the holder's liveness.
_MAY_LIVE: Final = f"token <> '' AND (epoch <> epoch() OR until > {_NOW})"
_LIVE: Final = f"""
    token <> '' AND CASE WHEN epoch = epoch() THEN until > {_NOW}
    ELSE wall_until > {_WALL} OR until = :seen_until
    END
"""
_HELD: Final = f"""
    channel = :channel AND name = :name AND token = :token AND {_LIVE}
    AND alive IN (0, :mine, :seen)
"""
_RESERVED: Final = f"""
    token = '' AND alive NOT IN (0, :waiter) AND until - :now BETWEEN 1 AND {RESERVED}
"""
RECORD: Final = "fence, token, ttl, until, wall_until, epoch, since, alive, holder"

_ADD: Final = f"""
INSERT INTO documents (position, channel, key, written_key, value)
VALUES (
    max({_WALL}, (SELECT coalesce(max(position), 0) + 1 FROM documents)),
    :channel, :key, :written_key, :value
)
ON CONFLICT (channel, key) DO
"""
ADD: Final = f"{_ADD} NOTHING"
PUT: Final = f"""
{_ADD} UPDATE
SET position = excluded.position, written_key = excluded.written_key, value = excluded.value
"""
GET: Final = "SELECT value FROM documents WHERE channel = ? AND key = ?"
UNSET: Final = "DELETE FROM documents WHERE channel = :channel AND key = :key"
VALUES_IN_ORDER: Final = "SELECT value FROM documents WHERE channel = :channel ORDER BY position"
KEYS_IN_ORDER: Final = (
    "SELECT written_key FROM documents WHERE channel = :channel ORDER BY position"
)
OLDEST_FIRST: Final = """
SELECT written_key, value, position FROM documents
WHERE channel = :channel AND position > :after ORDER BY position
"""
NEWEST_FIRST: Final = """
SELECT written_key, value, position FROM documents
WHERE channel = :channel AND position < :after ORDER BY position DESC
"""
TAKE: Final = """
DELETE FROM documents
WHERE position = (SELECT {end}(position) FROM documents WHERE channel = :channel)
RETURNING value
"""
DESTROY: Final = "DELETE FROM documents WHERE channel = :channel"

MARK: Final = """
INSERT INTO marks (channel, key, fence) VALUES (:channel, :key, :fence)
ON CONFLICT (channel, key) DO UPDATE SET fence = excluded.fence WHERE fence <= excluded.fence
RETURNING fence
"""
READ_MARK: Final = "SELECT fence FROM marks WHERE channel = :channel AND key = :key"

LOCK: Final = f"""
INSERT INTO locks (channel, name, {RECORD})
VALUES (
    :channel, :name, {_WALL}, :token, :ttl, {_NOW} + :ttl, {_WALL} + :ttl, epoch(),
    {_WALL}, :alive, :holder
)
ON CONFLICT (channel, name) DO UPDATE
SET fence = max(fence + 1, excluded.fence), token = excluded.token, ttl = excluded.ttl,
    until = excluded.until, wall_until = excluded.wall_until, epoch = excluded.epoch,
    since = excluded.since, alive = excluded.alive, holder = excluded.holder,
    previous = CASE WHEN token = '' AND holder = '{{}}' THEN NULL ELSE holder END,
    previous_fence = fence
WHERE (
    NOT ({_MAY_LIVE}) OR (token = :dead AND alive = :dead_alive AND until = :dead_until)
) AND NOT ({_RESERVED})
RETURNING fence, previous, previous_fence
"""
UNLOCK: Final = f"""
UPDATE locks
SET token = '', ttl = 0, until = :reserved_until, wall_until = 0, alive = :woken, holder = '{{}}'
WHERE {_HELD} RETURNING fence
"""
WAKE_NEXT: Final = """
UPDATE locks SET until = :reserved_until, alive = :woken
WHERE channel = :channel AND name = :name AND token = '' AND alive = :waiter
"""
EXTEND: Final = f"""
UPDATE locks
SET ttl = :ttl, until = {_NOW} + :ttl, wall_until = {_WALL} + :ttl, epoch = epoch()
WHERE {_HELD} RETURNING fence
"""
ADOPT: Final = f"""
UPDATE locks SET alive = :alive, holder = coalesce(:holder, holder)
WHERE {_HELD} RETURNING {RECORD}
"""
READ_LOCK: Final = f"SELECT {RECORD} FROM locks WHERE channel = :channel AND name = :name"
HELD_LOCKS: Final = f"SELECT name FROM locks WHERE channel = :channel AND {_MAY_LIVE} ORDER BY name"
FORCE_UNLOCK: Final = """
UPDATE locks SET token = '', ttl = 0, until = 0, wall_until = 0, alive = 0
WHERE channel = :channel AND name = :name
"""
# A mark is kept for a day after the clock has passed it, and while a lease with its fence is held.
# Lower numbers are not fences of leases but numbers of the caller. The entry of the channel
# without a name, which no channel can have, is the time of the last sweep.
_DAY: Final = 86_400_000_000
_SWEPT: Final = "channel = '' AND key = 'swept'"
SWEEP_MARKS: Final = f"""
DELETE FROM marks WHERE fence BETWEEN {FIRST_FENCE} AND {_WALL} - {_DAY}
AND fence NOT IN (SELECT fence FROM locks WHERE token <> '')
"""
SWEEP_IS_DUE: Final = f"""
SELECT NOT EXISTS (SELECT 1 FROM marks WHERE {_SWEPT} AND fence > {_WALL} - {_DAY})
"""
NOTE_SWEEP: Final = f"""
INSERT INTO marks (channel, key, fence) VALUES ('', 'swept', {_WALL})
ON CONFLICT (channel, key) DO UPDATE SET fence = excluded.fence
"""
SWEEP_LOCKS: Final = f"DELETE FROM locks WHERE token = '' AND fence < {_WALL} - 86400000000"


def prepare(connection: sqlite3.Connection) -> tuple[str, str] | None:
    """Create the tables in an empty database; for a foreign one, return reason and advice.

    The caller holds the file lock: two processes that create tables at once fail despite timeouts.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == APPLICATION_ID:
        if version > VERSION:
            return (
                f"its schema has version {version}, but this program supports up to {VERSION}",
                "upgrade ojobchannels; the file was left unchanged",
            )
    elif connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        return "it is the database of another program", "use another file"
    else:
        _create(connection)
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
    return None


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";")[:-1]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={VERSION}")
    connection.execute("COMMIT")
