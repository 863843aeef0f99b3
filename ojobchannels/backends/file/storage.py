"""A TinyDB storage that survives a kill at any instant and loses no update between processes."""

from __future__ import annotations

import os
import stat
import struct
import threading
from contextlib import suppress
from pathlib import Path

from tinydb.storages import Storage

from ojobchannels.backends.file.json_text import LARGEST_NUMBER, Tables, Unreadable, parse, text_of
from ojobchannels.backends.local.file_lock import Gate, owned
from ojobchannels.backends.local.paths import Place
from ojobchannels.errors import ChannelDamaged, ChannelUnavailable
from ojobchannels.host.files import SideFile
from ojobchannels.host.forks import forget_in_children

_COUNTERS = struct.Struct("<QQ")


class JsonFile(Storage):
    """Reads are whole old or new files; writes happen between `begin` and `store`, all or nothing.

    A new content is written beside the file, flushed to the disk, and renamed over it, so readers
    need no gate. What was read is kept until the file's status, or the version that every writer
    counts up in a file beside it, tells that it changed: a status alone can repeat within the clock
    tick of a filesystem.
    """

    def __init__(self, channel: str, place: Place, gate: Gate) -> None:
        self._channel = channel
        self._place = place
        self._gate = gate
        self._counters = SideFile(place.side / "version", place.mode)
        self._memory = threading.RLock()
        self._tables: Tables = {}
        self._seen: tuple[int, ...] | None = None
        self._changed = False
        self._half_done = False
        self._highest = 0
        self._highest_read = 0
        forget_in_children(self)

    @property
    def seen(self) -> tuple[int, ...] | None:
        """Identifies the content that `read` answered last."""
        return self._seen

    def begin(self, writes: bool) -> None:
        """Begins an access of this thread: others wait, and `read` is up to date."""
        if writes:
            self._gate.enter()
        self._memory.acquire()
        self._load()
        self._half_done = writes

    def store(self) -> None:
        """Replaces the file, if something was changed since `begin`."""
        if self._changed:
            self._replace()
        self._changed = self._half_done = False

    def give_back(self) -> None:
        """Ends the access of this thread, if it has one; what was not stored is forgotten."""
        if owned(self._memory):
            if self._half_done:
                self._seen = None
                self._changed = self._half_done = False
            self._memory.release()
        self._gate.leave()

    def close(self) -> None:
        """Closes what is open beside the file."""
        with self._memory:
            self._counters.close()

    def forget(self) -> None:
        """Frees, in a forked child, what another thread of the parent may have been at."""
        self._memory = threading.RLock()
        self._seen = None

    def next_numbers(self, count: int) -> range:
        """Returns numbers for new entries, such as no entry ever had; for use in a transaction."""
        first = max(self._highest, self._highest_read) + 1
        if first + count > LARGEST_NUMBER:
            raise self.damaged(f"the number {first - 1} of an entry leaves none for new ones")
        self._highest = first + count - 1
        return range(first, first + count)

    def read(self) -> Tables | None:
        """Returns the tables, for TinyDB."""
        return self._tables

    def write(self, data: Tables) -> None:
        """Takes the tables as TinyDB changed them; the transaction's end stores them."""
        self._tables = data
        self._changed = True

    def _load(self) -> None:
        seen = self._status()
        if seen == self._seen:
            return
        self._seen = None
        self._tables = self._parse(self._content())
        self._highest_read = _highest_in(self._tables)
        self._seen = seen

    def _content(self) -> bytes:
        try:
            return self._place.path.read_bytes()
        except FileNotFoundError:
            return b"{}"

    def _status(self) -> tuple[int, ...]:
        if not self._counters.is_current():
            self._counters.close()
        counters = os.pread(self._counters.open(), _COUNTERS.size, 0)
        if len(counters) < _COUNTERS.size:
            counters = bytes(_COUNTERS.size)
        version, highest = _COUNTERS.unpack(counters)
        self._highest = highest if highest <= LARGEST_NUMBER else 0  # no entry ever had it
        try:
            status = self._place.path.stat()
        except FileNotFoundError:
            return (version,)
        return version, status.st_ino, status.st_size, status.st_mtime_ns

    def _parse(self, content: bytes) -> Tables:
        try:
            return parse(content)
        except Unreadable as error:
            raise self.damaged(str(error)) from error

    def damaged(self, reason: str) -> ChannelDamaged:
        """Returns the error that says what is wrong with the file."""
        return ChannelDamaged(
            self._channel,
            str(self._place.path),
            reason,
            "the file was left as it is: mend it with an editor, restore it from a copy, or move "
            "it away to begin with an empty channel",
        )

    def _replace(self) -> None:
        path = self._place.path
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        try:
            self._write_beside(fresh)
            version = (self._seen[0] + 1) % 2**64 if self._seen else 1
            os.pwrite(self._counters.open(), _COUNTERS.pack(version, self._highest), 0)
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        self._highest_read = max(self._highest_read, self._highest)
        self._seen = self._status()
        try:
            _flush(path.parent)
        except OSError as error:
            raise ChannelUnavailable(
                self._channel,
                f"{error.strerror or error} ({path.parent}), after {path.name} was replaced there",
                "the change is made, but a power cut may undo it: check that disk, then write "
                "again",
            ) from error

    def _write_beside(self, fresh: Path) -> None:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor has no path
            mode = self._place.mode
            with suppress(FileNotFoundError):
                kept = self._place.path.stat()
                mode = stat.S_IMODE(kept.st_mode)
                if kept.st_uid != os.geteuid() or kept.st_gid != os.getegid():
                    _give_to(self._channel, descriptor, kept)
            os.fchmod(descriptor, mode)
            file.write(text_of(self._tables).encode())
            file.flush()
            os.fsync(descriptor)


def _give_to(channel: str, descriptor: int, kept: os.stat_result) -> None:
    try:
        os.fchown(descriptor, kept.st_uid, kept.st_gid)
    except PermissionError as error:
        raise ChannelUnavailable(
            channel,
            f"the file belongs to user id {kept.st_uid}, group id {kept.st_gid}, and would not "
            "after it was written",
            f"work as that user, or make it the file of user id {os.geteuid()} with chown",
        ) from error


def _highest_in(tables: Tables) -> int:
    return max((int(number) for table in tables.values() for number in table), default=0)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
