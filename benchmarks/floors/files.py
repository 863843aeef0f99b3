"""The floor of `file`: flock, pread and pwrite for locks; a JSON file that is replaced."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import struct
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from benchmarks.floors.common import BOOT_ID, TTL, Key, Value, encode, holder, new_token

_HEAD: Final = struct.Struct("<4sI32sqqqqqqH64p")


class FileLock:
    """Each way: flock, pread of the record, pwrite of the record, unlock.

    A waiter blocks in a second flock, which the holder keeps for as long as it holds the lock.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._record = os.open(folder / f"{name}.floor", os.O_RDWR | os.O_CREAT, 0o600)
        self._baton = os.open(folder / f"{name}.baton", os.O_RDWR | os.O_CREAT, 0o600)
        self._has_baton = False
        self._token = ""

    def lock(self) -> int:
        """flock, pread, pwrite, unlock."""
        self._token = new_token()
        info = encode(holder()).encode()
        fcntl.flock(self._record, fcntl.LOCK_EX)
        try:
            token, fence, until = self._read()
            now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
            if token and now < until:
                return 0
            wall = time.time_ns() // 1000
            fence = max(fence + 1, wall)
            self._write(self._token, fence, now + TTL * 1000, wall, info)
        finally:
            fcntl.flock(self._record, fcntl.LOCK_UN)
        return fence

    def wait(self) -> int:
        """One wake-up from a blocking flock, then the same."""
        fcntl.flock(self._baton, fcntl.LOCK_EX)
        self._has_baton = True
        return self.lock()

    def unlock(self) -> bool:
        """flock, pread, pwrite, unlock."""
        fcntl.flock(self._record, fcntl.LOCK_EX)
        try:
            token, fence, until = self._read()
            if token != self._token or time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000 >= until:
                return False
            self._write("", fence, 0, 0, b"")
        finally:
            fcntl.flock(self._record, fcntl.LOCK_UN)
            if self._has_baton:
                self._has_baton = False
                fcntl.flock(self._baton, fcntl.LOCK_UN)
        return True

    def _read(self) -> tuple[str, int, int]:
        page = os.pread(self._record, 4096, 0)
        if not page:
            return "", 0, 0
        _, checksum, token, fence, _, until, _, _, _, length, _ = _HEAD.unpack_from(page)
        if zlib.crc32(page[8 : _HEAD.size + length]) != checksum:
            return "", 0, 0
        return token.rstrip(b"\0").decode(), fence, until

    def _write(self, token: str, fence: int, until: int, wall: int, info: bytes) -> None:
        head = _HEAD.pack(
            *(b"oJL1", 0, token.encode(), fence, TTL, until, wall + TTL, wall),
            *(os.getpid(), len(info), BOOT_ID.encode()),
        )
        body = head[8:] + info
        os.pwrite(self._record, head[:4] + struct.pack("<I", zlib.crc32(body)) + body, 0)

    def close(self) -> None:
        """Close both files."""
        os.close(self._record)
        os.close(self._baton)


class BlockingFlock:
    """A blocking flock and nothing else: no record, no token, no fence."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = os.open(folder / f"{name}.flock", os.O_RDWR | os.O_CREAT, 0o600)

    def lock(self) -> None:
        """One flock."""
        fcntl.flock(self._file, fcntl.LOCK_EX)

    wait = lock

    def unlock(self) -> None:
        """Unlock."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class JsonFile:
    """One JSON file under an flock; a write is temp file, fsync, rename, fsync of the folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.floor.json"
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._lock_file = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._seen: tuple[int, int, int] | None = None
        self._entries: dict[str, Any] = {}
        self._last = 0

    def get(self, key: Key) -> Any:
        """flock, stat, and a copy of the value through JSON."""
        with self._locked():
            entry = self._entries[encode(key)]
        return json.loads(encode(entry["value"]))

    def set(self, key: Key, value: Value) -> None:
        """flock, stat, the whole file rewritten."""
        with self._locked(writes=True):
            self._put(key, value)

    def unset(self, key: Key) -> None:
        """flock, stat, the whole file rewritten."""
        with self._locked(writes=True):
            self._entries.pop(encode(key), None)

    def get_all(self) -> list[Any]:
        """flock, stat, and copies of the values through JSON."""
        with self._locked():
            return _copied([entry["value"] for entry in self._entries.values()])

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """flock, stat, the whole file rewritten."""
        with self._locked(writes=True):
            for key, value in items:
                self._put(key, value)

    def newest(self, limit: int) -> list[Any]:
        """flock, stat, and copies of the last values through JSON."""
        with self._locked():
            last = list(itertools.islice(reversed(self._entries.values()), limit))
            return _copied([entry["value"] for entry in last])

    @contextlib.contextmanager
    def _locked(self, writes: bool = False) -> Any:
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            self._refresh()
            yield
            if writes:
                self._store()
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _refresh(self) -> None:
        try:
            status = os.stat(self._path)  # noqa: PTH116  fewer calls than pathlib
        except FileNotFoundError:
            return
        current = (status.st_ino, status.st_size, status.st_mtime_ns)
        if current != self._seen:
            self._entries = json.loads(self._path.read_bytes())
            self._seen = current

    def _put(self, key: Key, value: Value) -> None:
        text = encode(key)
        self._last += 1
        self._entries.pop(text, None)
        self._entries[text] = {
            "key": json.loads(text),
            "value": json.loads(encode(value)),
            "number": self._last,
        }

    def _store(self) -> None:
        temporary = f"{self._path}.new"
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(file, encode(self._entries).encode())
        os.fsync(file)
        os.close(file)
        os.rename(temporary, self._path)  # noqa: PTH104  fewer calls than pathlib
        os.fsync(self._folder)
        status = os.stat(self._path)  # noqa: PTH116  fewer calls than pathlib
        self._seen = (status.st_ino, status.st_size, status.st_mtime_ns)

    def close(self) -> None:
        """Close the lock file and the folder."""
        os.close(self._lock_file)
        os.close(self._folder)


def _copied(values: list[Any]) -> list[Any]:
    copies: list[Any] = json.loads(encode(values))
    return copies
