"""The floor of `redis`: scripts on a bare socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.floors.common import TTL, Key, Value, decode_all, encode, holder, new_token

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
local text_fence = string.format('%.0f', fence)
redis.call('SET', KEYS[1],
  string.format('%s %s %.0f %.0f %.0f %s', ARGV[1], text_fence, now + ttl, now, ttl, ARGV[3]),
  'PX', string.format('%.0f', ARGV[2] + (fence - now) / 1000 + 2592000000))
return {text_fence}
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


_LUA_DELETE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class _Socket:
    """A bare socket: requests are packed here, replies are parsed by hiredis."""

    def __init__(self, url: str) -> None:
        import hiredis

        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname or "", address.port or 6379))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def request(self, *parts: object) -> Any:
        """Send a request and return the reply."""
        self.send(*parts)
        return self.read()

    def send(self, *parts: object) -> None:
        """Send a request."""
        packed = [f"*{len(parts)}\r\n".encode()]
        for part in parts:
            text = part if isinstance(part, bytes) else str(part).encode()
            packed.append(b"$%d\r\n%b\r\n" % (len(text), text))
        self._socket.sendall(b"".join(packed))

    def read(self) -> Any:
        """Return the next reply or published message."""
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65536))
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        self._socket.close()


class RedisLock:
    """One script each way, on a bare socket; unlock publishes a message that wakes a waiter."""

    def __init__(self, url: str, name: str) -> None:
        self._connection = _Socket(url)
        self._subscription: _Socket | None = None
        self._url = url
        self._key = f"floor:{{{name}}}"
        self._lock = self._connection.request("SCRIPT", "LOAD", _LUA_LOCK)
        self._unlock = self._connection.request("SCRIPT", "LOAD", _LUA_UNLOCK)
        self._token = ""

    def lock(self) -> int:
        """One EVALSHA."""
        self._token = new_token()
        info = encode(holder())
        reply = self._connection.request(
            "EVALSHA", self._lock, 1, self._key, self._token, TTL, info
        )
        return int(reply[0]) if len(reply) == 1 else 0

    def wait(self) -> int:
        """One wake-up by a published message, one EVALSHA."""
        if self._subscription is None:
            self._subscription = _Socket(self._url)
            self._subscription.request("SUBSCRIBE", f"{self._key}:free")
        while not (fence := self.lock()):
            self._subscription.read()
        return fence

    def unlock(self) -> int:
        """One EVALSHA."""
        command = ("EVALSHA", self._unlock, 1, self._key, self._token, f"{self._key}:free")
        freed: int = self._connection.request(*command)
        return freed

    def close(self) -> None:
        """Close the sockets."""
        self._connection.close()
        if self._subscription is not None:
            self._subscription.close()


class SimplestRedisLock:
    """The least that is a lock: a token and a ttl; no fence, holder, clock, queue or message."""

    def __init__(self, url: str, name: str) -> None:
        self._connection = _Socket(url)
        self._key = f"floor:simplest:{name}"
        self._delete = self._connection.request("SCRIPT", "LOAD", _LUA_DELETE)
        self._token = ""

    def lock(self) -> None:
        """One SET."""
        self._token = new_token()
        self._connection.request("SET", self._key, self._token, "NX", "PX", TTL)

    def unlock(self) -> None:
        """One EVALSHA: GET, DEL."""
        self._connection.request("EVALSHA", self._delete, 1, self._key, self._token)

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()


class BlpopBaton:
    """A list with one element: BLPOP takes it, LPUSH returns it; no token, no ttl, no fence."""

    def __init__(self, url: str, name: str) -> None:
        self._connection = _Socket(url)
        self._key = f"floor:baton:{name}"
        if self._connection.request("SETNX", f"{self._key}:made", 1):
            self.unlock()

    def lock(self) -> None:
        """One BLPOP."""
        self._connection.request("BLPOP", self._key, 0)

    wait = lock

    def unlock(self) -> None:
        """One LPUSH."""
        self._connection.request("LPUSH", self._key, 1)

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()


class RedisStore:
    """One command or script on a bare socket; values in a hash, their order in a sorted set."""

    def __init__(self, url: str, name: str) -> None:
        self._connection = _Socket(url)
        self._values = f"floor:{{{name}}}:values"
        self._keys = (3, self._values, f"floor:{{{name}}}:order", f"floor:{{{name}}}:count")
        texts = (_LUA_SET, _LUA_UNSET, _LUA_PAGE)
        self._set, self._unset, self._page = (
            self._connection.request("SCRIPT", "LOAD", t) for t in texts
        )

    def get(self, key: Key) -> Any:
        """One HGET."""
        return json.loads(self._connection.request("HGET", self._values, encode(key)))

    def set(self, key: Key, value: Value) -> None:
        """One EVALSHA: ZADD with INCR, HSET."""
        self._connection.request("EVALSHA", self._set, *self._keys, encode(key), encode(value))

    def unset(self, key: Key) -> None:
        """One EVALSHA: ZREM, HDEL."""
        self._connection.request("EVALSHA", self._unset, *self._keys, encode(key))

    def get_all(self) -> list[Any]:
        """One EVALSHA: ZRANGE, HMGET."""
        texts = self._connection.request("EVALSHA", self._page, *self._keys, "ZRANGE", -1)
        return decode_all(texts)

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """One EVALSHA with all."""
        parts = [part for key, value in items for part in (encode(key), encode(value))]
        self._connection.request("EVALSHA", self._set, *self._keys, *parts)

    def newest(self, limit: int) -> list[Any]:
        """One EVALSHA: ZREVRANGE, HMGET."""
        texts = self._connection.request("EVALSHA", self._page, *self._keys, "ZREVRANGE", limit - 1)
        return decode_all(texts)

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()
