"""The operations on locks.

A lock has two rows. Its *state* names the holder, or says that the lock was released. The state of
a held lock has an expiry policy, so that the node that has it removes it when the lease expires, by
its own clock and whatever other clocks show. The *last fence* outlives the lease.

To take a lock, a client reads both, replaces the state, which only one of several can do, and then
the last fence. The lock is granted when the last fence names this very state: a client that was
stopped in between finds that another one came first, and begins again.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from ojobchannels import remote
from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import Adopted, Busy, Granted, LeaseRequest, LockInfo, hookimpl
from ojobchannels.remote import Operation, Rule
from ojobchannels.remote_leases import HeldLeases
from ojobchannels.remote_waiters import Waiter
from ojobchannels_ignite.connection import Connection
from ojobchannels_ignite.reader import TABLE
from ojobchannels_ignite.requests import Requests
from ojobchannels_ignite.rows import LockRows, new_writer

_SHARE: Final = Operation("share")
_CLOSE: Final = Operation("close", Rule.REPEATABLE, "the ttl ends the leases that are left")
_FORCE_UNLOCK: Final = remote.FORCE_UNLOCK._replace(rule=Rule.REPEATABLE)
_BATCH: Final = 500
_DAY: Final = 86_400_000
_FENCE_TTL: Final = 30 * _DAY
_FREE_TTL: Final = 31 * _DAY

_State = dict[str, Any]


class Locks:
    """The part of a handle that serves the locks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows = LockRows(connection.channel)
        self._clock = connection.cluster.clock
        self._server_waiters = connection.cluster.waiters
        self._leases = HeldLeases(connection.channel)
        self._texts: dict[str, str] = {}  # by tokens: the states that this handle wrote
        table = f'"{connection.cluster.settings.cache}".{TABLE}'
        self._held = f"SELECT V FROM {table} WHERE V > ? AND V < ? ORDER BY V LIMIT ?"  # noqa: S608  a checked name

    @hookimpl
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        with self._leases.requesting():
            result = self._connection.call(
                remote.LOCK, lambda at, _: self._acquire(at, name, token, ttl, holder)
            )
            if isinstance(result, Granted):
                self._leases.add(name, token)
        return result

    @hookimpl
    def unlock(self, name: str, token: str) -> bool:
        sent: set[str] = set()
        freed = self._connection.call(
            remote.UNLOCK, lambda at, again: self._release(at, name, token, sent, again)
        )
        self._leases.discard(name, token)
        self._server_waiters.released(self._rows.lease_key(name))
        return freed

    @hookimpl
    def extend(self, name: str, token: str, ttl: int) -> bool:
        return self._extend(LeaseRequest(name, token, ttl), self._connection.timeout)

    @hookimpl
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool | None]:
        ends = time.monotonic() + min(timeout / 1000, self._connection.timeout)
        results: list[bool | None] = []
        for lease in leases:
            try:
                results.append(self._extend(lease, max(ends - time.monotonic(), 0.001)))
            except ChannelError:
                if not results:
                    raise
                return results + [None] * (len(leases) - len(results))
        return results

    @hookimpl
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        sent: set[str] = set()

        def take_over(at: Requests, _: bool) -> Adopted | bool:
            for text, state in self._states(at, name, token):
                left = self._left(at, state)
                if holder is not None and text not in sent:
                    state = state | {"holder": holder, "write": new_writer()}
                    changed = self._rows.held(state)
                    sent.add(changed)
                    if not at.swap(self._rows.lease_key(name), text, changed, left):
                        continue
                    self._texts[token] = changed
                return Adopted(state["fence"], state["ttl"], left)
            return False

        adopted = self._connection.call(remote.ADOPT, take_over)
        if holder is None:
            self._leases.discard(name, token)
        elif adopted:
            self._leases.add(name, token)
        return adopted

    @hookimpl
    def lock_info(self, name: str) -> LockInfo | None:
        key = self._rows.lease_key(name)
        return self._info(self._connection.call(remote.LOCK_INFO, lambda at, _: at.get(key)))

    @hookimpl
    def locks(self) -> list[LockInfo]:
        def read(at: Requests, _: bool) -> list[LockInfo]:
            texts: list[str] = []
            low = self._rows.first
            while rows := at.select(self._held, low, self._rows.last, _BATCH):
                # A query may still show what has expired.
                keys = [self._rows.lease_key(self._rows.parse(text)["name"]) for (text,) in rows]
                texts += at.get_all(keys).values()
                low = rows[-1][0]
            return sorted(info for text in texts if (info := self._info(text)))

        return self._connection.call(remote.LOCKS, read)

    @hookimpl
    def force_unlock(self, name: str) -> LockInfo | None:
        key = self._rows.lease_key(name)
        sent: dict[str, str] = {}

        def evict(at: Requests, again: bool) -> str | None:
            while True:
                text = at.get(key)
                if text in sent:
                    return sent[text]
                if again and sent and text not in sent.values():
                    raise _FORCE_UNLOCK.unknown(self._connection.channel)
                if text is None or not self._rows.is_held(text):
                    return None
                state = self._rows.parse(text)
                free = self._free_text(state["fence"], evicted=state["holder"])
                sent[free] = text
                if at.swap(key, text, free, _FREE_TTL):
                    return text

        evicted = self._connection.call(_FORCE_UNLOCK, evict)
        self._server_waiters.released(key)
        return self._info(evicted)

    @hookimpl
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        key = self._rows.lease_key(name)
        ends = float("inf") if timeout is None else time.monotonic() + timeout / 1000

        def left(at: Requests, _: bool) -> float | None:
            text = at.get(key)
            state = self._rows.parse(text) if text and self._rows.is_held(text) else None
            if state is None or state["fence"] != seen_fence:
                return None
            return self._left(at, state) / 1000

        with Waiter(self._server_waiters, key) as waiter, self._leases.waiting(waiter):
            while not self._leases.closed:
                seconds = self._connection.call(remote.WAIT, left)
                if seconds is None:
                    return True
                pause = min(seconds, ends - time.monotonic())
                if pause <= 0 or waiter.sleep(pause):
                    break
        return True

    @hookimpl
    def share(self, name: str, token: str) -> list[int] | bool:
        held = self._connection.call(
            _SHARE, lambda at, _: any(True for _ in self._states(at, name, token))
        )
        return [] if held else False

    def close_locks(self) -> None:
        """Wake the waiters, and release every lease that this handle was granted."""
        left = self._leases.close(self._connection.timeout)
        if not left:
            return

        def free(at: Requests, _: bool) -> None:
            for name, token in list(left):
                self._release(at, name, token, set(), False)
                left.remove((name, token))
                self._server_waiters.released(self._rows.lease_key(name))

        with suppress(ChannelError):
            self._connection.call(_CLOSE, free)

    def _acquire(
        self, at: Requests, name: str, token: str, ttl: int, holder: dict[str, Any]
    ) -> Granted | Busy:
        lease_key, fence_key = self._rows.lease_key(name), self._rows.fence_key(name)
        while True:
            texts = at.get_all([lease_key, fence_key])
            text, last_text = texts.get(lease_key), texts.get(fence_key)
            state = self._rows.parse(text) if text else {}
            last = self._rows.parse(last_text) if last_text else {}
            if text is None or not self._rows.is_held(text):
                state = self._new_state(at, name, token, ttl, holder, state, last)
                held = self._rows.held(state)
                if not at.swap(lease_key, text, held, ttl):
                    continue
                text = held
            elif state["token"] != token:
                return Busy(state["fence"], state["holder"], self._left(at, state))
            if last.get("id") == state["id"]:
                self._texts[token] = text
                return Granted(state["fence"], state.get("previous"))
            if last.get("fence", 0) >= state["fence"]:  # another client came first
                free = self._free_text(state["fence"], evicted=last["holder"])
                at.swap(lease_key, text, free, _FREE_TTL)
                continue
            newest = {part: state[part] for part in ("fence", "id", "holder")}
            ahead = max(state["fence"] - self._clock.now(at), 0) // 1000
            if at.swap(fence_key, last_text, self._rows.free(newest), _FENCE_TTL + ahead):
                self._texts[token] = text
                return Granted(state["fence"], state.get("previous"))

    def _new_state(
        self,
        at: Requests,
        name: str,
        token: str,
        ttl: int,
        holder: dict[str, Any],
        free: _State,
        last: _State,
    ) -> _State:
        now = self._clock.now(at)
        state: _State = {
            "name": name,
            "token": token,
            "fence": max(free.get("fence", 0) + 1, last.get("fence", 0) + 1, now),
            "id": new_writer(),
            "holder": holder,
            "ttl": ttl,
            "since": now // 1000,
            "until": now // 1000 + ttl,
        }
        left_by = free.get("evicted") if free else last.get("holder")
        if left_by is not None:  # it never unlocked
            fence = free.get("fence") if free else last["fence"]
            state["previous"] = {**left_by, "fence": fence}
        return state

    def _release(self, at: Requests, name: str, token: str, sent: set[str], again: bool) -> bool:
        key = self._rows.lease_key(name)
        text = None if again else self._texts.pop(token, None)
        while True:
            text = text or at.get(key)
            if text in sent:
                return True
            state = self._rows.parse(text) if text else {}
            if text is None or not self._rows.is_held(text) or state["token"] != token:
                if again:
                    raise remote.UNLOCK.unknown(self._connection.channel)
                return False
            free = self._free_text(state["fence"])
            sent.add(free)
            if at.swap(key, text, free, _FREE_TTL):
                return True
            text = None

    def _extend(self, lease: LeaseRequest, seconds: float) -> bool:
        key = self._rows.lease_key(lease.name)
        sent: set[str] = set()

        def extend(at: Requests, _: bool) -> bool:
            known = self._texts.pop(lease.token, None)
            for text, state in self._states(at, lease.name, lease.token, known):
                if text in sent:
                    return True
                until = self._clock.now(at) // 1000 + lease.ttl
                state = state | {"ttl": lease.ttl, "until": until, "write": new_writer()}
                state.pop("previous", None)
                extended = self._rows.held(state)
                sent.add(extended)
                if at.swap(key, text, extended, lease.ttl):
                    self._texts[lease.token] = extended
                    return True
            return False

        extended = self._connection.call(remote.EXTEND, extend, seconds)
        self._server_waiters.changed(key)
        return extended

    def _states(
        self, at: Requests, name: str, token: str, known: str | None = None
    ) -> Iterator[tuple[str, _State]]:
        """Yield text and state, read again each time, while the token holds the lock.

        Args:
            at: The connection.
            name: The lock.
            token: The token.
            known: A text to yield first; it may be out of date.
        """
        if known is not None:
            yield known, self._rows.parse(known)
        lease_key, fence_key = self._rows.lease_key(name), self._rows.fence_key(name)
        while True:
            texts = at.get_all([lease_key, fence_key])
            text, last_text = texts.get(lease_key), texts.get(fence_key)
            if text is None or not self._rows.is_held(text):
                return
            state = self._rows.parse(text)
            granted = last_text is None or self._rows.parse(last_text)["id"] == state["id"]
            if state["token"] != token or not granted:
                return
            yield text, state

    def _left(self, at: Requests, state: _State) -> int:
        """Return the milliseconds until a lease expires, as far as a client can know: 1 or more."""
        left = state["until"] - self._clock.now(at) // 1000
        return min(max(left, 1), state["ttl"])

    def _free_text(self, fence: int, **more: Any) -> str:
        return self._rows.free({"fence": fence, "id": new_writer()} | more)

    def _info(self, text: str | None) -> LockInfo | None:
        if text is None or not self._rows.is_held(text):
            return None
        state = self._rows.parse(text)
        return LockInfo(
            state["name"], state["fence"], state["holder"], state["since"], state["until"]
        )
