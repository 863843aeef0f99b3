"""The operations on locks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import RedisError

from ojobchannels.documents import decode, encode
from ojobchannels.errors import ChannelClosed, ChannelError, OutcomeUnknown
from ojobchannels.hookspecs import Adopted, Busy, Granted, LeaseRequest, LockInfo, hookimpl
from ojobchannels.host.forks import forget_in_children
from ojobchannels_redis import scripts
from ojobchannels_redis.connections import Command, Wire
from ojobchannels_redis.errors import Operation, Rule
from ojobchannels_redis.keys import Keys
from ojobchannels_redis.server import Line
from ojobchannels_redis.subscriber import Seat

_BATCH: Final = 1000

_LOCK: Final = Operation(
    "lock", Rule.REPEATABLE, "if it was granted, its ttl ends it; ask again to get a new lease"
)
_UNLOCK: Final = Operation(
    "unlock",
    Rule.REPEATABLE,
    "the lock is not held by this lease any more, or soon: whether it was to the end is not known",
)
_EXTEND: Final = Operation("extend", Rule.REPEATABLE, "ask again while there is time")
_ADOPT: Final = Operation("adopt", Rule.REPEATABLE, "ask again while there is time")
_LOCK_INFO: Final = Operation("lock_info")
_LOCKS: Final = Operation("locks")
_WAIT: Final = Operation("wait")
_FORCE: Final = Operation("force_unlock", Rule.ONCE, "look with lock_info, then decide")


class Locks:
    """Half of a handle: its locks."""

    def __init__(self, line: Line, keys: Keys) -> None:
        self._locks = line
        self._names = keys
        self._subscriber = line.server.subscriber
        self._seats: dict[str, Seat] = {}  # by tokens that may have a place, or have been called
        self._mutex = threading.Lock()
        self._granted: dict[str, str] = {}
        self._closed = False
        forget_in_children(self)

    def forget(self) -> None:
        """Leaves the parent's leases and waiters to the parent, in a forked child."""
        self._mutex = threading.Lock()
        self._granted = {}
        self._seats = {}

    @hookimpl
    def lock(
        self, name: str, token: str, ttl: int, holder: dict[str, Any], waits: bool
    ) -> Granted | Busy:
        answer = self._lock(name, token, ttl, holder, waits)
        if isinstance(answer, Granted):
            self._remember(name, token)
        return answer

    @hookimpl
    def unlock(self, name: str, token: str) -> bool:
        self._granted.pop(token, None)
        self._leave(token)
        lost: list[RedisError] = []
        held = self._locks.call(_UNLOCK, *self._release(name, token), lost)
        if not held and lost:
            raise OutcomeUnknown(self._locks.channel, "unlock", _UNLOCK.advice) from lost[0]
        return bool(held)

    @hookimpl
    def extend(self, name: str, token: str, ttl: int) -> bool:
        return bool(self._locks.call(_EXTEND, *self._extension(name, token, ttl)))

    @hookimpl
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool | None]:
        seconds = min(timeout / 1000, self._locks.server.settings.timeout)
        commands = [self._extension(*lease) for lease in leases]
        answers = self._locks.call_all(_EXTEND, commands, seconds)
        failures = _failures(answers)
        if failures and len(failures) == len(answers):
            raise failures[0]
        return [None if isinstance(one, ChannelError) else bool(one) for one in answers]

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
        return _info(name, self._locks.call(_LOCK_INFO, key, (scripts.LOOK, 1, key)))

    @hookimpl
    def locks(self) -> list[LockInfo]:
        found = {key for keys in self._locks.call_each(_LOCKS, self._scan) for key in keys}
        infos = []
        for keys in _batched(sorted(found), _BATCH):
            looks: list[tuple[str, Command]] = [(key, (scripts.LOOK, 1, key)) for key in keys]
            answers = self._locks.call_all(_LOCKS, looks, self._locks.server.settings.timeout)
            for failure in _failures(answers):
                raise failure
            names = map(self._names.lock_name, keys)
            infos += [_info(name, answer) for name, answer in zip(names, answers, strict=True)]
        return [info for info in infos if info]

    @hookimpl
    def force_unlock(self, name: str) -> LockInfo | None:
        key = self._names.lock(name)
        command = (scripts.FORCE_UNLOCK, 1, key, self._names.queue(key))
        return _info(name, self._locks.call(_FORCE, key, command))

    @hookimpl
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        ends = None if timeout is None else time.monotonic() + timeout / 1000
        try:
            self._wait(self._seat(name, token), self._names.lock(name), seen_fence, ends)
        except ChannelClosed:
            self._leave(token)
            with suppress(ChannelError):  # it may have joined after all places were given up
                self._unlock_all({token: name})
            raise
        return True

    @hookimpl
    def share(self, name: str, token: str) -> list[int] | bool:
        return [] if self._adopt(name, token, None) else False

    def give_up(self) -> None:
        """Wakes the waiters of this handle, gives up their places, and what was granted late."""
        with self._mutex:
            self._closed = True
            seats, self._seats = list(self._seats.values()), {}
            late = self._granted | {seat.token: seat.lock for seat in seats}
            self._granted = {}
        for seat in seats:
            seat.ring()
            seat.leave()
        if late:
            with suppress(ChannelError):
                self._unlock_all(late)

    def _unlock_all(self, names: dict[str, str]) -> None:
        commands = [self._release(name, token) for token, name in names.items()]
        self._locks.call_all(_UNLOCK, commands, self._locks.server.settings.timeout)

    def _release(self, name: str, token: str) -> tuple[str, Command]:
        key = self._names.lock(name)
        hearers = 0 if self._locks.server.settings.cluster else 1
        queue = self._names.queue(key)
        return key, (scripts.UNLOCK, 1, key, token, self._ear(), queue, hearers)

    def _ear(self) -> str:
        return self._names.ear(self._subscriber.name)

    def _seat(self, name: str, token: str) -> Seat:
        seat = self._seats.get(token)
        if seat is None:
            seat = self._seats[token] = Seat(self._subscriber, self._ear(), token, name)
        return seat

    def _leave(self, token: str) -> None:
        seat = self._seats.pop(token, None)
        if seat is not None:
            seat.leave()

    def _remember(self, name: str, token: str) -> None:
        with self._mutex:
            if not self._closed:
                self._granted[token] = name
                self._leave(token)
                return
        self.unlock(name, token)
        raise ChannelClosed(self._locks.channel)

    def _lock(
        self, name: str, token: str, ttl: int, holder: dict[str, Any], waits: bool
    ) -> Granted | Busy:
        key, ear = self._names.lock(name), self._ear()
        # Seated before it is placed, or a call could be missed; but nobody listens for its sake.
        seat = self._seat(name, token) if waits and self._subscriber.hears(ear) else None
        joins = 1 if seat and seat.hears() else 0
        queue = self._names.queue(key)
        command = (scripts.LOCK, 1, key, token, ttl, encode(holder), ear, queue, joins)
        answer = self._locks.call(_LOCK, key, command)
        fence, *more = answer
        if len(more) > 2:
            if seat and more[2]:
                seat.placed_for = int(more[0]) / 1e6
            return Busy(int(fence), decode(more[1].decode()), -(-int(more[0]) // 1000))
        if not more:
            return Granted(int(fence), None)
        return Granted(int(fence), {**decode(more[1].decode()), "fence": int(more[0])})

    def _adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        key = self._names.lock(name)
        told = "" if holder is None else encode(holder)
        answer = self._locks.call(_ADOPT, key, (scripts.ADOPT, 1, key, token, told))
        if not answer:
            return False
        fence, left, _, _, _, ttl = answer
        return Adopted(int(fence), int(ttl) // 1000, int(left) // 1000)

    def _wait(self, seat: Seat, key: str, seen_fence: int, ends: float | None) -> None:
        hears, left, seat.placed_for = True, seat.placed_for, None
        if left is None:
            seat.settle(_left(ends))
        expected: int | None = seen_fence
        queue = self._names.queue(key)
        while not self._closed:
            if left is None:
                hears = seat.hears()
                command = (scripts.JOIN, 1, key, seat.token, self._ear() if hears else "", queue)
                answer = self._locks.call(_WAIT, key, command)
                if not answer or (expected not in (None, int(answer[0])) and not answer[2]):
                    return
                left = int(answer[1]) / 1e6
            expected = None  # from now on whoever has it may change; it is called
            pause = min(seat.patience(hears), left, _left(ends))
            if pause <= 0 or seat.doze(pause):
                break
            left = None
        if self._closed:
            raise ChannelClosed(self._locks.channel)

    def _extension(self, name: str, token: str, ttl: int) -> tuple[str, Command]:
        key = self._names.lock(name)
        return key, (scripts.EXTEND, 1, key, token, ttl, self._names.queue(key))

    def _scan(self, wire: Wire, limit: float) -> set[str]:
        found: set[str] = set()
        cursor = b"0"
        while True:
            cursor, keys = wire.ask(
                ("SCAN", cursor, "MATCH", self._names.lock_pattern, "COUNT", _BATCH), limit
            )
            found.update(key.decode() for key in keys)
            if cursor == b"0":
                return found


def _info(name: str, answer: list[bytes]) -> LockInfo | None:
    if not answer:
        return None
    fence, _, holder, since, until, _ = answer
    return LockInfo(
        name, int(fence), decode(holder.decode()), int(since) // 1000, int(until) // 1000
    )


def _failures(answers: list[Any]) -> list[ChannelError]:
    return [answer for answer in answers if isinstance(answer, ChannelError)]


def _batched(things: list[str], size: int) -> Iterator[list[str]]:
    return (things[start : start + size] for start in range(0, len(things), size))


def _left(ends: float | None) -> float:
    return float("inf") if ends is None else ends - time.monotonic()
