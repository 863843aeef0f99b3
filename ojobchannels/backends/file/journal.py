"""The journal beside a long JSON file: the changes that are not yet in the file, a write per line.

The file names its journal, with an id that the journal's first line repeats. A line is appended and
flushed to the disk before the write returns. A kill or a power cut in between can leave part of the
last line: readers ignore it, and the next writer cuts it off.
"""

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from ojobchannels.backends.file.changes import Change, apply_line
from ojobchannels.backends.file.json_text import Tables, Unreadable, decoded
from ojobchannels.backends.file.new_file import NewFiles
from ojobchannels.documents import encode
from ojobchannels.host.files import OwnedFile, UnsafeFile, open_regular

_NAME: Final = re.compile(r".*\.journal-([12]) ([0-9a-f]{8})", re.DOTALL)
_BLOCK: Final = 1 << 20


class JournalName(NamedTuple):
    """Which journal belongs to a file.

    Attributes:
        path: One of two paths beside the file: a new journal never takes the place of the current.
        id: Differs from journal to journal.
    """

    path: Path
    id: str

    @classmethod
    def of(cls, file: Path, text: str) -> "JournalName | None":
        """Return the journal that a file names, or None if the text is not the name of one."""
        match = _NAME.fullmatch(text)
        return cls(paths(file)[int(match[1]) - 1], match[2]) if match else None

    @classmethod
    def after(cls, current: "JournalName | None", file: Path) -> "JournalName":
        """Return the name of the next journal of a file."""
        one, two = paths(file)
        return cls(two if current and current.path == one else one, secrets.token_hex(4))

    def __str__(self) -> str:
        """Return the text by which the file names the journal."""
        return f"{self.path.name} {self.id}"

    def head(self, file: Path) -> bytes:
        """Return the first line of the journal."""
        return f"{encode({'journal of': file.name, 'id': self.id})}\n".encode()


def paths(file: Path) -> tuple[Path, Path]:
    """Return the two paths that the journals of a file have in turn."""
    return file.with_name(f"{file.name}.journal-1"), file.with_name(f"{file.name}.journal-2")


class DamagedJournal(ValueError):
    """A line of a journal cannot be read; the message says which, and why."""


class Journal(OwnedFile):
    """An open journal.

    While it is open, it is marked as in use by a shared `flock`, so that of several handles the
    last one that closes brings its changes into the file.

    Attributes:
        name: Its path and id.
        end: The length of the lines that were read or appended.
    """

    def __init__(self, name: JournalName, descriptor: int) -> None:
        self.name = name
        self.end = 0
        self.descriptor = descriptor
        self._path = str(name.path)
        self._lines = 0
        self._cut = b""  # what the next line must begin with: an editor may leave out a line end
        status = os.fstat(descriptor)
        self._identity = status.st_dev, status.st_ino
        with suppress(BlockingIOError):  # the last user is just closing it
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    @classmethod
    def create(cls, name: JournalName, file: Path, files: NewFiles) -> "Journal":
        """Create an empty journal that is on the disk."""
        # Other handles append to it, also if the JSON file is read-only and can only be replaced.
        journal = cls(name, files.create(name.path, also=0o600))
        try:
            journal._write(name.head(file))
        except BaseException:
            journal.close()
            name.path.unlink(missing_ok=True)
            raise
        return journal

    @classmethod
    def open(cls, name: JournalName, owner: int) -> "Journal | None":
        """Open the journal of a file, and read its first line; return None if it is not there.

        Raises:
            UnsafeFile: It is a link, or another user has put it there.
        """
        try:
            descriptor = open_regular(name.path, os.O_RDWR, links=True)
        except FileNotFoundError:
            return None
        journal = cls(name, descriptor)
        try:
            user = os.fstat(descriptor).st_uid
            if user != owner:
                raise UnsafeFile(name.path, f"it belongs to user id {user}, the file to {owner}")
            if journal._read_head():
                return journal
        except BaseException:
            journal.close()
            raise
        journal.close()
        return None

    def growth(self) -> int:
        """Return how many bytes were appended since; -1 if it was cut, replaced or deleted."""
        try:
            status = os.lstat(self._path)
        except FileNotFoundError:
            return -1
        is_current = (status.st_dev, status.st_ino) == self._identity
        return max(status.st_size - self.end, -1) if is_current else -1

    def follow(self, tables: Tables) -> list[Change]:
        """Make the changes of the lines that were appended since, and return them.

        Raises:
            DamagedJournal: A line is not valid.
        """
        changes: list[Change] = []
        for line in self._new_lines():
            try:
                changes += apply_line(line, tables, self._lines + 1) if line.strip() else []
            except Unreadable as error:
                raise DamagedJournal(f"line {self._lines + 1}: {error}") from error
            self._lines += 1
            self.end += len(line)
            self._cut = b"" if line.endswith(b"\n") else b"\n"
        return changes

    def append(self, line: bytes) -> None:
        """Append a line and flush it to the disk; part of a line before it is cut off.

        Raises:
            OSError: It failed; call `cut_off` once the version of the file was changed.
        """
        if self.growth() > 0:
            self.cut_off()
        self._write(self._cut + line)
        self._cut = b""
        self._lines += 1

    def cut_off(self) -> None:
        """Remove what is after the last line that was read or appended."""
        os.ftruncate(self.descriptor, self.end)

    def is_unused(self) -> bool:
        """Return whether no other handle has it open; afterwards it is no longer marked."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _write(self, content: bytes) -> None:
        written = os.pwrite(self.descriptor, content, self.end)
        if written < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.name.path))
        os.fsync(self.descriptor)
        self.end += written

    def _read_head(self) -> bool:
        line = os.pread(self.descriptor, _BLOCK, 0).partition(b"\n")[0]
        with suppress(Unreadable):
            head, _ = decoded(line)
            self._lines, self.end = 1, len(line) + 1
            return isinstance(head, dict) and head.get("id") == self.name.id
        return False

    def _new_lines(self) -> Iterator[bytes]:
        blocks = []
        at = self.end
        while block := os.pread(self.descriptor, _BLOCK, at):
            blocks.append(block)
            at += len(block)
        lines = b"".join(blocks).splitlines(keepends=True)
        yield from lines[:-1]
        if lines and not _is_torn(lines[-1]):
            yield lines[-1]


def _is_torn(line: bytes) -> bool:
    """Return whether the last line was not written completely: a power cut may leave NULs."""
    if line.endswith(b"\n"):
        return b"\0" in line
    try:
        decoded(line)
    except Unreadable:
        return True
    return False
