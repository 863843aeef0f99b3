"""`file`: documents in one JSON file that people can read and mend, locks in files beside it.

The file holds one TinyDB table per channel. An entry is ``{"key": …, "value": …}``, with
``"fence"`` where one was written, and without ``"value"`` where only the fence's mark is left.
Entries stand in the order of their last change; their numbers grow.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tinydb import TinyDB
from tinydb.table import Document as Row

from ojobchannels.backends import records
from ojobchannels.backends.jsonfile import JsonFile
from ojobchannels.backends.lockfiles import LockFile, LockFiles
from ojobchannels.backends.onehost import OneHost, translated
from ojobchannels.backends.records import LockRecord
from ojobchannels.documents import (
    Document,
    Item,
    Key,
    check_key,
    check_value,
    decode,
    encode,
    matches,
)
from ojobchannels.errors import ChannelUnavailable, InvalidKey, InvalidValue, StaleFence
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
from ojobchannels.host import storage
from ojobchannels.host.clock import Clock
from ojobchannels.host.gate import Gate
from ojobchannels.host.storage import Place


def open_backend(channel: str, file: str, timeout: float, clock: Clock) -> FileBackend:
    """Opens the file, or begins a new one; what is there is read and checked.

    Raises:
        ChannelDamaged: It is not JSON of the kind that this backend writes.
        ChannelUnavailable: It cannot be read or replaced by this user.
    """
    place = storage.prepare(channel, file)
    if place.path.exists():
        _check_owner(channel, place)
    try:
        backend = FileBackend(channel, place, clock, timeout)
    except OSError as error:
        raise storage.explain(channel, place.path, error) from error
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
        self._entries = TinyDB(storage=lambda: self._file).table(channel)
        self._lock_files = LockFiles(channel, place.side / "locks", place.mode, timeout)
        self._numbers: dict[Key, int] = {}
        self._keys: dict[str, Key] = {}
        self._indexed: tuple[int, ...] | None = None

    @hookimpl
    @translated
    def get(self, key: Key) -> Document:
        with self._reading():
            row = self._row(key)
            return _copy(row["value"]) if row is not None and "value" in row else MISSING

    @hookimpl
    @translated
    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        with self._writing():
            self._put(key, value, self._checked_mark(key, fence))
        return True

    @hookimpl
    @translated
    def unset(self, key: Key, fence: int | None) -> bool:
        with self._writing():
            return self._remove(key, self._checked_mark(key, fence))

    @hookimpl
    @translated
    def get_all(self, match: Document) -> list[Document]:
        with self._reading():
            values = (row["value"] for row in self._rows())
            return [_copy(value) for value in values if match is None or matches(match, value)]

    @hookimpl
    @translated
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        page: list[Item] = []
        with self._reading():
            for row in self._rows(newest_first):
                number = row.doc_id
                if after is not None and (number >= after if newest_first else number <= after):
                    continue
                if len(page) == limit:
                    break
                if match is None or matches(match, row["value"]):
                    page.append(Item(_copy(row["key"]), _copy(row["value"]), number))
        return page

    @hookimpl
    @translated
    def get_keys(self) -> list[Document]:
        with self._reading():
            return [_copy(row["key"]) for row in self._rows()]

    @hookimpl
    @translated
    def size(self) -> int:
        with self._reading():
            return sum(1 for _ in self._rows())

    @hookimpl
    @translated
    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        latest: dict[Key, Document] = {}
        for key, value in items:
            latest.pop(key, None)
            latest[key] = value
        with self._writing():
            marks = [self._mark(key) for key in latest]
            self._drop(latest)
            self._insert(zip(latest, latest.values(), marks, strict=True))
        return True

    @hookimpl
    @translated
    def unset_all(self, keys: list[Key]) -> int:
        with self._writing():
            return self._remove_all(keys)

    @hookimpl
    @translated
    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        with self._writing():
            row = self._row(key)
            present = row["value"] if row is not None and "value" in row else MISSING
            if (present is MISSING) != (match is ABSENT):
                return Compared(False, _copy(present))
            if match is not ABSENT and not matches(match, present):
                return Compared(False, _copy(present))
            self._put(key, value, self._checked_mark(key, fence))
            return Compared(True, _copy(present))

    @hookimpl
    @translated
    def pop(self) -> Document:
        return self._take(newest_first=True)

    @hookimpl
    @translated
    def shift(self) -> Document:
        return self._take(newest_first=False)

    @hookimpl
    @translated
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        alive = self.liveness.offset()
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            left = self.left(record)
            if left:
                if record.token == token:
                    return Granted(record.fence, None)
                return records.busy(record, left)
            taken, grant = records.granted(record, token, ttl * 1000, holder, self.clock, alive)
            lock_file.write(taken)
            return grant

    @hookimpl
    @translated
    def unlock(self, name: str, token: str) -> bool:
        self.end_branch(token)
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            if not self.holds(record, token):
                return False
            lock_file.write(records.freed(record))
        self.ring(name)
        return True

    @hookimpl
    @translated
    def extend(self, name: str, token: str, ttl: int) -> bool:
        with self._lock_files.of(name) as lock_file:
            return self._extend(lock_file, token, ttl)

    @hookimpl
    @translated
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool]:
        answers = []
        ends = self.clock.now() + timeout * 1000
        for name, token, ttl in leases:
            lock_file = self._lock_files.of(name)
            lock_file.enter((ends - self.clock.now()) / 1e6)
            try:
                answers.append(self._extend(lock_file, token, ttl))
            finally:
                lock_file.leave()
        return answers

    @hookimpl
    @translated
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        alive = records.NOBODY if holder is None else self.liveness.offset()
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            if not self.holds(record, token):
                return False
            record = record._replace(alive=alive, holder=holder or record.holder)
            lock_file.write(record)
        self.end_branch(token)
        return records.adopted(record, self.clock)

    @hookimpl
    @translated
    def share(self, name: str, token: str) -> list[int] | bool:
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            if not self.holds(record, token):
                return False
            descriptor, alive = self.branch(token)
            lock_file.write(record._replace(alive=alive))
        return [descriptor] if alive else []

    @hookimpl
    @translated
    def lock_info(self, name: str) -> LockInfo | None:
        record = self._read_lock(name)
        left = self.left(record)
        return records.info(name, record, left, self.clock) if left else None

    @hookimpl
    @translated
    def locks(self) -> list[LockInfo]:
        infos = (self.lock_info(name) for name in self._lock_files.names())
        return [info for info in infos if info]

    @hookimpl
    @translated
    def force_unlock(self, name: str) -> LockInfo | None:
        with self._lock_files.of(name) as lock_file:
            record = lock_file.read()
            left = self.left(record)
            if not left:
                return None
            lock_file.write(records.freed(record))
        self.ring(name)
        return records.info(name, record, left, self.clock)

    @hookimpl
    @translated
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        self.wait_for(name, seen_fence, timeout, lambda: self._read_lock(name))
        return True

    @hookimpl
    def close(self) -> bool:
        self.stop_waiting()
        self._lock_files.close()
        self._file.close()
        self._gate.close()
        return True

    @hookimpl
    @translated
    def destroy(self) -> bool:
        with self._writing():
            self._remove_all(list(self._numbers))
        return True

    def _read_lock(self, name: str) -> LockRecord:
        with self._lock_files.of(name) as lock_file:
            return lock_file.read()

    def _extend(self, lock_file: LockFile, token: str, ttl: int) -> bool:
        record = lock_file.read()
        if not self.holds(record, token):
            return False
        lock_file.write(records.renewed(record, ttl * 1000, self.clock))
        return True

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._file.reading():
            self._index()
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._file.transaction(self._keep_index):
            self._index()
            self._indexed = None
            yield

    def _keep_index(self) -> None:
        self._indexed = self._file.seen

    def _index(self) -> None:
        if self._indexed == self._file.seen:
            return
        numbers: dict[Key, int] = {}
        keys: dict[str, Key] = {}
        for row in sorted(self._entries.all(), key=_number):
            text = encode(row["key"])
            key = self._keys.get(text) or self._checked_key(row)
            if key in numbers:
                reason = f"the entries {numbers[key]} and {row.doc_id} have the same key"
                raise self._file.damaged(reason)
            numbers[key], keys[text] = row.doc_id, key
        self._numbers = numbers
        self._keys = keys
        self._indexed = self._file.seen

    def _checked_key(self, row: Row) -> Key:
        try:
            check_value(row.get("value"))
            return check_key(row["key"])
        except (InvalidKey, InvalidValue) as error:
            raise self._file.damaged(f"entry {row.doc_id}: {error}") from error

    def _row(self, key: Key) -> Row | None:
        number = self._numbers.get(key)
        row = None if number is None else self._entries.get(doc_id=number)
        return row if isinstance(row, Row) else None

    def _rows(self, newest_first: bool = False) -> list[Row]:
        rows = [row for row in self._entries.all() if "value" in row]
        return sorted(rows, key=_number, reverse=newest_first)

    def _mark(self, key: Key) -> int | None:
        row = self._row(key)
        return None if row is None else row.get("fence")

    def _checked_mark(self, key: Key, fence: int | None) -> int | None:
        mark = self._mark(key)
        if fence is None:
            return mark
        if mark is not None and fence < mark:
            raise StaleFence(self.channel, key.document, fence, mark)
        return fence

    def _put(self, key: Key, value: Document, mark: int | None) -> None:
        self._drop([key])
        self._insert([(key, value, mark)])

    def _remove(self, key: Key, mark: int | None) -> bool:
        row = self._row(key)
        self._drop([key])
        if mark is not None:
            self._insert([(key, MISSING, mark)])
        return row is not None and "value" in row

    def _remove_all(self, keys: Iterable[Key]) -> int:
        rows = {key: row for key in keys if (row := self._row(key)) is not None}
        self._drop(rows)
        marked = [(key, MISSING, row["fence"]) for key, row in rows.items() if "fence" in row]
        if marked:
            self._insert(marked)
        return sum("value" in row for row in rows.values())

    def _take(self, newest_first: bool) -> Document:
        with self._writing():
            rows = self._rows(newest_first)
            if not rows:
                return MISSING
            self._remove(check_key(rows[0]["key"]), rows[0].get("fence"))
            return _copy(rows[0]["value"])

    def _drop(self, keys: Iterable[Key]) -> None:
        numbers = [number for key in keys if (number := self._numbers.pop(key, None)) is not None]
        if numbers:
            self._entries.remove(doc_ids=numbers)

    def _insert(self, entries: Iterable[tuple[Key, Document, int | None]]) -> None:
        added = list(entries)
        rows = []
        for number, (key, value, mark) in zip(
            self._file.next_numbers(len(added)), added, strict=True
        ):
            self._numbers[key] = number
            row = {"key": _copy(key.document)}
            if value is not MISSING:
                row["value"] = _copy(value)
            if mark is not None:
                row["fence"] = mark
            rows.append(Row(row, number))
        self._entries.insert_multiple(rows)


def _check_owner(channel: str, place: Place) -> None:
    try:
        owner = place.path.stat().st_uid
    except OSError as error:
        raise storage.explain(channel, place.path, error) from error
    if os.geteuid() not in (0, owner):
        raise ChannelUnavailable(
            channel,
            f"{place.path} belongs to user id {owner}",
            f"work as that user, or give the file to user id {os.geteuid()} with chown",
        )


def _number(row: Row) -> int:
    number: int = row.doc_id
    return number


def _copy(document: Document) -> Document:
    return document if document is MISSING else decode(encode(document))
