"""A TinyDB storage that survives a kill at any instant and loses no update between processes."""

import os
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tinydb.storages import Storage

from ojobchannels.backends.file.changes import Change, line_of, make
from ojobchannels.backends.file.journal import DamagedJournal, Journal, JournalName, paths
from ojobchannels.backends.file.json_text import (
    LARGEST_NUMBER,
    Tables,
    Unreadable,
    may_have_journal,
    parse,
    text_of,
)
from ojobchannels.backends.file.new_file import NewFiles, content_of
from ojobchannels.backends.local.file_lock import FileLock, owned
from ojobchannels.backends.local.paths import StoragePath
from ojobchannels.errors import ChannelDamaged, ChannelUnavailable
from ojobchannels.host.forks import forget_in_children

SHORT: Final = 8 * 1024
"""A file of fewer bytes is rewritten at each write, and has no journal."""

_COUNTERS = struct.Struct("<QQ")
_ATTEMPTS: Final = 100
_LARGE_BATCH: Final = 100
_FOLD_SECONDS: Final = 1


class JsonFile(Storage):
    """Reads the whole old or new file; writes happen between `begin` and `store`, all or nothing.

    New content is written to a file beside it, flushed to the disk, and renamed over the old file,
    so readers need no file lock. The changes of a long file are appended to its journal instead,
    until that is half as long as the file. The content is cached until the file's status changes,
    or the version that every replacement increments in a file beside it: the status alone can
    repeat within the clock tick of a filesystem.
    """

    def __init__(self, channel: str, storage: StoragePath, lock: FileLock) -> None:
        self._channel = channel
        self._path = storage.path
        self._path_text = str(storage.path)
        self._lock = lock
        self._files = NewFiles(channel, storage.path, storage.mode)
        self._counters = storage.side.file("version")
        self._memory = threading.RLock()
        self._tables: Tables = {}
        self._journal: Journal | None = None
        self._status_read: tuple[int, ...] | None = None
        self._changes: list[Change] = []
        self._followed: tuple[object, list[Change]] = None, []
        self._half_done = False
        self._has_written = False
        self._highest = 0
        self._highest_read = 0
        self._length = 0
        forget_in_children(self)

    @property
    def seen(self) -> tuple[object, ...] | None:
        """Identifies the content that `read` returned last."""
        if self._status_read is None:
            return None
        return self._status_read, 0 if self._journal is None else self._journal.end

    def changes_since(self, seen: object) -> list[Change] | None:
        """Return the changes since that content, or None if they are not known."""
        before, changes = self._followed
        return changes if before is not None and before == seen else None

    def begin(self, writes: bool) -> None:
        """Begin an access by this thread: other threads wait, and `read` is up to date."""
        if writes:
            self._lock.acquire()
        self._memory.acquire()
        self._changes = []  # a forked child may have some of another thread of its parent
        self._load()
        self._half_done = writes

    def store(self) -> None:
        """Store the changes since `begin`."""
        if self._changes:
            self._store()
        self._half_done = False

    def clean_up(self) -> None:
        """End the access of this thread, if it has one; changes that were not stored are lost."""
        if owned(self._memory):
            if self._half_done:
                self._status_read = None
                self._half_done = False
            self._memory.release()
        self._lock.release()

    def fold(self) -> None:
        """Bring the changes of the journal into the file, unless other handles use it too."""
        if self._journal is None:
            return
        self._lock.acquire(_FOLD_SECONDS)
        try:
            with self._memory:
                self._fold()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the journal, and the file with the version."""
        with self._memory:
            self._counters.close()
            self._use_journal(None)

    def forget(self) -> None:
        """Reset, in a forked child, the state that another thread of the parent may have locked."""
        self._memory = threading.RLock()
        self._status_read = None

    def next_numbers(self, count: int) -> range:
        """Return numbers for new entries that no entry ever had; for use in a transaction."""
        first = max(self._highest, self._highest_read) + 1
        if first + count > LARGEST_NUMBER:
            raise self.damaged(f"the entry number {first - 1} is too large to add another entry")
        self._highest = first + count - 1
        return range(first, first + count)

    def read(self) -> Tables | None:
        """Return the tables, for TinyDB."""
        return self._tables

    def write(self, data: Tables) -> None:
        """Refuse to let TinyDB write whole tables, which takes as long as the tables are."""
        raise NotImplementedError

    def change(self, table: str, number: int, new: dict[str, Any] | None) -> None:
        """Add an entry, or remove it; the end of the transaction stores that."""
        old = self._tables.get(table, {}).get(str(number))
        change = Change(table, str(number), old, new)
        self._changes.append(change)
        make([change], self._tables)

    def damaged(self, reason: str) -> ChannelDamaged:
        """Return the error for a file that cannot be read."""
        return ChannelDamaged(
            self._channel,
            str(self._path),
            reason,
            "the file was left unchanged: repair it with an editor, restore it from a copy, or "
            "move it away to start with an empty channel",
        )

    def _fold(self) -> None:
        self._load()
        if self._journal is not None and self._journal.is_unused():
            self._replace(None)

    def _load(self) -> None:
        self._followed = None, []
        if self._status_read is None or self._status() != self._status_read or not self._follow():
            self._status_read = None
            self._read_all()

    def _follow(self) -> bool:
        """Make the changes that were appended to the journal; return False if it was replaced."""
        if self._journal is None or not (growth := self._journal.growth()):
            return True
        if growth > 0:
            before = self.seen
            self._followed = before, self._changes_of(self._journal)
        return growth > 0

    def _read_all(self) -> None:
        for _ in range(_ATTEMPTS):
            status = self._status()
            try:
                content = content_of(self._path)
                self._tables, text = parse(content)
            except FileNotFoundError:
                content, text, self._tables = b"", "", {}
            except Unreadable as error:
                raise self.damaged(str(error)) from error
            name = JournalName.of(self._path, text)
            self._use_journal(None if name is None else Journal.open(name, owner=status[-1]))
            if not text or self._journal is not None:
                break
            if status == self._status():  # otherwise the file and its journal were replaced
                raise self._without_journal(text)
        else:
            reason = f"{self._path} was replaced {_ATTEMPTS} times while it was being read"
            raise ChannelUnavailable(self._channel, reason, "try again when fewer programs write")
        numbers = (int(number) for table in self._tables.values() for number in table)
        self._highest_read = max(numbers, default=0)
        self._length = len(content)
        if self._journal is not None:
            self._changes_of(self._journal)
        self._status_read = status

    def _changes_of(self, journal: Journal) -> list[Change]:
        try:
            changes = journal.follow(self._tables)
        except DamagedJournal as error:
            self._status_read = None
            raise self._damaged_journal(journal, str(error)) from error
        self._highest_read = max([self._highest_read, *(int(each.number) for each in changes)])
        return changes

    def _use_journal(self, journal: Journal | None) -> None:
        before, self._journal = self._journal, journal
        if before is not None:
            before.close()

    def _status(self) -> tuple[int, ...]:
        if not self._counters.is_current():
            self._counters.close()
        counters = os.pread(self._counters.open(), _COUNTERS.size, 0)
        if len(counters) < _COUNTERS.size:
            counters = bytes(_COUNTERS.size)
        version, highest = _COUNTERS.unpack(counters)
        self._highest = highest if highest <= LARGEST_NUMBER else 0  # no entry ever had it
        try:
            status = os.lstat(self._path_text)
        except FileNotFoundError:
            return (version,)
        self._files.see_owner(status.st_uid)
        return version, status.st_ino, status.st_size, status.st_mtime_ns, status.st_uid

    def _damaged_journal(self, journal: Journal, reason: str) -> ChannelDamaged:
        return ChannelDamaged(
            self._channel,
            str(journal.name.path),
            reason,
            f"it contains the newest changes of {self._path.name}, one write per line, and was "
            "left unchanged: end the programs that use the channel, then correct the line with an "
            "editor, or delete it to give up its changes",
        )

    def _without_journal(self, text: str) -> ChannelDamaged:
        return ChannelDamaged(
            self._channel,
            str(self._path),
            f"the newest changes are in {text}, which is not beside it",
            "restore both files from the same copy, or delete the line that names the journal to "
            "give up these changes",
        )

    def _store(self) -> None:
        journal = self._journal
        if journal is None:
            # Most processes write once: only the second write shows that a journal is worth it.
            is_first, self._has_written = not self._has_written, True
            self._replace(None if is_first else JournalName.after(None, self._path))
            return
        # The line of a large batch with half of the entries would be too long, and is slow to make.
        is_most = 2 * len(self._changes) >= sum(map(len, self._tables.values()))
        if not (is_most and len(self._changes) >= _LARGE_BATCH):
            line = line_of(self._changes).encode()
            if journal.end + len(line) <= max(self._length, SHORT) / 2:
                self._append(journal, line)
                return
        self._replace(JournalName.after(journal.name, self._path))

    def _append(self, journal: Journal, line: bytes) -> None:
        try:
            journal.append(line)
        except BaseException:
            # Readers may have read the line; if the version changes they read everything again.
            self._write_version(1)
            journal.cut_off()
            self._write_version(2)
            raise
        self._highest_read = max(self._highest_read, self._highest)

    def _write_version(self, step: int) -> None:
        version = (self._status_read[0] + step) % 2**64 if self._status_read else step
        highest = max(
            self._highest, self._highest_read
        )  # also if a journal's entry has that number
        os.pwrite(self._counters.open(), _COUNTERS.pack(version, highest), 0)

    def _replace(self, name: JournalName | None) -> None:
        """Rewrite the file; if it is long, changes will follow in the journal of that name."""
        journal = None
        content = ""
        if name is not None and may_have_journal(self._tables):
            content = text_of(self._tables, str(name))
        if name is not None and len(content) >= SHORT:
            journal = Journal.create(name, self._path, self._files)
        else:
            content = text_of(self._tables)
        new = self._path.with_name(f".{self._path.name}.new")
        try:
            self._length = self._write_new(new, content.encode())
            self._write_version(1)
            new.replace(self._path)
        except BaseException:
            with suppress(FileNotFoundError):
                new.unlink()  # if it is not there, the file may have been replaced already
                if journal is not None:
                    journal.name.path.unlink()
            raise
        self._use_journal(journal)
        self._highest_read = max(self._highest_read, self._highest)
        self._status_read = self._status()
        self._files.flush_folder()
        for path in paths(self._path):
            if journal is None or path != journal.name.path:
                with suppress(OSError):  # the write is stored, and what stays there is not needed
                    path.unlink(missing_ok=True)

    def _write_new(self, new: Path, content: bytes) -> int:
        with open(self._files.create(new), "wb") as file:  # noqa: PTH123  a descriptor has no path
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return len(content)
