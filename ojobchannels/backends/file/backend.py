"""`file`: documents in one JSON file that people can read and mend, locks in files beside it.

The file holds one TinyDB table per channel. An entry is ``{"key": …, "value": …}``, with
``"fence"`` where one was written, and without ``"value"`` where only the fence's mark is left.
Entries stand in the order of their last change; their numbers grow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from ojobchannels.backends import lock_record
from ojobchannels.backends.file.lock_files import LockFile, LockFiles
from ojobchannels.backends.file.storage import JsonFile
from ojobchannels.backends.file.table import Table, copy
from ojobchannels.backends.local import paths
from ojobchannels.backends.local.base import LOOK_FOR_CHANGES, OneHost, operation, translated
from ojobchannels.backends.local.file_lock import Gate
from ojobchannels.backends.local.paths import Place
from ojobchannels.backends.local.waiters import number_of, take_away, waiter_at
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.changes import Versions
from ojobchannels.documents import (
    Document,
    Item,
    Key,
    check_key,
    matches,
)
from ojobchannels.errors import ChannelDamaged, ChannelUnavailable
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

_PATIENCE = 0.05


def open_backend(channel: str, file: str, timeout: float, clock: Clock) -> FileBackend:
    """Opens the file, or begins a new one; what is there is read and checked.

    Raises:
        ChannelDamaged: It is not JSON of the kind that this backend writes.
        ChannelUnavailable: It cannot be read or replaced by this user.
    """
    path = paths.locate(file)
    if path.exists():
        _check_owner(channel, path)
    place = paths.prepare(channel, path)
    try:
        backend = FileBackend(channel, place, clock, timeout)
    except OSError as error:
        raise paths.explain(channel, place.path, error) from error
    try:
        backend.size()
    except BaseException:
        backend.close()
        raise
    return backend


class FileBackend(OneHost):
    """One handle on the file."""

    def __init__(self, channel: str, place: Place, clock: Clock, timeout: float) -> None:
        super().__init__(channel, place, clock, timeout)
        self._gate = Gate(place.side / "gate", place.mode, timeout)
        self._file = JsonFile(channel, place, self._gate)
        self._table = Table(channel, self._file)
        self._lock_files = LockFiles(channel, place.side / "locks", place.mode, timeout)

    @hookimpl
    @operation
    def get(self, key: Key) -> Document:
        with self._table.reading:
            return copy(self._table.value(key))

    @hookimpl
    @operation
    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        with self._table.writing:
            self._table.put(key, value, self._table.mark(key, fence))
        return True

    @hookimpl
    @operation
    def unset(self, key: Key, fence: int | None) -> bool:
        with self._table.writing:
            return self._table.remove(key, self._table.mark(key, fence))

    @hookimpl
    @operation
    def get_all(self, match: Document) -> list[Document]:
        with self._table.reading:
            values = [row["value"] for row in self._table.rows()]
            if match is not None:
                values = [value for value in values if matches(match, value)]
            copies: list[Document] = copy(values)
            return copies

    @hookimpl
    @operation
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        with self._table.reading:
            rows = self._table.rows(newest_first, after)
            found = (row for row in rows if match is None or matches(match, row["value"]))
            page = list(islice(found, limit))
            keys, values = copy([row["key"] for row in page]), copy([row["value"] for row in page])
        return list(map(Item, keys, values, (row.doc_id for row in page)))

    @hookimpl
    @operation
    def get_keys(self) -> list[Document]:
        with self._table.reading:
            keys: list[Document] = copy([row["key"] for row in self._table.rows()])
            return keys

    @hookimpl
    @operation
    def size(self) -> int:
        with self._table.reading:
            return self._table.size()

    @hookimpl
    @operation
    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        latest: dict[Key, Document] = {}
        for key, value in items:
            latest.pop(key, None)
            latest[key] = value
        with self._table.writing:
            self._table.put_all(
                [(key, value, self._table.mark(key, None)) for key, value in latest.items()]
            )
        return True

    @hookimpl
    @operation
    def unset_all(self, keys: list[Key]) -> int:
        with self._table.writing:
            return self._table.remove_all(keys)

    @hookimpl
    @operation
    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        with self._table.writing:
            present = self._table.value(key)
            if (present is MISSING) != (match is ABSENT):
                return Compared(False, copy(present))
            if match is not ABSENT and not matches(match, present):
                return Compared(False, copy(present))
            self._table.put(key, value, self._table.mark(key, fence))
            return Compared(True, copy(present))

    @hookimpl
    @operation
    def pop(self) -> Document:
        return self._take(newest_first=True)

    @hookimpl
    @operation
    def shift(self) -> Document:
        return self._take(newest_first=False)

    @hookimpl
    @operation
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        alive, told = self.liveness.offset(), lock_record.own(holder)
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            left = self.left(record)
            if left:
                if record.token == token:
                    return Granted(record.fence, None)
                return lock_record.busy(record, left)
            kept = lock_record.kept_from(record, number_of(token))
            if kept:
                return lock_record.busy_with_calling(record, kept)
            taken, grant = lock_record.granted(record, token, ttl * 1000, told, self.clock, alive)
            lock_file.write(taken)
        self.room.leave(token)
        return grant

    @hookimpl
    @operation
    def unlock(self, name: str, token: str) -> bool:
        try:
            return self._free(name, token)
        finally:
            self.room.leave(token)
            self.end_branch(token)

    @hookimpl
    @operation
    def extend(self, name: str, token: str, ttl: int) -> bool:
        with self._lock_files.of(name) as lock_file:
            return self._extend(lock_file, token, ttl)

    @hookimpl
    @operation
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool | None]:
        answers = [self._try_to_extend(lease, 0) for lease in leases]
        ends = time.monotonic() + min(timeout / 1000, _PATIENCE)
        return [
            self._try_to_extend(lease, ends - time.monotonic()) if answer is None else answer
            for lease, answer in zip(leases, answers, strict=True)
        ]

    @hookimpl
    @operation
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        alive = lock_record.NOBODY if holder is None else self.liveness.offset()
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            if not self.holds(record, token):
                return False
            told = lock_record.own(holder) if holder else record.holder
            record = record._replace(alive=alive, holder=told)
            lock_file.write(record)
        self.end_branch(token)
        return lock_record.adopted(record, self.clock)

    @hookimpl
    @operation
    def share(self, name: str, token: str) -> list[int] | bool:
        descriptor, alive = self.branch(name, token, self._read_lock)
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            held = self.holds(record, token)
            if held:
                lock_file.write(record._replace(alive=alive))
        if not held:
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
        infos = (self._info(name) for name in self._lock_files.names())
        return [info for info in infos if info]

    @hookimpl
    @operation
    def force_unlock(self, name: str) -> LockInfo | None:
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            left = self.left(record)
            if not left:
                return None
            lock_file.write(lock_record.forced_open(record))
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
        self._lock_files.close()
        self._file.close()
        self._gate.close()
        return True

    @hookimpl
    @operation
    def destroy(self) -> bool:
        with self._table.writing:
            self._table.remove_all(self._table.keys())
        return True

    def give_back(self) -> None:
        """Ends what the present operation began and did not end."""
        self._table.give_back()
        self._lock_files.give_back()

    @operation
    def _look_at(self, name: str) -> LockRecord:
        return self._read_lock(name)

    @operation
    def _version(self) -> object:
        with self._table.reading:
            return self._file.seen

    def _free(self, name: str, token: str) -> bool:
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            held = self.holds(record, token)
            if not held and not lock_record.called(record, number_of(token)):
                return False
            bell = self.room.call(name)  # it comes to this gate later than we leave it
            lock_file.write(lock_record.freed(record, waiter_at(bell)))
        if bell:
            take_away(bell)
        return held

    def _info(self, name: str) -> LockInfo | None:
        record = self._read_lock(name)
        left = self.left(record)
        return lock_record.info(name, record, left, self.clock) if left else None

    def _read_lock(self, name: str) -> LockRecord:
        with self._lock_files.of(name) as lock_file:
            return lock_file.read()

    def _try_to_extend(self, lease: LeaseRequest, patience: float) -> bool | None:
        """Extends, unless somebody stays in the file, or it cannot be used or read: None then."""
        lock_file = self._lock_files.of(lease.name)
        try:
            lock_file.enter(patience)
            return self._extend(lock_file, lease.token, lease.ttl)
        except (OSError, ChannelDamaged):
            return None
        finally:
            lock_file.leave()

    def _extend(self, lock_file: LockFile, token: str, ttl: int) -> bool:
        record = lock_file.read()
        if not self.holds(record, token):
            return False
        lock_file.write(lock_record.renewed(record, ttl * 1000, self.clock))
        return True

    def _take(self, newest_first: bool) -> Document:
        with self._table.writing:
            row = next(self._table.rows(newest_first), None)
            if row is None:
                return MISSING
            self._table.remove(check_key(row["key"]), row.get("fence"))
            return copy(row["value"])


def _check_owner(channel: str, path: Path) -> None:
    try:
        owner = path.stat().st_uid
    except OSError as error:
        raise paths.explain(channel, path, error) from error
    if os.geteuid() not in (0, owner):
        raise ChannelUnavailable(
            channel,
            f"{path} belongs to user id {owner}",
            f"work as that user, or give the file to user id {os.geteuid()} with chown",
        )
