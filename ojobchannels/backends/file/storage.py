"""A TinyDB storage that survives a kill at any instant and loses no update between processes."""

import os
import stat
import struct
import threading
from pathlib import Path

from tinydb.storages import Storage

from ojobchannels.backends.file.json_text import LARGEST_NUMBER, Tables, Unreadable, parse, text_of
from ojobchannels.backends.local.file_lock import FileLock, owned
from ojobchannels.backends.local.paths import StoragePath
from ojobchannels.errors import ChannelDamaged, ChannelUnavailable
from ojobchannels.host.files import UnsafeFile, give, open_regular
from ojobchannels.host.forks import forget_in_children

_COUNTERS = struct.Struct("<QQ")


class JsonFile(Storage):
    """Reads the whole old or new file; writes happen between `begin` and `store`, all or nothing.

    New content is written to a file beside it, flushed to the disk, and renamed over the old file,
    so readers need no file lock. The content is cached until the file's status changes, or the
    version that every writer increments in a file beside it: the status alone can repeat within the
    clock tick of a filesystem.
    """

    def __init__(self, channel: str, storage: StoragePath, lock: FileLock) -> None:
        self._channel = channel
        self._storage = storage
        self._lock = lock
        self._counters = storage.side.file("version")
        self._memory = threading.RLock()
        self._tables: Tables = {}
        self._seen: tuple[int, ...] | None = None
        self._changed = False
        self._half_done = False
        self._highest = 0
        self._highest_read = 0
        self._owner: int | None = None
        forget_in_children(self)

    @property
    def seen(self) -> tuple[int, ...] | None:
        """Identifies the content that `read` returned last."""
        return self._seen

    def begin(self, writes: bool) -> None:
        """Begin an access by this thread: other threads wait, and `read` is up to date."""
        if writes:
            self._lock.acquire()
        self._memory.acquire()
        self._load()
        self._half_done = writes

    def store(self) -> None:
        """Replace the file, if its content was changed since `begin`."""
        if self._changed:
            self._replace()
        self._changed = self._half_done = False

    def clean_up(self) -> None:
        """End the access of this thread, if it has one; changes that were not stored are lost."""
        if owned(self._memory):
            if self._half_done:
                self._seen = None
                self._changed = self._half_done = False
            self._memory.release()
        self._lock.release()

    def close(self) -> None:
        """Close the file with the version."""
        with self._memory:
            self._counters.close()

    def forget(self) -> None:
        """Reset, in a forked child, the state that another thread of the parent may have locked."""
        self._memory = threading.RLock()
        self._seen = None

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
        """Keep the tables that TinyDB changed; the end of the transaction stores them."""
        self._tables = data
        self._changed = True

    def _load(self) -> None:
        seen = self._status()
        if seen == self._seen:
            return
        self._seen = None
        try:
            self._tables = parse(_content(self._storage.path))
        except FileNotFoundError:
            self._tables = {}
        except Unreadable as error:
            raise self.damaged(str(error)) from error
        numbers = (int(number) for table in self._tables.values() for number in table)
        self._highest_read = max(numbers, default=0)
        self._seen = seen

    def _status(self) -> tuple[int, ...]:
        if not self._counters.is_current():
            self._counters.close()
        counters = os.pread(self._counters.open(), _COUNTERS.size, 0)
        if len(counters) < _COUNTERS.size:
            counters = bytes(_COUNTERS.size)
        version, highest = _COUNTERS.unpack(counters)
        self._highest = highest if highest <= LARGEST_NUMBER else 0  # no entry ever had it
        try:
            status = self._storage.path.lstat()
        except FileNotFoundError:
            return (version,)
        if self._owner is None:
            self._owner = status.st_uid
        return version, status.st_ino, status.st_size, status.st_mtime_ns

    def damaged(self, reason: str) -> ChannelDamaged:
        """Return the error for a file that cannot be read."""
        return ChannelDamaged(
            self._channel,
            str(self._storage.path),
            reason,
            "the file was left unchanged: repair it with an editor, restore it from a copy, or "
            "move it away to start with an empty channel",
        )

    def _replace(self) -> None:
        path = self._storage.path
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        try:
            self._write_new(new)
            version = (self._seen[0] + 1) % 2**64 if self._seen else 1
            os.pwrite(self._counters.open(), _COUNTERS.pack(version, self._highest), 0)
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        self._highest_read = max(self._highest_read, self._highest)
        self._seen = self._status()
        try:
            _flush(path.parent)
        except OSError as error:
            raise ChannelUnavailable(
                self._channel,
                f"{error.strerror or error} ({path.parent}), after {path.name} was replaced",
                "the change is stored, but a power cut may undo it: check the disk, then write "
                "again",
            ) from error

    def _write_new(self, new: Path) -> None:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor has no path
            mode = self._storage.mode
            try:
                old = self._storage.path.lstat()
            except FileNotFoundError:
                give(descriptor, new.parent.stat())
            else:
                if not stat.S_ISREG(old.st_mode):
                    raise UnsafeFile(self._storage.path, "it is not a regular file")
                if os.geteuid() == 0 and old.st_uid != self._owner:
                    reason = f"it belongs to user id {old.st_uid} since it was opened here"
                    raise UnsafeFile(self._storage.path, reason)
                mode = stat.S_IMODE(old.st_mode)
                if old.st_uid != os.geteuid() or old.st_gid != os.getegid():
                    _keep_owner(self._channel, descriptor, old)
            os.fchmod(descriptor, mode)
            file.write(text_of(self._tables).encode())
            file.flush()
            os.fsync(descriptor)


def _content(path: Path) -> bytes:
    # Tools for backups make hard links to a file for a time.
    with open(open_regular(path, os.O_RDONLY, links=True), "rb") as file:  # noqa: PTH123  a descriptor has no path
        return file.read()


def _keep_owner(channel: str, descriptor: int, old: os.stat_result) -> None:
    try:
        os.fchown(descriptor, old.st_uid, old.st_gid)
    except PermissionError as error:
        raise ChannelUnavailable(
            channel,
            f"the file belongs to user id {old.st_uid}, group id {old.st_gid}, and would lose "
            "that owner if it was written",
            f"run as that user, or give the file to user id {os.geteuid()} with chown",
        ) from error


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
