"""The operations on locks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ojobchannels import remote
from ojobchannels.documents import decode, encode
from ojobchannels.errors import ChannelClosed, ChannelError
from ojobchannels.hookspecs import Adopted, Busy, Granted, LeaseRequest, LockInfo, hookimpl
from ojobchannels.host.forks import forget_in_children
from ojobchannels_redis import scripts
from ojobchannels_redis.connections import Command, Connection
from ojobchannels_redis.server import Client
from ojobchannels_redis.subscriber import Waiter
from ojobchannels_redis.topology import Keys

_BATCH: Final = 1000


class Locks:
    """The part of a handle that serves the locks."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._names = keys
        self._timeout = client.server.settings.timeout
        self._subscriber = client.server.subscriber
        self._closed = False
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        """Leave leases and waiters to the parent, in a forked child."""
        self._mutex = threading.Lock()
        self._granted: dict[str, str] = {}
        self._waiters: dict[str, Waiter] = {}  # by tokens that may be in a queue, or were called

    @hookimpl
    def lock(
        self, name: str, token: str, ttl: int, holder: dict[str, Any], waits: bool
    ) -> Granted | Busy:
        result = self._lock(name, token, ttl, holder, waits)
        if isinstance(result, Granted):
            self._remember(name, token)
        return result

    @hookimpl
    def unlock(self, name: str, token: str) -> bool:
        self._granted.pop(token, None)
        self._leave(token)
        lost: list[Exception] = []
        held = self._client.call(remote.UNLOCK, *self._release(name, token), lost)
        if not held and lost:
            raise remote.UNLOCK.unknown(self._client.channel) from remote.sole(lost[0])
        return bool(held)

    @hookimpl
    def extend(self, name: str, token: str, ttl: int) -> bool:
        return bool(self._client.call(remote.EXTEND, *self._extension(name, token, ttl)))

    @hookimpl
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool | None]:
        seconds = min(timeout / 1000, self._timeout)
        commands = [self._extension(*lease) for lease in leases]
        replies = self._client.call_all(remote.EXTEND, commands, seconds)
        errors = _errors(replies)
        if errors and len(errors) == len(replies):
            raise errors[0]
        return [None if isinstance(reply, ChannelError) else bool(reply) for reply in replies]

    @hookimpl
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        adopted = self._adopt(name, token, holder)
        if holder is None:
            self._granted.pop(token, None)
        elif adopted:
            self._remember(name, token)
        return adopted

    @hookimpl
    def lock_info(self, name: str) -> LockInfo | None:
        key = self._names.lock(name)
        return _info(name, self._client.call(remote.LOCK_INFO, key, (scripts.LOOK, 1, key)))

    @hookimpl
    def locks(self) -> list[LockInfo]:
        lock_keys = set().union(*self._client.call_each(remote.LOCKS, self._scan))
        infos = []
        in_order = sorted(lock_keys)
        for start in range(0, len(in_order), _BATCH):
            keys = in_order[start : start + _BATCH]
            looks: list[tuple[str, Command]] = [(key, (scripts.LOOK, 1, key)) for key in keys]
            replies = self._client.call_all(remote.LOCKS, looks, self._timeout)
            for error in _errors(replies):
                raise error
            names = map(self._names.lock_name, keys)
            infos += [_info(name, reply) for name, reply in zip(names, replies, strict=True)]
        return [info for info in infos if info]

    @hookimpl
    def force_unlock(self, name: str) -> LockInfo | None:
        key = self._names.lock(name)
        command = (scripts.FORCE_UNLOCK, 1, key, self._names.queue(key))
        return _info(name, self._client.call(remote.FORCE_UNLOCK, key, command))

    @hookimpl
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        ends = None if timeout is None else time.monotonic() + timeout / 1000
        try:
            self._wait(self._waiter(name, token), self._names.lock(name), seen_fence, ends)
        except ChannelClosed:
            self._leave(token)
            with suppress(ChannelError):  # it may have joined after all waiters had left
                self._unlock_all({token: name})
            raise
        return True

    @hookimpl
    def watch(self, name: str, seen_fence: int, token: str, notify: Callable[[], None]) -> _Watch:
        waiter = self._waiter(name, token)
        waiter.notify = notify
        return _Watch(self, waiter, self._names.lock(name), seen_fence)

    @hookimpl
    def share(self, name: str, token: str) -> list[int] | bool:
        return [] if self._adopt(name, token, None) else False

    def release_all(self) -> None:
        """Wake the waiters of this handle, and release every lease that it was granted."""
        with self._mutex:
            self._closed = True
            waiters, self._waiters = list(self._waiters.values()), {}
            late = self._granted | {waiter.token: waiter.lock for waiter in waiters}
            self._granted = {}
        for waiter in waiters:
            waiter.wake()
            waiter.leave()
        if late:
            with suppress(ChannelError):
                self._unlock_all(late)

    def _unlock_all(self, names: dict[str, str]) -> None:
        commands = [self._release(name, token) for token, name in names.items()]
        self._client.call_all(remote.UNLOCK, commands, self._timeout)

    def _release(self, name: str, token: str) -> tuple[str, Command]:
        key = self._names.lock(name)
        receivers = 0 if self._client.server.settings.cluster else 1
        queue = self._names.queue(key)
        return key, (scripts.UNLOCK, 1, key, token, self._wake_channel(), queue, receivers)

    def _wake_channel(self) -> str:
        return self._names.wake_channel(self._subscriber.name)

    def _waiter(self, name: str, token: str) -> Waiter:
        waiter = self._waiters.get(token)
        if waiter is None:
            waiter = Waiter(self._subscriber, self._wake_channel(), token, name)
            self._waiters[token] = waiter
        return waiter

    def _leave(self, token: str) -> None:
        waiter = self._waiters.pop(token, None) if self._waiters else None
        if waiter is not None:
            waiter.leave()

    def _remember(self, name: str, token: str) -> None:
        with self._mutex:
            if not self._closed:
                self._granted[token] = name
                self._leave(token)
                return
        self.unlock(name, token)
        raise ChannelClosed(self._client.channel)

    def _lock(
        self, name: str, token: str, ttl: int, holder: dict[str, Any], waits: bool
    ) -> Granted | Busy:
        key, wake_channel = self._names.lock(name), self._wake_channel()
        # Added before the server queues it, or a call could be missed. It starts no subscription:
        # that would cost a lock that is granted at once.
        listening = waits and self._subscriber.is_subscribed(wake_channel)
        waiter = self._waiter(name, token) if listening else None
        joins = 1 if waiter and waiter.is_listening() else 0
        queue = self._names.queue(key)
        command = (scripts.LOCK, 1, key, token, ttl, encode(holder), wake_channel, queue, joins)
        fence, *more = self._client.call(remote.LOCK, key, command)
        if len(more) > 2:
            if waiter and more[2]:
                waiter.queued_for = int(more[0]) / 1e6
            return Busy(int(fence), decode(more[1].decode()), -(-int(more[0]) // 1000))
        if not more:
            return Granted(int(fence), None)
        return Granted(int(fence), {**decode(more[1].decode()), "fence": int(more[0])})

    def _adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        key = self._names.lock(name)
        text = "" if holder is None else encode(holder)
        reply = self._client.call(remote.ADOPT, key, (scripts.ADOPT, 1, key, token, text))
        if not reply:
            return False
        fence, left, _, _, _, ttl = reply
        return Adopted(int(fence), int(ttl) // 1000, int(left) // 1000)

    def _wait(self, waiter: Waiter, key: str, seen_fence: int, ends: float | None) -> None:
        watch = _Watch(self, waiter, key, seen_fence)
        while (pause := min(watch.look(_left(ends)), _left(ends))) > 0:
            if waiter.sleep(pause):
                break
        self.check_open()

    def join(self, waiter: Waiter, key: str, listening: bool) -> Any:
        """Put a waiter into the queue of a lock, and return the reply of the server."""
        channel = self._wake_channel() if listening else ""
        command = (scripts.JOIN, 1, key, waiter.token, channel, self._names.queue(key))
        return self._client.call(remote.WAIT, key, command)

    def check_open(self) -> None:
        """Raise ChannelClosed if the channel was closed."""
        if self._closed:
            raise ChannelClosed(self._client.channel)

    def _extension(self, name: str, token: str, ttl: int) -> tuple[str, Command]:
        key = self._names.lock(name)
        return key, (scripts.EXTEND, 1, key, token, ttl, self._names.queue(key))

    def _scan(self, connection: Connection, limit: float) -> set[str]:
        lock_keys: set[str] = set()
        cursor = b"0"
        while True:
            cursor, keys = connection.ask(
                ("SCAN", cursor, "MATCH", self._names.lock_pattern, "COUNT", _BATCH), limit
            )
            lock_keys.update(key.decode() for key in keys)
            if cursor == b"0":
                return lock_keys


class _Watch:
    """The looks of a waiter at its lock."""

    descriptor: Final = -1

    def __init__(self, locks: Locks, waiter: Waiter, key: str, seen_fence: int) -> None:
        self._locks = locks
        self._waiter = waiter
        self._key = key
        self._expected: int | None = seen_fence
        self._left, waiter.queued_for = waiter.queued_for, None
        self._is_first = True

    def look(self, longest: float = float("inf")) -> float:
        """Return the seconds until the next look; 0 or less if the lock may be granted."""
        waiter, left = self._waiter, self._left
        self._locks.check_open()
        if not self._is_first and waiter.notify is not None and waiter.sleep(0):
            return 0  # it was called
        listening, self._left = True, None
        if left is None:
            if self._is_first:
                waiter.subscribe(longest)
            listening = waiter.is_listening()
            reply = self._locks.join(waiter, self._key, listening)
            if not reply or (self._expected not in (None, int(reply[0])) and not reply[2]):
                return 0
            left = int(reply[1]) / 1e6
        self._is_first, self._expected = False, None  # from now on the server calls this waiter
        return min(waiter.longest_sleep(listening), left)

    def close(self) -> None:
        """Notify no more; the waiter leaves when its token locks or unlocks."""
        self._waiter.notify = None


def _info(name: str, reply: list[bytes]) -> LockInfo | None:
    if not reply:
        return None
    fence, _, holder, since, until, _ = reply
    return LockInfo(
        name, int(fence), decode(holder.decode()), int(since) // 1000, int(until) // 1000
    )


def _errors(replies: list[Any]) -> list[ChannelError]:
    return [reply for reply in replies if isinstance(reply, ChannelError)]


def _left(ends: float | None) -> float:
    return float("inf") if ends is None else ends - time.monotonic()
