"""The numbers of entries, which triggers of the database keep from the first question on.

They change in the transaction that adds or removes an entry, also in one of an older version or of
another program. They are in no schema version: without them, entries are counted.
"""

import sqlite3
from typing import Final

from ojobchannels.backends.db.connections import Connections
from ojobchannels.backends.local.file_lock import FileLockTimeout

_ARE_THERE: Final = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'counts'"
# An upsert that updates inserts no row, so it does not fire the first trigger.
_CREATE: Final = (
    """
CREATE TABLE counts (channel TEXT PRIMARY KEY, entries INTEGER NOT NULL) WITHOUT ROWID
""",
    "INSERT INTO counts SELECT channel, count(*) FROM documents GROUP BY channel",
    """
CREATE TRIGGER documents_added AFTER INSERT ON documents BEGIN
    INSERT INTO counts VALUES (new.channel, 1)
    ON CONFLICT (channel) DO UPDATE SET entries = entries + 1;
END
""",
    """
CREATE TRIGGER documents_removed AFTER DELETE ON documents BEGIN
    UPDATE counts SET entries = entries - 1 WHERE channel = old.channel;
END
""",
)
_ALL: Final = "coalesce((SELECT entries FROM counts WHERE channel = :channel), 0)"
_AFTER: Final = "(SELECT count(*) FROM documents WHERE channel = :channel AND position > :until)"
_KEPT: Final = f"SELECT {_ALL}", f"SELECT {_ALL} - {_AFTER}"
_COUNTED: Final = (
    "SELECT count(*) FROM documents WHERE channel = :channel",
    "SELECT count(*) FROM documents WHERE channel = :channel AND position <= :until",
)


class EntryCounts:
    """The number of entries of one channel."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._are_kept: bool | None = None

    def size(self, channel: str) -> int:
        """Return the number of entries."""
        return self._one(0, {"channel": channel})

    def size_until(self, channel: str, position: int) -> int:
        """Return the number of entries up to a position in the order of their changes."""
        return self._one(1, {"channel": channel, "until": position})

    def _one(self, statement: int, parameters: dict[str, str | int]) -> int:
        if self._are_kept is None:
            self._are_kept = self._prepare()
        kept = _KEPT if self._are_kept else _COUNTED
        with self._connections.reading() as connection:
            count: int = connection.execute(kept[statement], parameters).fetchone()[0]
        return count

    def _prepare(self) -> bool:
        """Have the numbers kept, and return whether they are."""
        with self._connections.reading() as connection:
            if _exist(connection):
                return True
        try:
            with self._connections.transaction("NORMAL") as connection:
                if not _exist(connection):  # another process may have been faster
                    for statement in _CREATE:
                        connection.execute(statement)
        except (sqlite3.OperationalError, FileLockTimeout):  # for reading only, or long in use
            return False
        return True


def _exist(connection: sqlite3.Connection) -> bool:
    number: int = connection.execute(_ARE_THERE).fetchone()[0]
    return number > 0
