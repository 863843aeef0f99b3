"""SQLite connections of one handle: pooled, one user at a time, never carried across a fork.

Every SQLite before 3.51.3 can corrupt a database in WAL mode when a checkpoint races with another
and with a writer that starts the log anew (sqlite.org/wal.html, "The WAL-Reset Bug"). So no
connection checkpoints on its own: one does, now and then, behind the gate that all our writers
pass. The gate also spares them the busy handler, whose sleeps grow to 100 ms and let some writers
starve.

A child process that opens a database which its parent had open when it forked takes over, within
SQLite, locks that it does not have (sqlite.org/howtocorrupt.html, 2.6). So all connections are
closed before a fork, and none is lent meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Literal

from ojobchannels.backends.local.file_lock import Gate
from ojobchannels.backends.local.paths import Place
from ojobchannels.errors import ChannelClosed, ChannelError, ChannelUnavailable
from ojobchannels.host.clock import Clock, readings
from ojobchannels.host.forks import (
    begin_work,
    end_work,
    forget_in_children,
    let_go_before_forks,
)

Level = Literal["FULL", "NORMAL"]
_LOOK_EVERY = 64
_LARGE_LOG = 4_000_000
_SMALL_LOG = 1_000_000
_abandoned: list[sqlite3.Connection] = []


class StorageReplaced(ChannelUnavailable):
    """The database was deleted, moved or replaced under an open handle."""

    def __init__(self, channel: str, path: str) -> None:
        super().__init__(
            channel,
            f"{path} was deleted, moved or replaced while it was open here",
            "put it back, or close the channel and open it again to work with what is there now",
        )


class Loan:
    """A connection in the hands of one thread; ``with`` gives it out and takes it back.

    A signal handler may raise at the very door of ``with``, so that neither its entry nor its end
    comes about: the loan is known by its thread before anything is taken, and may be ended twice.
    After an exception from elsewhere, whose traceback may hold a cursor, its connection is closed.
    """

    __slots__ = (
        "_connection",
        "_gate",
        "_in_transaction",
        "_is_sound",
        "_lender",
        "_level",
        "_timeout",
    )

    def __init__(
        self,
        lender: Connections,
        level: Level,
        gate: Gate | None,
        timeout: float | None = None,
        in_transaction: bool = False,
    ) -> None:
        self._lender = lender
        self._level = level
        self._gate = gate
        self._timeout = timeout
        self._in_transaction = in_transaction
        self._connection: sqlite3.Connection | None = None
        self._is_sound = False

    def __enter__(self) -> sqlite3.Connection:
        self._lender.loans[threading.get_ident()] = self
        try:
            return self._begin()
        except BaseException:  # there is nobody else to end it where the error is caught
            self.end()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        connection = self._connection
        if kind is None and connection is not None:
            if self._in_transaction:
                connection.execute("COMMIT")
            if self._gate is not None:
                self._lender.fold_in_log(connection)
        self._is_sound = kind is None or issubclass(kind, ChannelError | sqlite3.Error)
        self.end()

    def _begin(self) -> sqlite3.Connection:
        if self._gate is not None:
            self._gate.enter(self._timeout)
        begin_work(self)
        connection = self._connection = self._lender.take(self._level)
        if self._timeout is not None:
            connection.execute(f"PRAGMA busy_timeout={max(round(self._timeout * 1000), 1)}")
        if self._in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        return connection

    def end(self) -> None:
        """Rolls back what was not committed, and gives all back."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                if connection.in_transaction:
                    _roll_back(connection)
                if not self._is_sound:
                    self._lender.idle.dispose(connection)
                    return
                if self._timeout is not None:
                    connection.execute(f"PRAGMA busy_timeout={self._lender.patience}")
                self._lender.idle.at[self._level].append(connection)
                self._lender.let_go_if_closed()
        finally:
            end_work(self)
            if self._gate is not None:
                self._gate.leave()
            self._lender.loans.pop(threading.get_ident(), None)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  twice as fast
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _never_close(connection: sqlite3.Connection) -> None:
    """Keeps open, to the end of the process, what belongs to a database that is not there any more.

    In closing it SQLite would delete the log at its path, be it the log of another database by now.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise


class _Idle:
    """The connections of a handle that nobody has in hand."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.identity: tuple[int, int] | None = None
        self.at: dict[Level, deque[sqlite3.Connection]] = {"FULL": deque(), "NORMAL": deque()}

    def is_current(self) -> bool:
        """Tells whether the path leads to what was opened, so that others find what is written."""
        if self.identity is None:
            return True
        try:
            status = os.stat(self.path)  # noqa: PTH116  twice as fast; every operation asks
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self.identity

    def close(self) -> None:
        """Closes all of them."""
        for idle in self.at.values():
            while idle:
                self.dispose(idle.popleft())

    def dispose(self, connection: sqlite3.Connection) -> None:
        """Closes a connection."""
        if self.is_current():
            connection.close()
        else:
            _never_close(connection)


class Connections:
    """Lends connections; `level` is how far a commit is flushed (PRAGMA synchronous)."""

    def __init__(self, channel: str, place: Place, timeout: float, clock: Clock) -> None:
        self._channel = channel
        self._place = place
        self._timeout = timeout
        self.patience = round(timeout * 1000)
        self._clock = clock
        self.gate = Gate(place.side / "gate", place.mode, timeout)
        self.idle = _Idle(str(place.path))
        self.loans: dict[int, Loan] = {}
        self._closed = False
        self._writes = 0
        self._log = place.path.with_name(f"{place.path.name}-wal")
        forget_in_children(self)
        let_go_before_forks(self)
        # Nobody has to close a channel; SQLite is told of its end all the same.
        weakref.finalize(self, self.idle.close)

    def reading(self) -> Loan:
        """Lends a connection for one statement that reads."""
        return Loan(self, "NORMAL", None)

    def writing(self, level: Level, timeout: float | None = None) -> Loan:
        """Lends a connection, behind the gate, for one statement that writes."""
        return Loan(self, level, self.gate, timeout)

    def transaction(self, level: Level, timeout: float | None = None) -> Loan:
        """Lends a connection, behind the gate, for a transaction: all of it or nothing."""
        return Loan(self, level, self.gate, timeout, in_transaction=True)

    def give_back(self) -> None:
        """Ends the loan of this thread, if a signal kept it from doing so itself."""
        loan = self.loans.get(threading.get_ident())
        if loan is not None:
            loan.end()

    def close(self) -> None:
        """Closes all; a connection that is lent is closed when it comes back."""
        self._closed = True
        self.let_go()
        self.gate.close()

    def let_go(self) -> None:
        """Closes those that are not lent."""
        self.idle.close()

    def forget(self) -> None:
        """Leaves alone, in a forked child, what the parent could not close in time."""
        for idle in self.idle.at.values():
            _abandoned.extend(idle)
            idle.clear()
        self.loans = {}

    def take(self, level: Level) -> sqlite3.Connection:
        """Returns a connection that nobody else has; the caller has begun its work."""
        if self._closed:
            raise ChannelClosed(self._channel)
        if not self.idle.is_current():
            raise StorageReplaced(self._channel, self.idle.path)
        try:
            return self.idle.at[level].pop()
        except IndexError:
            connection = self._connect(level)
        self.idle.identity = self.idle.identity or _identity(self.idle.path)
        return connection

    def let_go_if_closed(self) -> None:
        """Closes what came back too late; the caller's work is not over yet."""
        if self._closed:
            self.let_go()

    def fold_in_log(self, connection: sqlite3.Connection) -> None:
        """Checkpoints a log that has grown; what was written is safe without it, so it may fail."""
        if self._writes % _LOOK_EVERY == 0 and self._log.stat().st_size > _LARGE_LOG:
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._writes += 1

    def _connect(self, level: Level) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._place.path,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
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
