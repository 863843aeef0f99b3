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

import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from ojobchannels.errors import ChannelClosed
from ojobchannels.host.clock import Clock
from ojobchannels.host.forks import (
    begin_work,
    end_work,
    forget_in_children,
    let_go_before_forks,
)
from ojobchannels.host.gate import Gate
from ojobchannels.host.storage import Place

Level = Literal["FULL", "NORMAL"]
_LOOK_EVERY = 64
_LARGE_LOG = 4_000_000
_SMALL_LOG = 1_000_000
_abandoned: list[sqlite3.Connection] = []


class Connections:
    """Lends connections; `level` is how far a commit is flushed (PRAGMA synchronous)."""

    def __init__(self, channel: str, place: Place, timeout: float, clock: Clock) -> None:
        self._channel = channel
        self._place = place
        self._timeout = timeout
        self._clock = clock
        self._gate = Gate(place.side / "gate", place.mode, timeout)
        self._idle: dict[Level, deque[sqlite3.Connection]] = {"FULL": deque(), "NORMAL": deque()}
        self._closed = False
        self._writes = 0
        self._log = place.path.with_name(f"{place.path.name}-wal")
        forget_in_children(self)
        let_go_before_forks(self)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lends a connection for one statement that reads."""
        connection = self._take("NORMAL")
        try:
            yield connection
        finally:
            self._give_back("NORMAL", connection)

    @contextmanager
    def writing(self, level: Level, timeout: float | None = None) -> Iterator[sqlite3.Connection]:
        """Lends a connection, behind the gate, for one statement that writes."""
        self._gate.enter(timeout)
        try:
            connection = self._take(level)
            try:
                yield connection
                self._fold_in_log(connection)
            finally:
                self._give_back(level, connection)
        finally:
            self._gate.leave()

    @contextmanager
    def transaction(
        self, level: Level, timeout: float | None = None
    ) -> Iterator[sqlite3.Connection]:
        """Lends a connection, behind the gate, for a transaction: all of it or nothing."""
        with self.writing(level, timeout) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Closes all; a connection that is lent is closed when it comes back."""
        self._closed = True
        self.let_go()
        self._gate.close()

    def let_go(self) -> None:
        """Closes those that are not lent."""
        for idle in self._idle.values():
            while idle:
                idle.popleft().close()

    def forget(self) -> None:
        """Leaves alone, in a forked child, what the parent could not close in time."""
        for idle in self._idle.values():
            _abandoned.extend(idle)
            idle.clear()

    def _take(self, level: Level) -> sqlite3.Connection:
        begin_work()
        try:
            if self._closed:
                raise ChannelClosed(self._channel)
            idle = self._idle[level]
            return idle.pop() if idle else self._connect(level)
        except BaseException:
            end_work()
            raise

    def _give_back(self, level: Level, connection: sqlite3.Connection) -> None:
        try:
            self._idle[level].append(connection)
            if self._closed:
                self.let_go()
        finally:
            end_work()

    def _fold_in_log(self, connection: sqlite3.Connection) -> None:
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
            connection.create_function("boot_time", 0, self._clock.now)
            connection.create_function("wall_time", 0, self._clock.wall)
            connection.create_function("epoch", 0, lambda: self._clock.epoch)
        except BaseException:
            connection.close()
            raise
        return connection
