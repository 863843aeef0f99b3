"""`db`: documents and locks in a SQLite database, for many processes of one host."""

import json
import sqlite3
from itertools import islice
from typing import Any, Literal

from ojobchannels.backends import lock_record
from ojobchannels.backends.db import statements
from ojobchannels.backends.db.connections import Checkout, Connections
from ojobchannels.backends.db.counts import EntryCounts
from ojobchannels.backends.db.errors import explain, lacks_descriptors, restore
from ojobchannels.backends.db.indexes import FieldIndexes
from ojobchannels.backends.db.open_files import StorageReplaced
from ojobchannels.backends.local import paths
from ojobchannels.backends.local.base import LocalBackend, hook_operation, operation
from ojobchannels.backends.local.paths import StoragePath
from ojobchannels.backends.local.waiters import number_of, waiter_of
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.documents import (
    Document,
    Item,
    Key,
    decode,
    decode_all,
    encode,
    is_below,
    page_of,
    values_of,
)
from ojobchannels.errors import ChannelClosed, ChannelDamaged, ChannelError, StaleFence
from ojobchannels.hookspecs import ABSENT, MISSING, Busy, Compared, Granted, LeaseRequest, fits
from ojobchannels.host.clock import Clock


def open_backend(
    channel: str, file: str, durable: bool, timeout: float, clock: Clock
) -> "DatabaseBackend":
    """Open the database, or create it.

    Raises:
        ChannelDamaged: The file is not a database, or belongs to another program or a later
            version.
        ChannelUnavailable: The database cannot be opened or written.
    """
    storage = paths.prepare(channel, paths.locate(file), create=True)
    backend = DatabaseBackend(channel, storage, durable, timeout, clock)
    try:
        backend.prepare()
    except BaseException:
        backend.close()
        raise
    return backend


class DatabaseBackend(LocalBackend):
    """One handle on the database.

    Document writes are flushed to the disk at commit; lock rows are not, because a power cut ends
    their holders as well, and fences follow the wall clock.
    """

    def __init__(
        self, channel: str, storage: StoragePath, durable: bool, timeout: float, clock: Clock
    ) -> None:
        super().__init__(channel, storage, clock, timeout)
        self._connections = Connections(channel, storage, timeout, clock)
        self._indexes = FieldIndexes(channel)
        self._counts = EntryCounts(self._connections)
        self._level: Literal["FULL", "NORMAL"] = "FULL" if durable else "NORMAL"

    @operation
    def prepare(self) -> None:
        """Check the database, create its tables, and delete locks and marks that are a day old."""
        with self._connections.writing("NORMAL") as connection:
            mismatch = statements.prepare(connection)
            if mismatch:
                raise ChannelDamaged(self.channel, str(self.storage.path), *mismatch)
            connection.execute(statements.SWEEP_LOCKS)
            if connection.execute(statements.SWEEP_IS_DUE).fetchone()[0]:
                connection.execute(statements.SWEEP_MARKS)
                connection.execute(statements.NOTE_SWEEP)

    @hook_operation
    def get(self, key: Key) -> Document:
        with self._connections.reading() as connection:
            row = connection.execute(statements.GET, (self.channel, str(key))).fetchone()
        return MISSING if row is None else decode(row[0])

    @hook_operation
    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        with self._changing(fence) as connection:
            self._mark(connection, key, fence)
            connection.execute(statements.PUT, self._row(key, value))
        return True

    @hook_operation
    def unset(self, key: Key, fence: int | None) -> bool:
        with self._changing(fence) as connection:
            self._mark(connection, key, fence)
            return connection.execute(statements.UNSET, self._keyed(key)).rowcount > 0

    @hook_operation
    def get_all(self, match: Document) -> list[Document]:
        with self._connections.reading() as connection:
            rows = connection.execute(statements.VALUES_IN_ORDER, self._mine).fetchall()
        return values_of((row[0] for row in rows), match)

    @hook_operation
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        statement = statements.NEWEST_FIRST if newest_first else statements.OLDEST_FIRST
        start = after if after is not None else (2**63 - 1 if newest_first else 0)
        parameters = {**self._mine, "after": start}
        by_field = self._indexes.statement(match, newest_first)
        if by_field is not None:
            statement, parameters["field"] = by_field
        with self._connections.reading() as connection:
            rows = connection.execute(statement, parameters)
            try:
                return page_of(rows, match, limit)
            finally:
                rows.close()

    @hook_operation
    def index(self, fields: tuple[str, ...]) -> bool:
        if not self._indexes.prepare(self._connections, fields):
            return False
        self._indexes.fields = tuple(dict.fromkeys((*fields, *self._indexes.fields)))
        return True

    @hook_operation
    def below(self, field: str, bound: int, limit: int) -> list[Item] | None:
        if not self._indexes.prepare(self._connections, (field,)):
            return None
        with self._connections.reading() as connection:
            rows = connection.execute(self._indexes.below(field), {"bound": bound})
            try:
                items = iter(lambda: page_of(rows, None, 1), [])
                return [*islice((i for (i,) in items if is_below(i[1], field, bound)), limit)]
            finally:
                rows.close()

    @hook_operation
    def get_keys(self) -> list[Document]:
        with self._connections.reading() as connection:
            rows = connection.execute(statements.KEYS_IN_ORDER, self._mine).fetchall()
        return decode_all(row[0] for row in rows)

    @hook_operation
    def size(self) -> int:
        return self._counts.size(self.channel)

    @hook_operation
    def size_until(self, position: int) -> int:
        return self._counts.size_until(self.channel, position)

    @hook_operation
    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        rows = [self._row(key, value) for key, value in items]
        with self._connections.transaction(self._level) as connection:
            connection.executemany(statements.PUT, rows)
        return True

    @hook_operation
    def unset_all(self, keys: list[Key]) -> int:
        with self._connections.transaction(self._level) as connection:
            return sum(
                connection.execute(statements.UNSET, self._keyed(key)).rowcount for key in keys
            )

    @hook_operation
    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        if match is ABSENT and fence is None:  # one statement stores, where others take four
            with self._connections.writing(self._level) as connection:
                if connection.execute(statements.ADD, self._row(key, value)).rowcount:
                    return Compared(True, MISSING)
        with self._connections.transaction(self._level) as connection:
            row = connection.execute(statements.GET, (self.channel, str(key))).fetchone()
            present = MISSING if row is None else decode(row[0])
            if not fits(match, present):
                return Compared(False, present)
            self._mark(connection, key, fence)
            connection.execute(statements.PUT, self._row(key, value))
        return Compared(True, present)

    @hook_operation
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        parameters = {
            **self._named(name, token),
            "ttl": ttl * 1000,
            "alive": self.liveness.offset(),
            "holder": encode(holder),
            "dead": None,
            "dead_alive": None,
            "dead_until": None,
            "waiter": number_of(token),
        }
        while True:
            parameters["now"] = lock_record.now()
            with self._connections.writing("NORMAL") as connection:
                row = connection.execute(statements.LOCK, parameters).fetchone()
            if row is not None:
                self.waiters.withdraw(token)
                fence, previous, previous_fence = row
                if previous is None:
                    return Granted(fence, None)
                return Granted(fence, {**decode(previous), "fence": previous_fence})
            record = self._read_lock(name)
            left = self.left(record)
            reserved = lock_record.reserved_for_other(record, parameters["waiter"])
            if reserved:
                return lock_record.busy_reserved(record, reserved)
            if not left:
                parameters |= {
                    "dead": record.token or None,
                    "dead_alive": record.alive,
                    "dead_until": record.until,
                }
            elif record.token == token:
                return Granted(record.fence, None)
            else:
                return lock_record.busy(record, left)

    @hook_operation
    def extend(self, name: str, token: str, ttl: int) -> bool:
        return self._extend_all([LeaseRequest(name, token, ttl)], None)[0]

    @hook_operation
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool | None]:
        return [*self._extend_all(leases, timeout / 1000)]

    @hook_operation
    def destroy(self) -> bool:
        with self._connections.writing(self._level) as connection:
            connection.execute(statements.DESTROY, self._mine)
        return True

    def give_back(self) -> None:
        """Close the connections that are not in use, and the folder of waiters."""
        self._connections.release_for_fork()
        self.waiters.give_back()

    def lacks_descriptors(self, error: Exception) -> bool:
        """Return whether an operation failed because no file can be opened any more."""
        return super().lacks_descriptors(error) or lacks_descriptors(error)

    def clean_up(self) -> None:
        """Return the connection that the current operation of this thread still holds."""
        self._connections.clean_up()

    def translate(self, error: Exception) -> ChannelError | None:
        """Return our error for an error of SQLite or of the system."""
        if isinstance(error, json.JSONDecodeError):
            path, reason = self.storage.path, f"{error.doc!r} is not a JSON document"
            advice = f"repair it with the sqlite3 shell; or, {restore(path)}"
            return ChannelDamaged(self.channel, str(path), reason, advice)
        if not isinstance(error, sqlite3.Error):
            return super().translate(error)
        if self.closed:
            return ChannelClosed(self.channel)
        return explain(self.channel, self.storage.path, self.timeout, error)

    @property
    def _mine(self) -> dict[str, Any]:
        return {"channel": self.channel}

    def _keyed(self, key: Key) -> dict[str, Any]:
        return {"channel": self.channel, "key": str(key)}

    def _named(self, name: str, token: str = "") -> dict[str, Any]:
        return {"channel": self.channel, "name": name, "token": token}

    def _row(self, key: Key, value: Document) -> dict[str, Any]:
        return {**self._keyed(key), "written_key": key.written(), "value": encode(value)}

    def _changing(self, fence: int | None) -> Checkout:
        """Check out a connection for a change, in a transaction if its fence is stored with it."""
        if fence is None:
            return self._connections.writing(self._level)
        return self._connections.transaction(self._level)

    def _mark(self, connection: sqlite3.Connection, key: Key, fence: int | None) -> None:
        if fence is None:
            return
        if (
            connection.execute(statements.MARK, {**self._keyed(key), "fence": fence}).fetchone()
            is None
        ):
            mark = connection.execute(statements.READ_MARK, self._keyed(key)).fetchone()[0]
            raise StaleFence(self.channel, key.document, fence, mark)

    def _take(self, newest_first: bool) -> Document:
        end = "max" if newest_first else "min"
        with self._connections.transaction(self._level) as connection:
            rows = connection.execute(statements.TAKE.format(end=end), self._mine).fetchall()
            return decode(rows[0][0]) if rows else MISSING

    def _free(self, name: str, token: str) -> bool:
        try:
            return self._unlock_row(name, token)
        except StorageReplaced:
            return False

    def _unlock_row(self, name: str, token: str) -> bool:
        parameters = {**self._named(name, token), "waiter": number_of(token)}
        with self._connections.writing("NORMAL") as connection:
            fifo = self.waiters.wake_next(name)  # it waits for the file lock until we release it
            parameters["woken"] = waiter_of(fifo)
            parameters["reserved_until"] = lock_record.reserved_until() if fifo else 0
            held = self._if_held(connection, statements.UNLOCK, parameters) is not None
            freed = held or connection.execute(statements.WAKE_NEXT, parameters).rowcount > 0
        if freed and not fifo:
            fifo = self.waiters.wake_next(name)  # a waiter that came meanwhile saw the lock held
        self.waiters.remove(name, fifo)
        return held

    def _force_free(self, name: str) -> tuple[LockRecord, int]:
        with self._connections.transaction("NORMAL") as connection:
            record = self._read_row(connection, name)
            left = self.left(record)
            if left:
                connection.execute(statements.FORCE_UNLOCK, self._named(name))
            return record, left

    def _extend_all(self, leases: list[LeaseRequest], timeout: float | None) -> list[bool]:
        """Extend leases; a lease whose record was deleted with the database is lost."""
        try:
            with self._connections.transaction("NORMAL", timeout) as connection:
                return [self._extend(connection, *lease) for lease in leases]
        except StorageReplaced:
            return [False] * len(leases)

    def _extend(self, connection: sqlite3.Connection, name: str, token: str, ttl: int) -> bool:
        parameters = {**self._named(name, token), "ttl": ttl * 1000}
        return self._if_held(connection, statements.EXTEND, parameters) is not None

    def _adopt(
        self, name: str, token: str, alive: int, holder: dict[str, Any] | None
    ) -> LockRecord | None:
        info = None if holder is None else encode(holder)
        parameters = {**self._named(name, token), "alive": alive, "holder": info}
        with self._connections.writing("NORMAL") as connection:
            row = self._if_held(connection, statements.ADOPT, parameters)
        return None if row is None else _record(row)

    def _if_held(
        self, connection: sqlite3.Connection, statement: str, parameters: dict[str, Any]
    ) -> tuple[Any, ...] | None:
        """Change the lock if the token holds it, and return its row.

        The statement knows the liveness bytes of this handle only. If the lease belongs to another
        handle, it is executed again once that handle's process is known to be alive.
        """
        token = parameters["token"]
        mine, seen = self.liveness.offset(), self.shared_offset(token)
        parameters |= {"mine": mine, "seen": seen, "seen_until": None}
        row: tuple[Any, ...] | None = connection.execute(statement, parameters).fetchone()
        if row is None:
            record = self._read_row(connection, parameters["name"])
            if self.holds(record, token):
                parameters |= {"seen": record.alive, "seen_until": record.until}
                row = connection.execute(statement, parameters).fetchone()
        return row

    @operation
    def _version(self) -> object:
        with self._connections.reading() as connection:
            by_others = connection.execute("PRAGMA data_version").fetchone()[0]
            return connection, by_others, connection.total_changes

    def _close_storage(self) -> None:
        self._connections.close()

    def _lock_names(self) -> list[str]:
        with self._connections.reading() as connection:
            rows = connection.execute(statements.HELD_LOCKS, self._mine).fetchall()
        return [row[0] for row in rows]

    def _read_lock(self, name: str) -> LockRecord:
        with self._connections.reading() as connection:
            return self._read_row(connection, name)

    def _read_row(self, connection: sqlite3.Connection, name: str) -> LockRecord:
        row = connection.execute(statements.READ_LOCK, self._named(name)).fetchone()
        return LockRecord() if row is None else _record(row)


def _record(row: tuple[Any, ...]) -> LockRecord:
    *head, holder = row
    return LockRecord._make((*head, decode(holder)))
