"""SQLite connections of one handle: pooled, one user at a time, never carried across a fork.

Every SQLite before 3.51.3 can corrupt a database in WAL mode when a checkpoint races with another
and with a writer that starts the log anew (sqlite.org/wal.html, "The WAL-Reset Bug"). So no
connection checkpoints on its own: one does, now and then, behind the gate that all our writers
pass. The gate also spares them the busy handler, whose sleeps grow to 100 ms and let some writers
starve.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from ojobchannels.errors import ChannelClosed
from ojobchannels.host.clock import Clock
from ojobchannels.host.forks import forget_in_children
from ojobchannels.host.gate import Gate
from ojobchannels.host.storage import Place

Level = Literal["FULL", "NORMAL"]
_CHECKPOINT_EVERY = 500
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
        forget_in_children(self)

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
        connection = self._take(level)
        try:
            self._gate.enter(timeout)
            try:
                yield connection
                self._writes += 1
                if self._writes % _CHECKPOINT_EVERY == 0:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            finally:
                self._gate.leave()
        finally:
            self._give_back(level, connection)

    @contextmanager
    def transaction(
        self, level: Level, timeout: float | None = None
    ) -> Iterator[sqlite3.Connection]:
        """Lends a connection, behind the gate, for a transaction: all of it or nothing."""
        with self.writing(level, timeout) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Closes all; a connection that is lent is closed when it comes back."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                idle.popleft().close()
        self._gate.close()

    def forget(self) -> None:
        """Leaves the parent's connections alone in a forked child: closing them there does harm."""
        for idle in self._idle.values():
            _abandoned.extend(idle)
            idle.clear()

    def _take(self, level: Level) -> sqlite3.Connection:
        if self._closed:
            raise ChannelClosed(self._channel)
        try:
            return self._idle[level].pop()
        except IndexError:
            return self._connect(level)

    def _give_back(self, level: Level, connection: sqlite3.Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle[level].append(connection)

    def _connect(self, level: Level) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._place.path,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute(f"PRAGMA synchronous={level}")
            connection.create_function("boot_time", 0, self._clock.now)
            connection.create_function("wall_time", 0, self._clock.wall)
            connection.create_function("epoch", 0, lambda: self._clock.epoch)
        except BaseException:
            connection.close()
            raise
        return connection
