"""Detects that an open database, or its -wal or -shm file, was deleted, moved or replaced.

SQLite does not notice: it continues with the deleted file, beside processes that use the new one,
so that a lock has two holders and writes are lost. Within a process all connections to a database
share one -shm, also later ones. So the files are remembered once for the process, from the first
connection to the last; SQLite itself deletes them only when no process has a connection.
"""

import os
import sqlite3
import stat
import time
from typing import Final

from ojobchannels.errors import ChannelUnavailable
from ojobchannels.host.files import UnsafeFile

Identity = tuple[int, int]
_SETTLED: Final = 100_000_000
"""Nanoseconds after which a later change of a folder has another ctime: clocks tick faster."""


class StorageReplaced(ChannelUnavailable):
    """The database was deleted, moved or replaced under an open handle."""

    def __init__(self, channel: str, path: str) -> None:
        super().__init__(
            channel,
            f"{path}, or the -wal or -shm file beside it, was deleted, moved or replaced while it "
            "was open here",
            "put it back, or close the channel and open it again to use the current file; if "
            "only -wal or -shm was deleted, end all processes that use the database",
        )


class _Log:
    """The -wal and -shm files of a database, and the connections that have them open."""

    def __init__(self) -> None:
        self.connections: set[int] = set()
        self.files: tuple[Identity | None, ...] | None = None


_logs: dict[Identity, _Log] = {}


class OpenFiles:
    """The files of the database that one handle has opened."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._log_paths = f"{path}-wal", f"{path}-shm"
        self._folder = os.path.dirname(path)  # noqa: PTH120  a Path is slower to stat
        self._unchanged: tuple[int, int, int] | None = None
        self._database: Identity | None = None
        self._log: _Log | None = None

    def are_current(self) -> bool:
        """Return whether all paths still lead to the files that were opened.

        A file can be deleted, moved or replaced only by a change of its folder, which sets the
        folder's ctime. So as long as that is the one of the last check, one system call does.
        """
        if self._database is None:
            return True
        try:
            folder = os.stat(self._folder)  # noqa: PTH116  as above
        except OSError:
            return False
        state = folder.st_dev, folder.st_ino, folder.st_ctime_ns
        if state == self._unchanged:
            return True
        self._unchanged = None
        if _identity(self.path) != self._database:
            return False
        if self._log is None or self._log.files is None:
            return True
        if self._log.files != self._found_log():
            return False
        if _is_settled(folder.st_ctime_ns):
            self._unchanged = state
        return True

    def refuse_planted(self) -> None:
        """Check, before SQLite opens them, that the files beside the database are files of its own.

        SQLite would write into what another user has linked to their names, and give it away.

        Raises:
            UnsafeFile: One is a link, has several names, or is not a regular file.
        """
        for path in (*self._log_paths, f"{self.path}-journal"):
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(status.st_mode):
                raise UnsafeFile(path, "it is not a regular file")
            if status.st_nlink > 1:
                raise UnsafeFile(path, "it has several names")

    def opened(self, connection: sqlite3.Connection) -> None:
        """Note a new connection."""
        self._database = self._database or _identity(self.path)
        if self._database is not None:
            self._log = _logs.setdefault(self._database, _Log())
            self._log.connections.add(id(connection))

    def used(self) -> bool:
        """Note that a connection has used the log; return whether the log is where it belongs."""
        if self._log is not None and self._log.files is None:
            found = self._found_log()
            if None in found:
                return False
            self._log.files = found
        return True

    def closed(self, connection: sqlite3.Connection) -> None:
        """Note that a connection was closed; after the last one, SQLite may delete the log."""
        if self._log is not None:
            self._log.connections.discard(id(connection))
            if not self._log.connections:
                self._log.files = None

    def _found_log(self) -> tuple[Identity | None, ...]:
        return tuple(map(_identity, self._log_paths))


def _is_settled(changed: int) -> bool:
    """Return whether a change of a folder that has this ctime would have set another one.

    A filesystem without fractions of seconds is never trusted to have done so.
    """
    return changed % 1_000_000_000 != 0 and time.time_ns() - changed > _SETTLED


def _identity(path: str) -> Identity | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
