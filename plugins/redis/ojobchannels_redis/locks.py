"""The operations on locks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from ojobchannels import remote
from ojobchannels.documents import decode, encode
from ojobchannels.errors import ChannelClosed, ChannelError
from ojobchannels.hookspecs import Adopted, Busy, Granted, LeaseRequest, LockInfo, hookimpl
from ojobchannels.host.forks import forget_in_children
from ojobchannels.steps import Steps, drive, performed
from ojobchannels_redis import scripts
from ojobchannels_redis.connections import Command
from ojobchannels_redis.keys import Keys
from ojobchannels_redis.server import Client, scanning
from ojobchannels_redis.subscriber import LOOK_WHEN_NOT, Waiter

_BATCH: Final = 1000


class Held:
    """What one handle was granted, its waiters, and whether it is closed; for all its clients.

    Attributes:
        granted: The names of the locks, by the tokens of their leases.
        waiters: By tokens that may be in a queue, or were called.
        closed: Whether the handle was closed.
        mutex: To be held while a lease is added, or the handle is closed.
    """

    def __init__(self) -> None:
        self.closed = False
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        """Leave leases and waiters to the parent, in a forked child."""
        self.mutex = threading.Lock()
        self.granted: dict[str, str] = {}
        self.waiters: dict[str, Waiter] = {}

    def leave(self, token: str) -> None:
        """Forget the waiter of a token."""
        waiter = self.waiters.pop(token, None)
        if waiter is not None:
            waiter.leave()

    def close(self) -> dict[str, str]:
        """Wake the waiters; return the names of the locks to release, by their tokens."""
        with self.mutex:
            self.closed = True
            waiters, self.waiters = list(self.waiters.values()), {}
            left = self.granted | {waiter.token: waiter.lock for waiter in waiters}
            self.granted = {}
        for waiter in waiters:
            waiter.wake()
            waiter.leave()
        return left


class Locks:
    """The part of a handle that serves the locks.

    Args:
        client: The calls of the channel.
        keys: The names of its keys.
        held: What the handle was granted.
    """

    def __init__(self, client: Client, keys: Keys, held: Held) -> None:
        self._client = client
        self.perform = client.perform
        self._names = keys
        self._timeout = client.server.settings.timeout
        self._subscriber = client.server.subscriber
        self._held = held

    @hookimpl
    @performed
    def lock(
        self, name: str, token: str, ttl: int, holder: dict[str, Any], waits: bool
    ) -> Steps[Granted | Busy]:
        key, wake_channel = self._names.lock(name), self._wake_channel()
        # Added before the server queues it, or a call could be missed. It starts no subscription:
        # that would cost a lock that is granted at once.
        listening = waits and self._subscriber.is_subscribed(wake_channel)
        waiter = self._waiter(name, token) if listening else None
        joins = 1 if waiter and waiter.is_listening() else 0
        queue = self._names.queue(key)
        command = (scripts.LOCK, 1, key, token, ttl, encode(holder), wake_channel, queue, joins)
        fence, *more = yield from self._client.calling(remote.LOCK, key, command)
        if len(more) > 2:
            if waiter and more[2]:
                waiter.queued_for = int(more[0]) / 1e6
            return Busy(int(fence), decode(more[1].decode()), -(-int(more[0]) // 1000))
        yield from self._remember(name, token)
        if not more:
            return Granted(int(fence), None)
        return Granted(int(fence), {**decode(more[1].decode()), "fence": int(more[0])})

    @hookimpl
    @performed
    def unlock(self, name: str, token: str) -> Steps[bool]:
        return self._unlocking(name, token)

    @hookimpl
    @performed
    def extend(self, name: str, token: str, ttl: int) -> Steps[bool]:
        held = yield from self._client.calling(remote.EXTEND, *self._extension(name, token, ttl))
        return bool(held)

    @hookimpl
    @performed
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> Steps[list[bool | None]]:
        seconds = min(timeout / 1000, self._timeout)
        commands = [self._extension(*lease) for lease in leases]
        replies = yield from self._client.calling_all(remote.EXTEND, commands, seconds)
        errors = _errors(replies)
        if errors and len(errors) == len(replies):
            raise errors[0]
        return [None if isinstance(reply, ChannelError) else bool(reply) for reply in replies]

    @hookimpl
    @performed
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Steps[Adopted | bool]:
        adopted = yield from self._adopting(name, token, holder)
        if holder is None:
            self._held.granted.pop(token, None)
        elif adopted:
            yield from self._remember(name, token)
        return adopted

    @hookimpl
    @performed
    def lock_info(self, name: str) -> Steps[LockInfo | None]:
        key = self._names.lock(name)
        reply = yield from self._client.calling(remote.LOCK_INFO, key, (scripts.LOOK, 1, key))
        return _info(name, reply)

    @hookimpl
    @performed
    def locks(self) -> Steps[list[LockInfo]]:
        found = yield from self._client.calling_each(
            remote.LOCKS, scanning(self._names.lock_pattern)
        )
        infos = []
        in_order = sorted(set().union(*found))
        for start in range(0, len(in_order), _BATCH):
            keys = in_order[start : start + _BATCH]
            looks: list[tuple[str, Command]] = [(key, (scripts.LOOK, 1, key)) for key in keys]
            replies = yield from self._client.calling_all(remote.LOCKS, looks, self._timeout)
            for error in _errors(replies):
                raise error
            names = map(self._names.lock_name, keys)
            infos += [_info(name, reply) for name, reply in zip(names, replies, strict=True)]
        return [info for info in infos if info]

    @hookimpl
    @performed
    def force_unlock(self, name: str) -> Steps[LockInfo | None]:
        key = self._names.lock(name)
        command = (scripts.FORCE_UNLOCK, 1, key, self._names.queue(key))
        reply = yield from self._client.calling(remote.FORCE_UNLOCK, key, command)
        return _info(name, reply)

    @hookimpl
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        ends = None if timeout is None else time.monotonic() + timeout / 1000
        try:
            self._wait(self._waiter(name, token), self._names.lock(name), seen_fence, ends)
        except ChannelClosed:
            self._held.leave(token)
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
    @performed
    def share(self, name: str, token: str) -> Steps[list[int] | bool]:
        adopted = yield from self._adopting(name, token, None)
        return [] if adopted else False

    def release_all(self) -> None:
        """Wake the waiters of this handle, and release every lease that it was granted."""
        left = self._held.close()
        if left:
            with suppress(ChannelError):
                self._unlock_all(left)

    def _unlock_all(self, names: dict[str, str]) -> None:
        commands = [self._release(name, token) for token, name in names.items()]
        drive(self._client.calling_all(remote.UNLOCK, commands, self._timeout))

    def _unlocking(self, name: str, token: str) -> Steps[bool]:
        self._held.granted.pop(token, None)
        self._held.leave(token)
        lost: list[Exception] = []
        held = yield from self._client.calling(remote.UNLOCK, *self._release(name, token), lost)
        if not held and lost:
            raise remote.UNLOCK.unknown(self._client.channel) from remote.sole(lost[0])
        return bool(held)

    def _release(self, name: str, token: str) -> tuple[str, Command]:
        key = self._names.lock(name)
        receivers = 0 if self._client.server.settings.cluster else 1
        queue = self._names.queue(key)
        return key, (scripts.UNLOCK, 1, key, token, self._wake_channel(), queue, receivers)

    def _wake_channel(self) -> str:
        return self._names.wake_channel(self._subscriber.name)

    def _waiter(self, name: str, token: str) -> Waiter:
        waiter = self._held.waiters.get(token)
        if waiter is None:
            waiter = Waiter(self._subscriber, self._wake_channel(), token, name)
            self._held.waiters[token] = waiter
        return waiter

    def _remember(self, name: str, token: str) -> Steps[None]:
        with self._held.mutex:
            if not self._held.closed:
                self._held.granted[token] = name
                self._held.leave(token)
                return
        yield from self._unlocking(name, token)
        raise ChannelClosed(self._client.channel)

    def _adopting(
        self, name: str, token: str, holder: dict[str, Any] | None
    ) -> Steps[Adopted | bool]:
        key = self._names.lock(name)
        text = "" if holder is None else encode(holder)
        command = (scripts.ADOPT, 1, key, token, text)
        reply = yield from self._client.calling(remote.ADOPT, key, command)
        if not reply:
            return False
        fence, left, _, _, _, ttl = reply
        return Adopted(int(fence), int(ttl) // 1000, int(left) // 1000)

    def _wait(self, waiter: Waiter, key: str, seen_fence: int, ends: float | None) -> None:
        watch = _Watch(self, waiter, key, seen_fence)
        while (pause := min(drive(watch.looking(_left(ends))), _left(ends))) > 0:
            if waiter.sleep(pause):
                break
        self.check_open()

    def joining(self, waiter: Waiter, key: str, listening: bool) -> Steps[Any]:
        """Put a waiter into the queue of a lock, and return the reply of the server."""
        channel = self._wake_channel() if listening else ""
        command = (scripts.JOIN, 1, key, waiter.token, channel, self._names.queue(key))
        return self._client.calling(remote.WAIT, key, command)

    def subscribed(self, waiter: Waiter, seconds: float) -> Any:
        """Allow a waiter a moment to listen; in a loop, return a coroutine that does."""
        event = waiter.subscribe()
        return event and self._client.wait_for(event, min(seconds, LOOK_WHEN_NOT))

    def check_open(self) -> None:
        """Raise ChannelClosed if the channel was closed."""
        if self._held.closed:
            raise ChannelClosed(self._client.channel)

    def _extension(self, name: str, token: str, ttl: int) -> tuple[str, Command]:
        key = self._names.lock(name)
        return key, (scripts.EXTEND, 1, key, token, ttl, self._names.queue(key))


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

    def look(self) -> Any:
        """Return the seconds until the next look, 0 or less if the lock may be granted."""
        return self._locks.perform(self.looking())

    def looking(self, longest: float = float("inf")) -> Steps[float]:
        """Yield the steps of a look."""
        waiter, left = self._waiter, self._left
        self._locks.check_open()
        if waiter.notify is not None and waiter.sleep(0):
            return 0  # it was called, maybe before it had someone to notify
        listening, self._left = True, None
        if left is None:
            if self._is_first:
                yield partial(self._locks.subscribed, waiter, longest)
            listening = waiter.is_listening()
            reply = yield from self._locks.joining(waiter, self._key, listening)
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
