"""SQLite connections of one handle: pooled, used by one thread at a time, closed before a fork.

Every SQLite before 3.51.3 can corrupt a database in WAL mode when a checkpoint races with another
checkpoint and with a writer that restarts the log (sqlite.org/wal.html, "The WAL-Reset Bug"). So
automatic checkpoints are off: a connection makes one now and then, under the file lock that all our
writers acquire. The file lock also replaces the busy handler, whose sleeps grow to 100 ms and let
some writers starve.

A child process that opens a database which its parent had open at the fork inherits, within SQLite,
locks that it does not have (sqlite.org/howtocorrupt.html, 2.6). So all connections are closed
before a fork, and none is checked out meanwhile.
"""

import sqlite3
import threading
import weakref
from collections import deque
from contextlib import suppress
from typing import Literal

from ojobchannels.backends.db.open_files import OpenFiles, StorageReplaced
from ojobchannels.backends.local.file_lock import FileLock
from ojobchannels.backends.local.paths import StoragePath
from ojobchannels.errors import ChannelClosed, ChannelError
from ojobchannels.host.clock import Clock, readings
from ojobchannels.host.forks import begin_work, end_work, forget_in_children, release_before_forks

Level = Literal["FULL", "NORMAL"]
_CHECK_EVERY = 64
_MOST_IDLE = 8  # of each level; a burst of threads would leave all of theirs behind
_LARGE_LOG = 4_000_000
_SMALL_LOG = 1_000_000
_abandoned: list[sqlite3.Connection] = []


class Checkout:
    """A connection in use by one thread: ``with`` takes it from the pool and returns it.

    A signal handler may raise just before ``with`` enters or exits, so that neither happens. So the
    checkout is registered under its thread before anything is taken, and `end` may be called twice.
    After an exception that is not ours or SQLite's, whose traceback may keep a cursor open, the
    connection is closed instead of returned.
    """

    __slots__ = (
        "_connection",
        "_in_transaction",
        "_level",
        "_lock",
        "_pool",
        "_reusable",
        "_timeout",
    )

    def __init__(
        self,
        pool: "Connections",
        level: Level,
        lock: FileLock | None,
        timeout: float | None = None,
        in_transaction: bool = False,
    ) -> None:
        self._pool = pool
        self._level = level
        self._lock = lock
        self._timeout = timeout
        self._in_transaction = in_transaction
        self._connection: sqlite3.Connection | None = None
        self._reusable = False

    def __enter__(self) -> sqlite3.Connection:
        self._pool.checkouts[threading.get_ident()] = self
        try:
            if self._lock is not None:
                self._lock.acquire(self._timeout)
            begin_work(self)
            connection = self._connection = self._pool.take(self._level)
            if self._timeout is not None:
                connection.execute(f"PRAGMA busy_timeout={max(round(self._timeout * 1000), 1)}")
            if self._in_transaction:
                connection.execute("BEGIN IMMEDIATE")
        except BaseException:  # `__exit__` is not called then
            self.end()
            raise
        else:
            return connection

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        connection = self._connection
        if kind is None and connection is not None:
            if self._in_transaction:
                connection.execute("COMMIT")
            self._pool.check_log(self._lock is not None)
            if self._lock is not None:
                self._pool.checkpoint_large_log(connection)
        self._reusable = kind is None or issubclass(kind, ChannelError | sqlite3.Error)
        self.end()

    def end(self) -> None:
        """Roll back an open transaction, return the connection and release the file lock."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                if connection.in_transaction:
                    _roll_back(connection)
                if not self._reusable:
                    self._pool.idle.dispose(connection)
                    return
                if self._timeout is not None:
                    connection.execute(f"PRAGMA busy_timeout={self._pool.busy_timeout}")
                self._pool.give_back(self._level, connection)
        finally:
            end_work(self)
            if self._lock is not None:
                self._lock.release()
            self._pool.checkouts.pop(threading.get_ident(), None)


def _never_close(connection: sqlite3.Connection) -> None:
    """Keep the connection open until the process ends, because its database was replaced.

    Closing it would make SQLite delete the log at that path, which may belong to the new database.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise


class _IdleConnections:
    """The connections of a handle that are not in use."""

    def __init__(self, path: str) -> None:
        self.files = OpenFiles(path)
        self.at: dict[Level, deque[sqlite3.Connection]] = {"FULL": deque(), "NORMAL": deque()}
        self.disposed = 0

    def close_surplus(self, level: Level) -> None:
        """Close a connection if there are more than are kept."""
        idle = self.at[level]
        if len(idle) > _MOST_IDLE:
            with suppress(IndexError):  # other threads have taken all of them
                self.dispose(idle.popleft())

    def close(self) -> None:
        """Close all of them."""
        for idle in self.at.values():
            while idle:
                self.dispose(idle.popleft())

    def dispose(self, connection: sqlite3.Connection) -> None:
        """Close a connection."""
        self.disposed += 1
        if self.files.are_current():
            connection.close()
            self.files.closed(connection)
        else:
            _never_close(connection)


class Connections:
    """A pool of connections; `level` is how a commit is flushed (PRAGMA synchronous)."""

    def __init__(self, channel: str, storage: StoragePath, timeout: float, clock: Clock) -> None:
        self._channel = channel
        self._storage = storage
        self._timeout = timeout
        self.busy_timeout = round(timeout * 1000)
        self._clock = clock
        self.lock = FileLock(storage.side.file("gate"), timeout)
        self.idle = _IdleConnections(str(storage.path))
        self.checkouts: dict[int, Checkout] = {}
        self._closed = False
        self._writes = 0
        self._log = storage.path.with_name(f"{storage.path.name}-wal")
        forget_in_children(self)
        release_before_forks(self)
        # A channel need not be closed; the connections of a collected one are closed here.
        weakref.finalize(self, self.idle.close)

    def reading(self) -> Checkout:
        """Check out a connection for one statement that reads."""
        return Checkout(self, "NORMAL", None)

    def writing(self, level: Level, timeout: float | None = None) -> Checkout:
        """Check out a connection, under the file lock, for one statement that writes."""
        return Checkout(self, level, self.lock, timeout)

    def transaction(self, level: Level, timeout: float | None = None) -> Checkout:
        """Check out a connection, under the file lock, for a transaction: all of it or nothing."""
        return Checkout(self, level, self.lock, timeout, in_transaction=True)

    def clean_up(self) -> None:
        """End the checkout that this thread still has after a signal interrupted it."""
        checkout = self.checkouts.get(threading.get_ident())
        if checkout is not None:
            checkout.end()

    def close(self) -> None:
        """Close all connections; one that is checked out is closed when it is returned."""
        self._closed = True
        self.idle.close()
        self.lock.close()

    def release_for_fork(self) -> None:
        """Close the connections that are not in use."""
        self.idle.close()

    def forget(self) -> None:
        """Keep untouched, in a forked child, the connections that the parent could not close."""
        for idle in self.idle.at.values():
            _abandoned.extend(idle)
            idle.clear()
        self.checkouts = {}

    def take(self, level: Level) -> sqlite3.Connection:
        """Return a connection that no other thread has; the caller has called `begin_work`."""
        if self._closed:
            raise ChannelClosed(self._channel)
        files = self.idle.files
        if not files.are_current():
            raise StorageReplaced(self._channel, files.path)
        try:
            idle = self.idle.at[level].pop()
        except IndexError:
            idle = None
        if idle is not None:
            return idle
        connection = self._connect(level)
        files.opened(connection)
        if files.are_current():  # compared with the files of other handles of this process
            return connection
        _never_close(connection)
        raise StorageReplaced(self._channel, files.path)

    def check_log(self, writes: bool) -> None:
        """Check, after a statement, that it was not lost with a deleted log."""
        files = self.idle.files
        if not files.used() or (writes and not files.are_current()):
            raise StorageReplaced(self._channel, files.path)

    def give_back(self, level: Level, connection: sqlite3.Connection) -> None:
        """Keep a connection that was in use, unless the handle is closed.

        After a burst the others are closed once none is in use: SQLite then closes all its files.
        As long as one connection is open, it keeps the files of those that were closed.
        """
        idle = self.idle.at[level]
        idle.append(connection)
        if len(idle) == 1 and not (self._closed or self.idle.disposed):  # as after most operations
            return
        self.idle.close_surplus(level)
        if self._closed:
            self.idle.close()
        if self.idle.disposed >= _MOST_IDLE and len(self.checkouts) <= 1:
            self.idle.close()
            self.idle.disposed = 0

    def checkpoint_large_log(self, connection: sqlite3.Connection) -> None:
        """Checkpoint a log that has grown; it may fail, since commits are safe without it."""
        if self._writes % _CHECK_EVERY == 0 and self._log.stat().st_size > _LARGE_LOG:
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._writes += 1

    def _connect(self, level: Level) -> sqlite3.Connection:
        self.idle.files.refuse_planted()
        connection = sqlite3.connect(
            self._storage.path, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute(f"PRAGMA journal_size_limit={_SMALL_LOG}").fetchone()
            connection.execute(f"PRAGMA synchronous={level}")
            read = readings(self._clock)
            connection.create_function("boot_nanos", 0, read.boot)
            connection.create_function("wall_nanos", 0, read.wall)
            connection.create_function("epoch", 0, read.epoch)
        except BaseException:
            connection.close()
            raise
        return connection
