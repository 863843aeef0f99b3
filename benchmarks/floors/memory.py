"""The floor of `simple`: a hook call, and a dict under a lock."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pluggy

from benchmarks.floors.common import TTL, Key, Value, decode_all, encode, holder, new_token

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
    """A dict of locks and one of entries; waiters block on a condition."""

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

    A single value is neither copied nor encoded as JSON; batches are kept as JSON.
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
        """One wake-up through the condition, one hook call."""
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
        """Decode the JSON of all entries."""
        with self._backend.freed:
            values: list[Any] = list(self._backend.entries.values())
        return decode_all(values)

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """Encode each value as JSON, then store all under one lock."""
        copies = [(repr(key["id"]), encode(value)) for key, value in items]
        with self._backend.freed:
            for key, value in copies:
                self._backend.entries.pop(key, None)
                self._backend.entries[key] = value

    def newest(self, limit: int) -> list[Any]:
        """Decode the JSON of the entries that were stored last."""
        with self._backend.freed:
            last = itertools.islice(reversed(self._backend.entries.values()), limit)
            values: list[Any] = list(last)
        return decode_all(values)

    def close(self) -> None:
        """Nothing to close."""
