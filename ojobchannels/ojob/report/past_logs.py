"""Past log files: compressed, moved to another folder, and finally removed.

Others may write to the folders. So files are opened without following links and without waiting,
and only those that this user, root or a user who was let in has made are touched.
"""

import fcntl
import gzip
import os
import shutil
import stat
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

from ojobchannels.host.files import UnsafeFile, give, is_trusted, names_in, open_regular

_TRAILER: Final = struct.Struct("<II")  # of gzip: checksum and length of what was compressed
_CHUNK: Final = 1 << 20


class Rules(NamedTuple):
    """What happens to past log files.

    Attributes:
        is_log: Returns whether a file name is that of a log file, compressed or not.
        keep: Minutes after which they are removed; None for never.
        compress: Whether they are compressed with gzip.
        backup: The folder to which they are moved; None for the same one.
    """

    is_log: Callable[[str], bool]
    keep: int | None
    compress: bool
    backup: Path | None


def tidy(rules: Rules, present: Path) -> None:
    """Compress, move and remove past files, except those in use or not accessible.

    Args:
        rules: What to do.
        present: The file that is being written, in the folder of the past ones.
    """
    for path in {present.parent, rules.backup or present.parent}:
        with suppress(OSError), _opened(path) as folder:
            for name in names_in(folder):
                if name != present.name and rules.is_log(name):
                    with suppress(OSError):
                        _tidy_one(rules, folder, name)


def _tidy_one(rules: Rules, folder: int, name: str) -> None:
    with _opened_log(folder, name) as source:
        fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(source.fileno())
        if rules.keep is not None and status.st_mtime < time.time() - rules.keep * 60:
            os.unlink(name, dir_fd=folder)
            return
        if rules.backup is None:
            _store(rules, source, folder, folder, name)
            return
        rules.backup.mkdir(parents=True, exist_ok=True)
        with _opened(rules.backup) as backup:
            _store(rules, source, folder, backup, name)


def _store(rules: Rules, source: IO[bytes], folder: int, target: int, name: str) -> None:
    """Write a log file to the target folder, compressed or not, and remove it from its folder."""
    packs = rules.compress and not name.endswith(".gz")
    stored = f"{name}.gz" if packs else name
    if stored == name and os.path.samestat(os.fstat(folder), os.fstat(target)):
        return
    try:
        with _opened_log(target, stored) as present:
            # After a kill before the removal, it contains the file already.
            if not _contains(present, source, packs):
                _append(source, present, target, stored, packs)
    except FileNotFoundError:
        _append(source, None, target, stored, packs)
    os.unlink(name, dir_fd=folder)


def _contains(present: IO[bytes], source: IO[bytes], packed: bool) -> bool:
    """Return whether the last part of a stored file is the source, unchanged since."""
    stored, status = os.fstat(present.fileno()), os.fstat(source.fileno())
    if stored.st_mtime_ns != status.st_mtime_ns:
        return False
    if packed:
        present.seek(max(stored.st_size - _TRAILER.size, 0))
        same = present.read() == _TRAILER.pack(_checksum(source), status.st_size % 2**32)
    else:
        present.seek(max(stored.st_size - status.st_size, 0))
        same = all(part == source.read(_CHUNK) for part in iter(lambda: present.read(_CHUNK), b""))
    present.seek(0)
    source.seek(0)
    return same


def _checksum(source: IO[bytes]) -> int:
    checksum = 0
    while part := source.read(_CHUNK):
        checksum = zlib.crc32(part, checksum)
    return checksum


def _append(
    source: IO[bytes], present: IO[bytes] | None, folder: int, name: str, packs: bool
) -> None:
    """Replace a stored file, in one step, by itself and the source; gzip files can be joined.

    Until then only this user can read the new file.
    """
    partial = f".{name}.new"  # of one process at a time, which has locked the source
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        os.unlink(partial, dir_fd=folder)
    descriptor = os.open(partial, flags, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as raw:  # noqa: PTH123  a descriptor has no path
            if present is not None:
                shutil.copyfileobj(present, raw)
            if packs:
                with gzip.GzipFile(name.removesuffix(".gz"), "wb", fileobj=raw) as packed:
                    shutil.copyfileobj(source, packed)
            else:
                shutil.copyfileobj(source, raw)
            raw.flush()
            status = os.fstat(source.fileno())
            give(descriptor, status)
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
            os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(descriptor)
        os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(partial, dir_fd=folder)
        raise


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened_log(folder: int, name: str) -> Iterator[IO[bytes]]:
    descriptor = open_regular(name, os.O_RDONLY, within=folder)
    with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor has no path
        if not is_trusted(os.fstat(descriptor), os.fstat(folder)):
            raise UnsafeFile(name, "it is the file of another user")
        yield file
