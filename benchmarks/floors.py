"""The floors: the least that the same work can cost, written out by hand.

Nothing of the project is imported here, so that the floor stays where it is when the project's code
changes. Each does the same work with the same durability: it makes a token and a fence, writes the
holder as JSON, keeps the order of change, and reads time inside the atomic step. What it leaves out
is all the rest: checks, errors, retries, forks, signals, other versions of a server. It is longer
than other modules because a floor for every kind of storage stands in this one place.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import secrets
import socket
import sqlite3
import struct
import threading
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pluggy

TTL: Final = 30_000
Key = dict[str, Any]
Value = dict[str, Any]

_encoder: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def encode(document: object) -> str:
    """Writes canonical JSON."""
    return _encoder.encode(document)


def decode_all(texts: Iterable[str | bytes]) -> list[Any]:
    """Reads many JSON texts as one, which is the quickest way."""
    parts = (text if isinstance(text, str) else text.decode() for text in texts)
    documents: list[Any] = json.loads(f"[{','.join(parts)}]")
    return documents


def _copied(values: list[Any]) -> list[Any]:
    copies: list[Any] = json.loads(encode(values))
    return copies


def new_token() -> str:
    """Returns 128 random bits."""
    return secrets.token_hex(16)


def holder() -> dict[str, object]:
    """Returns what a holder tells of itself."""
    return {"host": _HOST, "pid": os.getpid(), "thread": threading.current_thread().name}


_HOST: Final = socket.gethostname()

# --- simple: a hook call, and a dict under a lock ---------------------------------------------

_spec = pluggy.HookspecMarker("floor")
_impl = pluggy.HookimplMarker("floor")


class _MemorySpec:
    @_spec(firstresult=True)
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Any: ...
    @_spec(firstresult=True)
    def unlock(self, name: str, token: str) -> Any: ...
    @_spec(firstresult=True)
    def get(self, key: str) -> Any: ...
    @_spec(firstresult=True)
    def set(self, key: str, value: object, fence: int | None) -> Any: ...
    @_spec(firstresult=True)
    def unset(self, key: str, fence: int | None) -> Any: ...


class _MemoryBackend:
    """A dict of locks and one of entries; who waits, waits for a condition."""

    def __init__(self) -> None:
        self.freed = threading.Condition()
        self.locks: dict[str, tuple[str, int, int, dict[str, Any]]] = {}
        self.entries: dict[str, object] = {}

    @_impl
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> int:
        with self.freed:
            now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            held, fence, until, _ = self.locks.get(name, ("", 0, 0, None))
            if held and now < until:
                return 0
            fence = max(fence + 1, time.time_ns() // 1000)
            self.locks[name] = (token, fence, now + ttl * 1_000_000, holder)
            return fence

    @_impl
    def unlock(self, name: str, token: str) -> bool:
        with self.freed:
            held, fence, until, _ = self.locks[name]
            if held != token or time.clock_gettime_ns(time.CLOCK_BOOTTIME) >= until:
                return False
            self.locks[name] = ("", fence, 0, {})
            self.freed.notify()
            return True

    @_impl
    def get(self, key: str) -> object:
        with self.freed:
            return self.entries[key]

    @_impl
    def set(self, key: str, value: object, fence: int | None) -> bool:
        with self.freed:
            self.entries.pop(key, None)
            self.entries[key] = value
        return True

    @_impl
    def unset(self, key: str, fence: int | None) -> bool:
        with self.freed:
            return self.entries.pop(key, None) is not None


_memories: dict[str, _MemoryBackend] = {}


class Memory:
    """A pluggy hook over a dict under a lock.

    One value is neither copied nor turned into JSON; many at once are kept as JSON.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._backend = _memories.setdefault(f"{folder} {name}", _MemoryBackend())
        manager = pluggy.PluginManager("floor")
        manager.add_hookspecs(_MemorySpec)
        manager.register(self._backend)
        self._hook: Any = manager.hook
        self._name = name
        self._token = ""

    def lock(self) -> int:
        """One hook call."""
        self._token = new_token()
        fence: int = self._hook.lock(name=self._name, token=self._token, ttl=TTL, holder=holder())
        return fence

    def wait(self) -> int:
        """One wake-up by the condition, one hook call."""
        while not (fence := self.lock()):
            with self._backend.freed:
                if self._backend.locks[self._name][0]:
                    self._backend.freed.wait()
        return fence

    def unlock(self) -> bool:
        """One hook call."""
        freed: bool = self._hook.unlock(name=self._name, token=self._token)
        return freed

    def get(self, key: Key) -> Any:
        """One hook call."""
        return self._hook.get(key=repr(key["id"]))

    def set(self, key: Key, value: Value) -> None:
        """One hook call."""
        self._hook.set(key=repr(key["id"]), value=value, fence=None)

    def unset(self, key: Key) -> None:
        """One hook call."""
        self._hook.unset(key=repr(key["id"]), fence=None)

    def get_all(self) -> list[Any]:
        """Reads the JSON of all."""
        with self._backend.freed:
            values: list[Any] = list(self._backend.entries.values())
        return decode_all(values)

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """Writes the JSON of each, then stores it under one lock."""
        copies = [(repr(key["id"]), encode(value)) for key, value in items]
        with self._backend.freed:
            for key, value in copies:
                self._backend.entries.pop(key, None)
                self._backend.entries[key] = value

    def newest(self, limit: int) -> list[Any]:
        """Reads the JSON of those that were stored last."""
        with self._backend.freed:
            last = itertools.islice(reversed(self._backend.entries.values()), limit)
            values: list[Any] = list(last)
        return decode_all(values)

    def close(self) -> None:
        """Has nothing to close."""


# --- file: flock, pread, pwrite; a JSON file that is replaced -----------------------------------

_HEAD: Final = struct.Struct("<4sI32sqqqqqqH64p")
_EPOCH: Final = "0" * 36


class FileLock:
    """Twice: flock, pread of the record, pwrite of the record, unlock.

    Who waits is woken by a second flock, which the holder has while it holds the lock.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._record = os.open(folder / f"{name}.floor", os.O_RDWR | os.O_CREAT, 0o600)
        self._baton = os.open(folder / f"{name}.baton", os.O_RDWR | os.O_CREAT, 0o600)
        self._has_baton = False
        self._token = ""

    def lock(self) -> int:
        """flock, pread, pwrite, unlock."""
        self._token = new_token()
        told = encode(holder()).encode()
        fcntl.flock(self._record, fcntl.LOCK_EX)
        try:
            token, fence, until = self._read()
            now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
            if token and now < until:
                return 0
            wall = time.time_ns() // 1000
            fence = max(fence + 1, wall)
            self._write(self._token, fence, now + TTL * 1000, wall, told)
        finally:
            fcntl.flock(self._record, fcntl.LOCK_UN)
        return fence

    def wait(self) -> int:
        """One wake-up out of a blocking flock, then the same."""
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

    def _write(self, token: str, fence: int, until: int, wall: int, told: bytes) -> None:
        head = _HEAD.pack(
            *(b"oJL1", 0, token.encode(), fence, TTL, until, wall + TTL, wall),
            *(os.getpid(), len(told), _EPOCH.encode()),
        )
        body = head[8:] + told
        os.pwrite(self._record, head[:4] + struct.pack("<I", zlib.crc32(body)) + body, 0)

    def close(self) -> None:
        """Closes both files."""
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
        """Closes the file."""
        os.close(self._file)


class JsonFile:
    """One JSON file under an flock; a write is temp file, fsync, rename, fsync of the folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.floor.json"
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._gate = os.open(folder / f"{name}.gate", os.O_RDWR | os.O_CREAT, 0o600)
        self._seen: tuple[int, int, int] | None = None
        self._entries: dict[str, Any] = {}
        self._last = 0

    def get(self, key: Key) -> Any:
        """flock, stat, and the value copied by way of JSON."""
        with self._entered():
            entry = self._entries[encode(key)]
        return json.loads(encode(entry["value"]))

    def set(self, key: Key, value: Value) -> None:
        """flock, stat, the whole file written anew."""
        with self._entered(writes=True):
            self._put(key, value)

    def unset(self, key: Key) -> None:
        """flock, stat, the whole file written anew."""
        with self._entered(writes=True):
            self._entries.pop(encode(key), None)

    def get_all(self) -> list[Any]:
        """flock, stat, and the values copied by way of JSON."""
        with self._entered():
            return _copied([one["value"] for one in self._entries.values()])

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """flock, stat, the whole file written anew."""
        with self._entered(writes=True):
            for key, value in items:
                self._put(key, value)

    def newest(self, limit: int) -> list[Any]:
        """flock, stat, and the last values copied by way of JSON."""
        with self._entered():
            last = list(itertools.islice(reversed(self._entries.values()), limit))
            return _copied([one["value"] for one in last])

    @contextlib.contextmanager
    def _entered(self, writes: bool = False) -> Any:
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            self._refresh()
            yield
            if writes:
                self._store()
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def _refresh(self) -> None:
        try:
            status = os.stat(self._path)  # noqa: PTH116  a floor
        except FileNotFoundError:
            return
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if seen != self._seen:
            self._entries = json.loads(self._path.read_bytes())
            self._seen = seen

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
        os.rename(temporary, self._path)  # noqa: PTH104  a floor
        os.fsync(self._folder)
        status = os.stat(self._path)  # noqa: PTH116  a floor
        self._seen = (status.st_ino, status.st_size, status.st_mtime_ns)

    def close(self) -> None:
        """Closes the gate and the folder."""
        os.close(self._gate)
        os.close(self._folder)


# --- db: the bare statements on one connection ---------------------------------------------------

_WALL: Final = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
_LOCKS: Final = """
CREATE TABLE IF NOT EXISTS locks (
    channel TEXT NOT NULL, name TEXT NOT NULL, fence INTEGER NOT NULL, token TEXT NOT NULL,
    ttl INTEGER NOT NULL, until INTEGER NOT NULL, wall_until INTEGER NOT NULL, epoch TEXT NOT NULL,
    since INTEGER NOT NULL, alive INTEGER NOT NULL, holder TEXT NOT NULL,
    PRIMARY KEY (channel, name)
) WITHOUT ROWID
"""
_DOCUMENTS: Final = """
CREATE TABLE IF NOT EXISTS documents (
    position INTEGER PRIMARY KEY, channel TEXT NOT NULL, key TEXT NOT NULL,
    written_key TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (channel, key)
)
"""
_IN_ORDER: Final = "CREATE INDEX IF NOT EXISTS documents_in_order ON documents (channel, position)"
_TAKE: Final = f"""
INSERT INTO locks
VALUES ('floor', :name, {_WALL}, :token, :ttl, {_WALL} + :ttl, {_WALL} + :ttl, :epoch, {_WALL},
    :pid, :holder)
ON CONFLICT (channel, name) DO UPDATE
SET fence = max(fence + 1, excluded.fence), token = excluded.token, ttl = excluded.ttl,
    until = excluded.until, wall_until = excluded.wall_until, epoch = excluded.epoch,
    since = excluded.since, alive = excluded.alive, holder = excluded.holder
WHERE token = '' OR until <= {_WALL}
RETURNING fence
"""
_FREE: Final = f"""
UPDATE locks SET token = '', ttl = 0, until = 0, wall_until = 0, alive = 0, holder = '{{}}'
WHERE channel = 'floor' AND name = :name AND token = :token AND until > {_WALL}
RETURNING fence
"""
_PUT: Final = f"""
INSERT INTO documents VALUES (
    max({_WALL}, (SELECT coalesce(max(position), 0) + 1 FROM documents)),
    'floor', :key, :written_key, :value
)
ON CONFLICT (channel, key) DO UPDATE
SET position = excluded.position, written_key = excluded.written_key, value = excluded.value
"""


def _database(folder: Path, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        folder / "floor.db", timeout=10, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode=WAL").fetchone()
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA journal_size_limit=1000000").fetchone()
    for statement in (_LOCKS, _DOCUMENTS, _IN_ORDER):
        connection.execute(statement)
    return connection


class DatabaseLock:
    """One upsert … RETURNING, one UPDATE … RETURNING, on one connection, WAL and NORMAL."""

    def __init__(self, folder: Path, name: str) -> None:
        self._connection = _database(folder, "NORMAL")
        self._baton = os.open(folder / f"{name}.baton", os.O_RDWR | os.O_CREAT, 0o600)
        self._has_baton = False
        self._name = name
        self._token = ""

    def lock(self) -> int:
        """One statement."""
        self._token = new_token()
        asked = {
            "name": self._name,
            "token": self._token,
            "ttl": TTL * 1000,
            "epoch": _EPOCH,
            "pid": os.getpid(),
            "holder": encode(holder()),
        }
        row = self._connection.execute(_TAKE, asked).fetchone()
        return row[0] if row else 0

    def wait(self) -> int:
        """One wake-up out of a blocking flock, one statement."""
        fcntl.flock(self._baton, fcntl.LOCK_EX)
        self._has_baton = True
        return self.lock()

    def unlock(self) -> bool:
        """One statement."""
        asked = {"name": self._name, "token": self._token}
        row = self._connection.execute(_FREE, asked).fetchone()
        if self._has_baton:
            self._has_baton = False
            fcntl.flock(self._baton, fcntl.LOCK_UN)
        return row is not None

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()
        os.close(self._baton)


class Database:
    """One statement on one connection, WAL and FULL."""

    def __init__(self, folder: Path, name: str) -> None:
        self._connection = _database(folder, "FULL")

    def get(self, key: Key) -> Any:
        """One SELECT."""
        statement = "SELECT value FROM documents WHERE channel = 'floor' AND key = ?"
        return json.loads(self._connection.execute(statement, (encode(key),)).fetchone()[0])

    def set(self, key: Key, value: Value) -> None:
        """One upsert, which moves the entry to the end of the order."""
        self._connection.execute(_PUT, _row(key, value))

    def unset(self, key: Key) -> None:
        """One DELETE."""
        statement = "DELETE FROM documents WHERE channel = 'floor' AND key = ?"
        self._connection.execute(statement, (encode(key),))

    def get_all(self) -> list[Any]:
        """One SELECT in the order of change."""
        statement = "SELECT value FROM documents WHERE channel = 'floor' ORDER BY position"
        return decode_all(row[0] for row in self._connection.execute(statement))

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """One transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_PUT, [_row(key, value) for key, value in items])
        self._connection.execute("COMMIT")

    def newest(self, limit: int) -> list[Any]:
        """One SELECT by the index of the order."""
        statement = (
            "SELECT value FROM documents WHERE channel = 'floor' ORDER BY position DESC LIMIT ?"
        )
        return decode_all(row[0] for row in self._connection.execute(statement, (limit,)))

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def _row(key: Key, value: Value) -> dict[str, str]:
    text = encode(key)
    return {"key": text, "written_key": text, "value": encode(value)}


# --- redis: scripts on a bare socket -------------------------------------------------------------

_LUA_LOCK: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local text = redis.call('GET', KEYS[1])
local fence = now
if text then
  local last = string.match(text, '^- (%d+)$')
  if not last then
    local token, till
    token, last, till = string.match(text, '^(%S+) (%d+) (%d+)')
    if now < tonumber(till) then return {last, string.format('%.0f', till - now)} end
  end
  if last + 1 > fence then fence = last + 1 end
end
local ttl = ARGV[2] * 1000
local told = string.format('%.0f', fence)
redis.call('SET', KEYS[1],
  string.format('%s %s %.0f %.0f %.0f %s', ARGV[1], told, now + ttl, now, ttl, ARGV[3]),
  'PX', string.format('%.0f', ARGV[2] + (fence - now) / 1000 + 2592000000))
return {told}
"""
_LUA_UNLOCK: Final = """
local text = redis.call('GET', KEYS[1])
if not text then return 0 end
local token, fence, till = string.match(text, '^(%S+) (%d+) (%d+)')
if token ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if now >= tonumber(till) then return 0 end
local keep = string.format('%.0f', math.max(fence - now, 0) / 1000 + 86400000)
redis.call('SET', KEYS[1], '- ' .. fence, 'PX', keep)
redis.call('PUBLISH', ARGV[2], '')
return 1
"""
_LUA_SET: Final = """
for n = 1, #ARGV, 2 do
  redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), ARGV[n])
  redis.call('HSET', KEYS[1], ARGV[n], ARGV[n + 1])
end
"""
_LUA_UNSET: Final = """
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
_LUA_PAGE: Final = """
local keys = redis.call(ARGV[1], KEYS[2], 0, ARGV[2])
local values = {}
for start = 1, #keys, 1000 do
  local part = redis.call('HMGET', KEYS[1], unpack(keys, start, math.min(start + 999, #keys)))
  for n = 1, #part do values[#values + 1] = part[n] end
end
return values
"""


class _Wire:
    """A bare socket: requests are packed here, replies are read by hiredis."""

    def __init__(self, url: str) -> None:
        import hiredis

        place = urlsplit(url)
        self._socket = socket.create_connection((place.hostname or "", place.port or 6379))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def ask(self, *parts: object) -> Any:
        """Sends a request and reads the reply."""
        self.send(*parts)
        return self.read()

    def send(self, *parts: object) -> None:
        """Sends a request."""
        packed = [f"*{len(parts)}\r\n".encode()]
        for part in parts:
            text = part if isinstance(part, bytes) else str(part).encode()
            packed.append(b"$%d\r\n%b\r\n" % (len(text), text))
        self._socket.sendall(b"".join(packed))

    def read(self) -> Any:
        """Reads a reply, or what was published."""
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65536))
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        self._socket.close()


class RedisLock:
    """One script each way, on a bare socket; who waits is woken by what unlock publishes."""

    def __init__(self, url: str, name: str) -> None:
        self._wire = _Wire(url)
        self._ears: _Wire | None = None
        self._url = url
        self._key = f"floor:{{{name}}}"
        self._lock = self._wire.ask("SCRIPT", "LOAD", _LUA_LOCK)
        self._unlock = self._wire.ask("SCRIPT", "LOAD", _LUA_UNLOCK)
        self._token = ""

    def lock(self) -> int:
        """One EVALSHA."""
        self._token = new_token()
        told = encode(holder())
        reply = self._wire.ask("EVALSHA", self._lock, 1, self._key, self._token, TTL, told)
        return int(reply[0]) if len(reply) == 1 else 0

    def wait(self) -> int:
        """One wake-up by a published message, one EVALSHA."""
        if self._ears is None:
            self._ears = _Wire(self._url)
            self._ears.ask("SUBSCRIBE", f"{self._key}:free")
        while not (fence := self.lock()):
            self._ears.read()
        return fence

    def unlock(self) -> int:
        """One EVALSHA."""
        asked = ("EVALSHA", self._unlock, 1, self._key, self._token, f"{self._key}:free")
        freed: int = self._wire.ask(*asked)
        return freed

    def close(self) -> None:
        """Closes the sockets."""
        self._wire.close()
        if self._ears is not None:
            self._ears.close()


class BlpopBaton:
    """A list with one element: BLPOP takes it, LPUSH gives it back; no token, no ttl, no fence."""

    def __init__(self, url: str, name: str) -> None:
        self._wire = _Wire(url)
        self._key = f"floor:baton:{name}"
        if self._wire.ask("SETNX", f"{self._key}:made", 1):
            self.unlock()

    def lock(self) -> None:
        """One BLPOP."""
        self._wire.ask("BLPOP", self._key, 0)

    wait = lock

    def unlock(self) -> None:
        """One LPUSH."""
        self._wire.ask("LPUSH", self._key, 1)

    def close(self) -> None:
        """Closes the socket."""
        self._wire.close()


class RedisStore:
    """One command or script on a bare socket; values in a hash, their order in a sorted set."""

    def __init__(self, url: str, name: str) -> None:
        self._wire = _Wire(url)
        self._values = f"floor:{{{name}}}:values"
        self._keys = (3, self._values, f"floor:{{{name}}}:order", f"floor:{{{name}}}:count")
        texts = (_LUA_SET, _LUA_UNSET, _LUA_PAGE)
        self._set, self._unset, self._page = (self._wire.ask("SCRIPT", "LOAD", t) for t in texts)

    def get(self, key: Key) -> Any:
        """One HGET."""
        return json.loads(self._wire.ask("HGET", self._values, encode(key)))

    def set(self, key: Key, value: Value) -> None:
        """One EVALSHA: ZADD with INCR, HSET."""
        self._wire.ask("EVALSHA", self._set, *self._keys, encode(key), encode(value))

    def unset(self, key: Key) -> None:
        """One EVALSHA: ZREM, HDEL."""
        self._wire.ask("EVALSHA", self._unset, *self._keys, encode(key))

    def get_all(self) -> list[Any]:
        """One EVALSHA: ZRANGE, HMGET."""
        texts = self._wire.ask("EVALSHA", self._page, *self._keys, "ZRANGE", -1)
        return decode_all(texts)

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """One EVALSHA with all."""
        parts = [part for key, value in items for part in (encode(key), encode(value))]
        self._wire.ask("EVALSHA", self._set, *self._keys, *parts)

    def newest(self, limit: int) -> list[Any]:
        """One EVALSHA: ZREVRANGE, HMGET."""
        texts = self._wire.ask("EVALSHA", self._page, *self._keys, "ZREVRANGE", limit - 1)
        return decode_all(texts)

    def close(self) -> None:
        """Closes the socket."""
        self._wire.close()


# --- mongo: the bare commands through PyMongo ----------------------------------------------------

_NOW_AS_FENCE: Final = {"$multiply": [{"$toLong": "$$NOW"}, 1000]}
_LIVE: Final = {"$and": [{"$gt": ["$token", ""]}, {"$gt": ["$until", "$$NOW"]}]}


class MongoLock:
    """Two findAndModify with a pipeline over $$NOW; who waits is woken by a change stream."""

    def __init__(self, url: str, name: str) -> None:
        from pymongo import MongoClient

        self._client: Any = MongoClient(url)
        self._database = self._client["floor"]
        self._name = name
        self._concern = {"w": "majority"}
        self._token = ""
        self._stream: Any = None

    def lock(self) -> int:
        """One findAndModify with upsert."""
        self._token = new_token()
        lease = {
            "_id": "$_id",
            "n": {"$literal": self._name},
            "fence": {"$max": [{"$add": ["$fence", 1]}, _NOW_AS_FENCE]},
            "token": {"$literal": self._token},
            "ttl": TTL,
            "until": {"$add": ["$$NOW", TTL]},
            "since": "$$NOW",
            "holder": {"$literal": encode(holder())},
        }
        row = self._modify({"_id": self._name}, lease, upsert=True)
        return int(row["fence"]) if row["token"] == self._token else 0

    def wait(self) -> int:
        """One wake-up by a change stream, one findAndModify."""
        if self._stream is None:
            mine = [{"$match": {"documentKey._id": self._name}}]
            self._stream = self._database["locks"].watch(mine, max_await_time_ms=10_000)
        while not (fence := self.lock()):
            self._stream.try_next()
        return fence

    def unlock(self) -> bool:
        """One findAndModify."""
        freed = {"_id": "$_id", "n": "$n", "fence": "$fence", "token": "", "until": "$$NOW"}
        held = {"_id": self._name, "token": self._token}
        return self._modify(held, freed) is not None

    def _modify(self, wanted: dict[str, Any], row: dict[str, Any], upsert: bool = False) -> Any:
        change = row if not upsert else {"$cond": [_LIVE, "$$ROOT", row]}
        reply = self._database.command(
            {
                "findAndModify": "locks",
                "query": wanted,
                "update": [{"$replaceWith": change}],
                "fields": {"_id": 0, "fence": 1, "token": 1, "holder": 1},
                "new": True,
                "upsert": upsert,
                "writeConcern": self._concern,
            }
        )
        return reply["value"]

    def close(self) -> None:
        """Ends the client."""
        self._client.close()


class MongoLockAlone(MongoLock):
    """The same on a server without a replica set; who waits asks again each 10 ms.

    A majority is the server itself then, once it has written its journal; w:1 would not wait for
    that, and the channel does not offer it.
    """

    def wait(self) -> int:
        """Asks again and again: such a server has no change streams."""
        while not (fence := self.lock()):
            time.sleep(0.01)
        return fence


class MongoStore:
    """One command through PyMongo, majority; the order is a timestamp of the server."""

    def __init__(self, url: str, name: str) -> None:
        from pymongo import MongoClient, WriteConcern

        self._client: Any = MongoClient(url)
        self._name = name
        majority = WriteConcern("majority")
        self._rows = self._client["floor"].get_collection(f"docs-{name}", write_concern=majority)
        self._rows.create_index([("c", 1), ("o", 1)])

    def get(self, key: Key) -> Any:
        """One find."""
        row: Any = self._rows.find_one(encode(key), {"_id": 0, "v": 1})
        return row["v"]

    def set(self, key: Key, value: Value) -> None:
        """One update with upsert."""
        text = encode(key)
        self._rows.update_one({"_id": text}, self._update(text, value), upsert=True)

    def unset(self, key: Key) -> None:
        """One delete."""
        self._rows.delete_one({"_id": encode(key)})

    def get_all(self) -> list[Any]:
        """One find in the order of change, out of a snapshot."""
        with self._client.start_session(snapshot=True) as session:
            rows = self._rows.find({"c": "floor"}, {"_id": 0, "v": 1}, session=session)
            return [row["v"] for row in rows.sort("o", 1)]

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """One bulk write in a transaction."""
        from pymongo import UpdateOne

        writes = [
            UpdateOne({"_id": text}, self._update(text, value), upsert=True)
            for text, value in ((encode(key), value) for key, value in items)
        ]
        with self._client.start_session() as session, session.start_transaction():
            self._rows.bulk_write(writes, session=session)

    def newest(self, limit: int) -> list[Any]:
        """One find by the index of the order."""
        rows = self._rows.find({"c": "floor"}, {"_id": 0, "v": 1}).sort("o", -1).limit(limit)
        return [row["v"] for row in rows]

    def _update(self, text: str, value: Value) -> dict[str, Any]:
        return {
            "$set": {"c": "floor", "k": text, "v": value},
            "$currentDate": {"o": {"$type": "timestamp"}},
        }

    def close(self) -> None:
        """Ends the client."""
        self._client.close()


# --- start-up ------------------------------------------------------------------------------------

IMPORT: Final = "pass"
CLICK_HELLO: Final = """
import click

@click.command()
@click.option("--name", default="world", help="Whom to greet.")
def hello(name):
    '''Greets.'''
    click.echo(f"hello {name}")

hello()
"""
