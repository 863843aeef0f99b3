"""Lock records in files: one file per lock name, never unlinked, changed under its own file lock.

The first page contains the record: a packed head and the holder info. It is written by one pwrite
that stays within a page, so the death of a process leaves the old or the new record. The second
page contains the names of the channel and the lock, for listing the locks. A page that was never
written belongs to a lock that was never taken; a damaged page does not count as a free lock, since
the lock may be held.
"""

import errno
import hashlib
import os
import resource
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress

from ojobchannels.backends.local.file_lock import FileLock
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.documents import decode, encode
from ojobchannels.errors import ChannelDamaged, InvalidOption
from ojobchannels.host.files import (
    SideFile,
    SideFolder,
    UnsafeFile,
    names_in,
    open_folder,
    open_regular,
)

_PAGE = 4096
_SEAL = struct.Struct("<4sI")
_BODY = struct.Struct("<32sqqqqqqH64p")
_HEAD_SIZE = _SEAL.size + _BODY.size
_MAGIC = b"oJL1"
_FEWEST_KEPT_OPEN = 64
_LARGEST_LIMIT = 1 << 16
_MOST_KNOWN = 4096
_LONGEST_NAMES = 1 << 16  # two names of 4 KiB, each byte as an escape of six


class LockFile(FileLock):
    """The file of one lock; inside ``with`` no other thread or process reads or writes it."""

    def __init__(self, file: SideFile, channel: str, name: str, timeout: float) -> None:
        super().__init__(file, timeout)
        self._channel = channel
        self._name = name
        self._named = False
        self._page = b""
        # One attribute: a signal must not come between the bytes and the record read from them.
        self._known: tuple[bytes, LockRecord] | None = None

    def read(self) -> LockRecord:
        """Return the record; a new one if none was ever written.

        Raises:
            ChannelDamaged: The stored record is incomplete or damaged.
        """
        page = self._page = os.pread(self.descriptor, _PAGE, 0)
        if self._known and page.startswith(self._known[0]):
            return self._known[1]  # unchanged since this handle last read or wrote it
        self._named = False
        if not page.startswith(_MAGIC) and not page.strip(b"\0"):
            return LockRecord()
        if len(page) < _HEAD_SIZE:
            raise self._damaged()
        magic, checksum = _SEAL.unpack_from(page)
        token, fence, ttl, until, wall_until, since, alive, length, epoch = _BODY.unpack_from(
            page, _SEAL.size
        )
        end = _HEAD_SIZE + length
        if magic != _MAGIC or zlib.crc32(page[_SEAL.size : end]) != checksum:
            raise self._damaged()
        self._named = True
        record = LockRecord(
            fence,
            token.rstrip(b"\0").decode(),
            ttl,
            until,
            wall_until,
            epoch.decode(),
            since,
            alive,
            decode(page[_HEAD_SIZE:end].decode()) if length else {},
        )
        self._known = page[:end], record
        return record

    def write(self, record: LockRecord) -> None:
        """Write the record.

        Raises:
            InvalidOption: The holder info is too large for the page.
        """
        holder = encode(record.holder).encode() if record.holder else b""
        if _HEAD_SIZE + len(holder) > _PAGE:
            reason = f"it takes {len(holder)} bytes; the limit is {_PAGE - _HEAD_SIZE}"
            raise InvalidOption("holder", reason, "store less information about the holder")
        body = (
            _BODY.pack(
                record.token.encode(),
                record.fence,
                record.ttl,
                record.until,
                record.wall_until,
                record.since,
                record.alive,
                len(holder),
                record.epoch.encode(),
            )
            + holder
        )
        page = _SEAL.pack(_MAGIC, zlib.crc32(body)) + body
        try:
            if not self._named:
                self._put(encode([self._channel, self._name]).encode(), _PAGE)
                self._named = True
            self._put(page, 0)
            self._known = page, record
        except OSError:
            self._restore()
            raise

    def _damaged(self) -> ChannelDamaged:
        reason = f"the record of lock {self._name!r} is damaged"
        advice = "it was left unchanged: delete that file when no process holds the lock"
        return ChannelDamaged(self._channel, str(self.path), reason, advice)

    def _put(self, content: bytes, at: int) -> None:
        if os.pwrite(self.descriptor, content, at) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def _restore(self) -> None:
        """Write the old record back: a disk that is full for the new one still has its space."""
        if self._page:
            os.pwrite(self.descriptor, self._page[:_PAGE], 0)
        else:
            os.ftruncate(self.descriptor, 0)


class LockFiles:
    """The lock files of one channel.

    A small part of them stays open. Of many more it is remembered what they contained, so that to
    open one again for the renewal of its lease, and to find it unchanged, takes little.
    """

    def __init__(self, channel: str, folder: SideFolder, timeout: float) -> None:
        self._channel = channel
        self._folder = folder
        self._timeout = timeout
        self._known: OrderedDict[str, LockFile] = OrderedDict()
        self._open: OrderedDict[str, LockFile] = OrderedDict()
        self._last_used: dict[int, LockFile] = {}
        self._most_open = _most_kept_open()
        folder.make()
        folder.keep_open()

    def of(self, name: str) -> LockFile:
        """Return the file of a lock name."""
        file = self._known.get(name)
        if file is None:
            identity = encode([self._channel, name]).encode()
            own = self._folder.file(hashlib.sha256(identity).hexdigest()[:40])
            new = LockFile(own, self._channel, name, self._timeout)
            file = self._known.setdefault(name, new)
            if len(self._known) > _MOST_KNOWN:
                forgotten, oldest = self._known.popitem(last=False)
                self._open.pop(forgotten, None)
                oldest.close()
        if name not in self._open:
            self._open[name] = file
            if len(self._open) > self._most_open:
                self._open.popitem(last=False)[1].close()
        self._last_used[threading.get_ident()] = file
        return file

    def clean_up(self) -> None:
        """Release the file lock that this thread still holds after a signal interrupted it."""
        used = self._last_used.pop(threading.get_ident(), None)
        if used is not None:
            used.release()

    def give_back(self) -> None:
        """Close the files that no thread uses; the next use opens them again."""
        for file in list(self._known.values()):
            file.close()
        self._folder.give_back()

    def names(self) -> Iterator[str]:
        """Yield the names of all locks that were ever taken on this channel."""
        try:
            with self._folder.opened() as folder:
                # Threads and forked processes share the position in a folder that is kept open.
                listed = open_folder(".", folder)
                try:
                    pages = [_page_of_names(folder, file) for file in names_in(listed)]
                finally:
                    os.close(listed)
        except FileNotFoundError:
            return
        for page in pages:
            with suppress(ValueError):  # not one of our files, or a name that was cut off
                channel, name = decode(page.decode())
                if channel == self._channel:
                    yield name

    def close(self) -> None:
        """Close all files."""
        self._open.clear()
        while self._known:
            self._known.popitem()[1].close()
        self._folder.give_back()


def _most_kept_open() -> int:
    """Return a small part of the files that the process may have open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    known = 0 <= limit < _LARGEST_LIMIT  # RLIM_INFINITY is -1, or very large
    return max(_FEWEST_KEPT_OPEN, (limit if known else _LARGEST_LIMIT) // 16)


def _page_of_names(folder: int, file: str) -> bytes:
    try:
        descriptor = open_regular(file, os.O_RDONLY, within=folder)
    except (UnsafeFile, FileNotFoundError):
        return b""
    try:
        return os.pread(descriptor, _LONGEST_NAMES, _PAGE)
    finally:
        os.close(descriptor)
