"""`db`: documents and locks in a SQLite database, for many processes of one host."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any, Literal

from ojobchannels.backends import lock_record
from ojobchannels.backends.db import statements
from ojobchannels.backends.db.connections import Connections, StorageReplaced
from ojobchannels.backends.db.errors import explain
from ojobchannels.backends.local import paths
from ojobchannels.backends.local.base import LOOK_FOR_CHANGES, OneHost, operation, translated
from ojobchannels.backends.local.paths import Place
from ojobchannels.backends.local.waiters import number_of, take_away, waiter_at
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.changes import Versions
from ojobchannels.documents import (
    Document,
    Item,
    Key,
    decode,
    decode_all,
    encode,
    matches,
    page_of,
    values_of,
)
from ojobchannels.errors import (
    ChannelClosed,
    ChannelDamaged,
    ChannelError,
    StaleFence,
)
from ojobchannels.hookspecs import (
    ABSENT,
    MISSING,
    Adopted,
    Busy,
    Compared,
    Granted,
    LeaseRequest,
    LockInfo,
    hookimpl,
)
from ojobchannels.host.clock import Clock


def open_backend(
    channel: str, file: str, durable: bool, timeout: float, clock: Clock
) -> DatabaseBackend:
    """Opens the database, or makes a new one.

    Raises:
        ChannelDamaged: It is no database, another program's, or of a later version.
        ChannelUnavailable: It cannot be opened or written.
    """
    place = paths.prepare(channel, paths.locate(file))
    backend = DatabaseBackend(channel, place, durable, timeout, clock)
    try:
        backend.prepare()
    except BaseException:
        backend.close()
        raise
    return backend


class DatabaseBackend(OneHost):
    """One handle on the database.

    Document writes are flushed to the disk at commit, lock rows are not: a power cut ends their
    holder as well, and fences follow the wall clock.
    """

    def __init__(
        self, channel: str, place: Place, durable: bool, timeout: float, clock: Clock
    ) -> None:
        super().__init__(channel, place, clock, timeout)
        self._connections = Connections(channel, place, timeout, clock)
        self._level: Literal["FULL", "NORMAL"] = "FULL" if durable else "NORMAL"

    @operation
    def prepare(self) -> None:
        """Checks the database, makes what is missing, and sweeps fences that time has overtaken."""
        with self._connections.writing("NORMAL") as connection:
            fault = statements.prepare(connection)
            if fault:
                raise ChannelDamaged(self.channel, str(self.place.path), *fault)
            connection.execute(statements.SWEEP_LOCKS)

    @hookimpl
    @operation
    def get(self, key: Key) -> Document:
        with self._connections.reading() as connection:
            row = connection.execute(statements.GET, self._keyed(key)).fetchone()
        return MISSING if row is None else decode(row[0])

    @hookimpl
    @operation
    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        if fence is None:
            with self._connections.writing(self._level) as connection:
                connection.execute(statements.PUT, self._row(key, value))
        else:
            with self._connections.transaction(self._level) as connection:
                self._mark(connection, key, fence)
                connection.execute(statements.PUT, self._row(key, value))
        return True

    @hookimpl
    @operation
    def unset(self, key: Key, fence: int | None) -> bool:
        with self._connections.transaction(self._level) as connection:
            self._mark(connection, key, fence)
            return connection.execute(statements.UNSET, self._keyed(key)).rowcount > 0

    @hookimpl
    @operation
    def get_all(self, match: Document) -> list[Document]:
        with self._connections.reading() as connection:
            rows = connection.execute(statements.VALUES_IN_ORDER, self._mine).fetchall()
        return values_of((row[0] for row in rows), match)

    @hookimpl
    @operation
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        statement = statements.NEWEST_FIRST if newest_first else statements.OLDEST_FIRST
        start = after if after is not None else (2**63 - 1 if newest_first else 0)
        with self._connections.reading() as connection:
            rows = connection.execute(statement, {**self._mine, "after": start})
            try:
                return page_of(rows, match, limit)
            finally:
                rows.close()

    @hookimpl
    @operation
    def get_keys(self) -> list[Document]:
        with self._connections.reading() as connection:
            rows = connection.execute(statements.KEYS_IN_ORDER, self._mine).fetchall()
        return decode_all(row[0] for row in rows)

    @hookimpl
    @operation
    def size(self) -> int:
        with self._connections.reading() as connection:
            count: int = connection.execute(statements.SIZE, self._mine).fetchone()[0]
        return count

    @hookimpl
    @operation
    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        rows = [self._row(key, value) for key, value in items]
        with self._connections.transaction(self._level) as connection:
            connection.executemany(statements.PUT, rows)
        return True

    @hookimpl
    @operation
    def unset_all(self, keys: list[Key]) -> int:
        with self._connections.transaction(self._level) as connection:
            return sum(
                connection.execute(statements.UNSET, self._keyed(key)).rowcount for key in keys
            )

    @hookimpl
    @operation
    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        with self._connections.transaction(self._level) as connection:
            row = connection.execute(statements.GET, self._keyed(key)).fetchone()
            present = MISSING if row is None else decode(row[0])
            if (present is MISSING) != (match is ABSENT):
                return Compared(False, present)
            if match is not ABSENT and not matches(match, present):
                return Compared(False, present)
            self._mark(connection, key, fence)
            connection.execute(statements.PUT, self._row(key, value))
        return Compared(True, present)

    @hookimpl
    @operation
    def pop(self) -> Document:
        return self._take("max")

    @hookimpl
    @operation
    def shift(self) -> Document:
        return self._take("min")

    @hookimpl
    @operation
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        asked = {
            **self._named(name, token),
            "ttl": ttl * 1000,
            "alive": self.liveness.offset(),
            "holder": encode(holder),
            "dead": None,
            "dead_alive": None,
            "waiter": number_of(token),
        }
        while True:
            asked["now"] = lock_record.now()
            with self._connections.writing("NORMAL") as connection:
                row = connection.execute(statements.LOCK, asked).fetchone()
            if row is not None:
                self.room.leave(token)
                fence, previous, previous_fence = row
                if previous is None:
                    return Granted(fence, None)
                return Granted(fence, {**decode(previous), "fence": previous_fence})
            record = self._read_lock(name)
            left = self.left(record)
            kept = lock_record.kept_from(record, asked["waiter"])
            if kept:
                return lock_record.busy_with_calling(record, kept)
            if not left:
                asked |= {"dead": record.token or None, "dead_alive": record.alive}
            elif record.token == token:
                return Granted(record.fence, None)
            else:
                return lock_record.busy(record, left)

    @hookimpl
    @operation
    def unlock(self, name: str, token: str) -> bool:
        try:
            return self._free(name, token)
        except StorageReplaced:
            return False
        finally:
            self.room.leave(token)
            self.end_branch(token)

    @hookimpl
    @operation
    def extend(self, name: str, token: str, ttl: int) -> bool:
        return self._extend_all([LeaseRequest(name, token, ttl)], None)[0]

    @hookimpl
    @operation
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool | None]:
        return [*self._extend_all(leases, timeout / 1000)]

    @hookimpl
    @operation
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        alive = lock_record.NOBODY if holder is None else self.liveness.offset()
        record = self._adopt(name, token, alive, holder)
        if record is None:
            return False
        self.end_branch(token)
        return lock_record.adopted(record, self.clock)

    @hookimpl
    @operation
    def share(self, name: str, token: str) -> list[int] | bool:
        descriptor, alive = self.branch(name, token, self._read_lock)
        if self._adopt(name, token, alive, None) is None:
            self.end_branch(token)
            return False
        return [descriptor] if alive else []

    @hookimpl
    @operation
    def lock_info(self, name: str) -> LockInfo | None:
        return self._info(name)

    @hookimpl
    @operation
    def locks(self) -> list[LockInfo]:
        with self._connections.reading() as connection:
            rows = connection.execute(statements.HELD_LOCKS, self._mine).fetchall()
        infos = (self._info(row[0]) for row in rows)
        return [info for info in infos if info]

    @hookimpl
    @operation
    def force_unlock(self, name: str) -> LockInfo | None:
        with self._connections.transaction("NORMAL") as connection:
            record = self._read_row(connection, name)
            left = self.left(record)
            if not left:
                return None
            connection.execute(statements.FORCE_UNLOCK, self._named(name))
        take_away(self.room.call(name))
        return lock_record.info(name, record, left, self.clock)

    @hookimpl
    @translated
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        self.wait_for(name, seen_fence, token, timeout, lambda: self._look_at(name))
        return True

    @hookimpl
    def subscribe(self, ring: Callable[[], None]) -> Versions:
        return Versions(self._version, LOOK_FOR_CHANGES)

    @hookimpl
    def close(self) -> bool:
        self.stop_waiting(self._free)
        self._connections.close()
        return True

    @hookimpl
    @operation
    def destroy(self) -> bool:
        with self._connections.writing(self._level) as connection:
            connection.execute(statements.DESTROY, self._mine)
        return True

    def give_back(self) -> None:
        """Ends a loan that the present operation did not end."""
        self._connections.give_back()

    def translate(self, error: Exception) -> ChannelError | None:
        """Returns the error of ours for one of SQLite's, or of the system's."""
        if isinstance(error, json.JSONDecodeError):
            advice = "mend it with the sqlite3 shell, or restore the database from a copy"
            path = str(self.place.path)
            return ChannelDamaged(self.channel, path, f"{error.doc!r} is no JSON document", advice)
        if not isinstance(error, sqlite3.Error):
            return super().translate(error)
        if self.closed:
            return ChannelClosed(self.channel)
        return explain(self.channel, self.place.path, self.timeout, error)

    @property
    def _mine(self) -> dict[str, Any]:
        return {"channel": self.channel}

    def _keyed(self, key: Key) -> dict[str, Any]:
        return {"channel": self.channel, "key": str(key)}

    def _named(self, name: str, token: str = "") -> dict[str, Any]:
        return {"channel": self.channel, "name": name, "token": token}

    def _row(self, key: Key, value: Document) -> dict[str, Any]:
        return {**self._keyed(key), "written_key": encode(key.document), "value": encode(value)}

    def _mark(self, connection: sqlite3.Connection, key: Key, fence: int | None) -> None:
        if fence is None:
            return
        if (
            connection.execute(statements.MARK, {**self._keyed(key), "fence": fence}).fetchone()
            is None
        ):
            mark = connection.execute(statements.READ_MARK, self._keyed(key)).fetchone()[0]
            raise StaleFence(self.channel, key.document, fence, mark)

    def _take(self, end: Literal["max", "min"]) -> Document:
        with self._connections.transaction(self._level) as connection:
            rows = connection.execute(statements.TAKE.format(end=end), self._mine).fetchall()
            return decode(rows[0][0]) if rows else MISSING

    def _free(self, name: str, token: str) -> bool:
        asked = {**self._named(name, token), "waiter": number_of(token)}
        with self._connections.writing("NORMAL") as connection:
            bell = self.room.call(name)  # it comes to this gate later than we leave it
            asked["called"] = waiter_at(bell)
            asked["kept_until"] = lock_record.kept_until() if bell else 0
            held = self._if_held(connection, statements.UNLOCK, asked) is not None
            freed = held or connection.execute(statements.CALL_NEXT, asked).rowcount > 0
        bell = bell or (self.room.call(name) if freed else "")  # who came meanwhile saw it held
        if bell:
            take_away(bell)
        return held

    def _extend_all(self, leases: list[LeaseRequest], timeout: float | None) -> list[bool]:
        """Extends; a lease whose record went away with the database is lost."""
        try:
            with self._connections.transaction("NORMAL", timeout) as connection:
                return [self._extend(connection, *lease) for lease in leases]
        except StorageReplaced:
            return [False] * len(leases)

    def _extend(self, connection: sqlite3.Connection, name: str, token: str, ttl: int) -> bool:
        asked = {**self._named(name, token), "ttl": ttl * 1000}
        return self._if_held(connection, statements.EXTEND, asked) is not None

    def _adopt(
        self, name: str, token: str, alive: int, holder: dict[str, Any] | None
    ) -> LockRecord | None:
        told = None if holder is None else encode(holder)
        asked = {**self._named(name, token), "alive": alive, "holder": told}
        with self._connections.writing("NORMAL") as connection:
            row = self._if_held(connection, statements.ADOPT, asked)
        return None if row is None else _record(row)

    def _if_held(
        self, connection: sqlite3.Connection, statement: str, asked: dict[str, Any]
    ) -> tuple[Any, ...] | None:
        """Changes the lock if the token holds it; of another handle's lease, if that one lives."""
        token = asked["token"]
        asked |= {"mine": self.liveness.offset(), "seen": self.branched(token)}
        row: tuple[Any, ...] | None = connection.execute(statement, asked).fetchone()
        if row is None:
            record = self._read_row(connection, asked["name"])
            if self.holds(record, token):
                asked["seen"] = record.alive
                row = connection.execute(statement, asked).fetchone()
        return row

    @operation
    def _look_at(self, name: str) -> LockRecord:
        return self._read_lock(name)

    @operation
    def _version(self) -> object:
        """Returns what differs after any commit: of others on a connection, or by itself."""
        with self._connections.reading() as connection:
            others = connection.execute("PRAGMA data_version").fetchone()[0]
            return connection, others, connection.total_changes

    def _info(self, name: str) -> LockInfo | None:
        record = self._read_lock(name)
        left = self.left(record)
        return lock_record.info(name, record, left, self.clock) if left else None

    def _read_lock(self, name: str) -> LockRecord:
        with self._connections.reading() as connection:
            return self._read_row(connection, name)

    def _read_row(self, connection: sqlite3.Connection, name: str) -> LockRecord:
        row = connection.execute(statements.READ_LOCK, self._named(name)).fetchone()
        return LockRecord() if row is None else _record(row)


def _record(row: tuple[Any, ...]) -> LockRecord:
    *head, holder = row
    return LockRecord._make((*head, decode(holder)))
