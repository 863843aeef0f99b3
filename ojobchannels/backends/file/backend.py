"""`file`: documents in one JSON file that people can read and edit, locks in files beside it.

The file contains one TinyDB table per channel. An entry is ``{"key": …, "value": …}``, with
``"fence"`` if the key has a mark, and without ``"value"`` if only the mark is left of a removed
key. Entries are in the order of their last change; their numbers grow.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from ojobchannels.backends import lock_record
from ojobchannels.backends.file.lock_files import LockFile, LockFiles
from ojobchannels.backends.file.storage import JsonFile
from ojobchannels.backends.file.table import Table, copy
from ojobchannels.backends.local import paths
from ojobchannels.backends.local.base import LocalBackend, hook_operation, operation
from ojobchannels.backends.local.file_lock import FileLock
from ojobchannels.backends.local.paths import StoragePath
from ojobchannels.backends.local.waiters import number_of, waiter_of
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.documents import Document, Item, Key, check_key, matches
from ojobchannels.errors import ChannelDamaged, ChannelError, ChannelUnavailable
from ojobchannels.hookspecs import MISSING, Busy, Compared, Granted, LeaseRequest, fits
from ojobchannels.host.clock import Clock

_RETRY_SECONDS = 0.05


def open_backend(channel: str, file: str, timeout: float, clock: Clock) -> "FileBackend":
    """Open the file, or prepare to create it; existing content is read and checked.

    Raises:
        ChannelDamaged: The file is not JSON in the format of this backend.
        ChannelUnavailable: The file cannot be read or replaced by this user.
    """
    path = paths.locate(file)
    _check_owner(channel, path)
    storage = paths.prepare(channel, path)
    try:
        backend = FileBackend(channel, storage, clock, timeout)
    except OSError as error:
        raise paths.explain(channel, storage.path, error) from error
    try:
        backend.size()
    except BaseException:
        backend.close()
        raise
    return backend


class FileBackend(LocalBackend):
    """One handle on the file."""

    def __init__(self, channel: str, storage: StoragePath, clock: Clock, timeout: float) -> None:
        super().__init__(channel, storage, clock, timeout)
        self._lock = FileLock(storage.side.file("gate"), timeout)
        self._file = JsonFile(channel, storage, self._lock)
        self._table = Table(channel, self._file)
        self._lock_files = LockFiles(channel, storage.side.folder("locks"), timeout)

    @hook_operation
    def get(self, key: Key) -> Document:
        with self._table.reading:
            return copy(self._table.value(key))

    @hook_operation
    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        with self._table.writing:
            self._table.put(key, value, self._table.mark(key, fence))
        return True

    @hook_operation
    def unset(self, key: Key, fence: int | None) -> bool:
        with self._table.writing:
            return self._table.remove(key, self._table.mark(key, fence))

    @hook_operation
    def get_all(self, match: Document) -> list[Document]:
        with self._table.reading:
            values = [row["value"] for row in self._table.rows()]
            if match is not None:
                values = [value for value in values if matches(match, value)]
            copies: list[Document] = copy(values)
            return copies

    @hook_operation
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        with self._table.reading:
            rows = self._table.rows(newest_first, after)
            matching = (row for row in rows if match is None or matches(match, row["value"]))
            page = list(islice(matching, limit))
            keys, values = copy([row["key"] for row in page]), copy([row["value"] for row in page])
        return list(map(Item, keys, values, (row.doc_id for row in page)))

    @hook_operation
    def get_keys(self) -> list[Document]:
        with self._table.reading:
            keys: list[Document] = copy([row["key"] for row in self._table.rows()])
            return keys

    @hook_operation
    def size(self) -> int:
        with self._table.reading:
            return self._table.size()

    @hook_operation
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

    @hook_operation
    def unset_all(self, keys: list[Key]) -> int:
        with self._table.writing:
            return self._table.remove_all(keys)

    @hook_operation
    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        with self._table.writing:
            present = self._table.value(key)
            if not fits(match, present):
                return Compared(False, copy(present))
            self._table.put(key, value, self._table.mark(key, fence))
            return Compared(True, copy(present))

    @hook_operation
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        alive, info = self.liveness.offset(), lock_record.copied(holder)
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            left = self.left(record)
            if left:
                if record.token == token:
                    return Granted(record.fence, None)
                return lock_record.busy(record, left)
            reserved = lock_record.reserved_for_other(record, number_of(token))
            if reserved:
                return lock_record.busy_reserved(record, reserved)
            lease, grant = lock_record.granted(record, token, ttl * 1000, info, self.clock, alive)
            lock_file.write(lease)
        self.waiters.withdraw(token)
        return grant

    @hook_operation
    def extend(self, name: str, token: str, ttl: int) -> bool:
        with self._lock_files.of(name) as lock_file:
            return self._extend(lock_file, token, ttl)

    @hook_operation
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool | None]:
        results = [self._try_to_extend(lease, 0) for lease in leases]
        ends = time.monotonic() + min(timeout / 1000, _RETRY_SECONDS)
        return [
            self._try_to_extend(lease, ends - time.monotonic()) if result is None else result
            for lease, result in zip(leases, results, strict=True)
        ]

    @hook_operation
    def destroy(self) -> bool:
        with self._table.writing:
            self._table.remove_all(self._table.keys())
        return True

    def give_back(self) -> None:
        """Close the files of locks, and the folder of waiters."""
        self._lock_files.give_back()
        self.waiters.give_back()

    def clean_up(self) -> None:
        """Release what the current operation of this thread still holds."""
        self._table.clean_up()
        self._lock_files.clean_up()

    def _close_storage(self) -> None:
        with suppress(OSError, ChannelError):  # the journal that stays contains all changes
            self._file.fold()
        self._lock_files.close()
        self._file.close()
        self._lock.close()

    @operation
    def _version(self) -> object:
        with self._table.reading:
            return self._file.seen

    def _free(self, name: str, token: str) -> bool:
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            held = self.holds(record, token)
            if not held and not lock_record.is_reserved_for(record, number_of(token)):
                return False
            fifo = self.waiters.wake_next(name)  # it waits for this file lock until we release it
            lock_file.write(lock_record.freed(record, waiter_of(fifo)))
        self.waiters.remove(name, fifo)
        return held

    def _force_free(self, name: str) -> tuple[LockRecord, int]:
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            left = self.left(record)
            if left:
                lock_file.write(lock_record.force_released(record))
            return record, left

    def _adopt(
        self, name: str, token: str, alive: int, holder: dict[str, Any] | None
    ) -> LockRecord | None:
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            if not self.holds(record, token):
                return None
            info = lock_record.copied(holder) if holder else record.holder
            adopted = record._replace(alive=alive, holder=info)
            lock_file.write(adopted)
            return adopted

    def _read_lock(self, name: str) -> LockRecord:
        with self._lock_files.of(name) as lock_file:
            return lock_file.read()

    def _lock_names(self) -> Iterator[str]:
        return self._lock_files.names()

    def _try_to_extend(self, lease: LeaseRequest, seconds: float) -> bool | None:
        """Extend; return None if the record is locked for long, or cannot be read or written."""
        lock_file = self._lock_files.of(lease.name)
        try:
            lock_file.acquire(seconds)
            return self._extend(lock_file, lease.token, lease.ttl)
        except (OSError, ChannelDamaged):
            return None
        finally:
            lock_file.release()

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
    except FileNotFoundError:
        return
    except OSError as error:
        raise paths.explain(channel, path, error) from error
    if os.geteuid() not in (0, owner):
        reason = f"{path} belongs to user id {owner}"
        advice = f"run as that user, or give the file to user id {os.geteuid()} with chown"
        raise ChannelUnavailable(channel, reason, advice)
