"""The operations on locks.

A lock is one row. An operation reads it together with the clock of the node that has it, decides,
and replaces exactly the text that it read: one of several clients can do so, and the others read
again. No two texts are equal, so that a row shows whether a request whose reply was lost was done.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from ojobchannels import remote
from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import Adopted, Busy, Granted, LeaseRequest, LockInfo, hookimpl
from ojobchannels.remote import Operation, Rule
from ojobchannels.remote.leases import HeldLeases
from ojobchannels.remote.locks import CLOSE, SHARE, RemoteLocks
from ojobchannels.steps import Steps, performed
from ojobchannels_ignite.connection import Connection
from ojobchannels_ignite.errors import Refused, TooFewNodes
from ojobchannels_ignite.protocol.requests import Requests
from ojobchannels_ignite.protocol.wire import FOREVER
from ojobchannels_ignite.reader import table_of
from ojobchannels_ignite.rows import LockRows, LockState

_FORCE_UNLOCK: Final = remote.FORCE_UNLOCK._replace(rule=Rule.REPEATABLE)
_GRANTING: Final = (remote.LOCK, remote.EXTEND, remote.ADOPT)
_BATCH: Final = 500
_KEPT: Final = 30 * 86_400_000
"""Milliseconds after which the cluster forgets a lock that was released."""

_Change = Callable[[LockState, int], LockState | None]
"""Returns a state to store in place of the present one at that time, or None to leave it."""


class _Step(NamedTuple):
    """What one operation found: the state before, its time, and what was stored in its place."""

    before: LockState
    now: int
    after: LockState | None


class Locks(RemoteLocks):
    """The part of a handle that serves the locks."""

    def __init__(self, connection: Connection, leases: HeldLeases | None = None) -> None:
        super().__init__(connection, connection.cluster.waiters, leases)
        self._connection = connection
        self._rows = LockRows(connection.channel)
        table = table_of(connection)
        self._read = f"SELECT V, CURRENT_TIMESTAMP FROM {table} WHERE K = ?"  # noqa: S608  a checked name
        self._held = (
            f"SELECT V, CURRENT_TIMESTAMP FROM {table} "  # noqa: S608  a checked name
            "WHERE V > ? AND V < ? ORDER BY V LIMIT ?"
        )

    @hookimpl
    @performed
    def lock_info(self, name: str) -> Steps[LockInfo | None]:
        state, now = yield from self._look(remote.LOCK_INFO, name)
        return _info(state) if state.is_live(now) else None

    @hookimpl
    @performed
    def locks(self) -> Steps[list[LockInfo]]:
        def read(at: Requests, _: bool) -> Steps[list[LockInfo]]:
            infos: list[LockInfo] = []
            low = self._rows.first
            while rows := (yield from at.select(self._held, low, self._rows.last, _BATCH)):
                states = ((self._rows.parse(text), now) for text, now in rows)
                infos += [_info(state) for state, now in states if state.is_live(now)]
                low = rows[-1][0]
            return sorted(infos)

        return self._connection.calling(remote.LOCKS, read)

    @hookimpl
    @performed
    def share(self, name: str, token: str) -> Steps[list[int] | bool]:
        state, now = yield from self._look(SHARE, name)
        return [] if _holds(state, token, now) else False

    def _lock_id(self, name: str) -> str:
        return self._rows.row_key(name)

    def _take_lock(
        self, name: str, token: str, ttl: int, holder: dict[str, Any]
    ) -> Steps[Granted | Busy]:
        def take(state: LockState, now: int) -> LockState | None:
            if state.is_live(now):
                return None
            never_unlocked = state.holder and {**state.holder, "fence": state.fence}
            fence = max(state.fence + 1, now * 1000)
            return LockState(name, fence, token, ttl, now, now + ttl, holder, never_unlocked)

        state, now, lease = yield from self._replace(remote.LOCK, name, take)
        if lease is None and state.token == token:  # requested again
            lease = state
        if lease is None:
            return Busy(state.fence, state.holder or {}, state.until - now)
        return Granted(lease.fence, lease.previous)

    def _free_lock(self, name: str, token: str) -> Steps[bool]:
        step = yield from self._replace(remote.UNLOCK, name, _freed_by(token))
        return step.after is not None

    def _free_locks(self, leases: Sequence[tuple[str, str]]) -> Steps[None]:
        left = list(leases)

        def free(at: Requests, _: bool) -> Steps[None]:
            while left:
                name, token = left[-1]
                yield from self._step(at, name, _freed_by(token), {})
                left.pop()

        return self._connection.calling(CLOSE, free)

    def _extend_leases(
        self, leases: Sequence[LeaseRequest], seconds: float
    ) -> Steps[Sequence[bool | None]]:
        ends = time.monotonic() + seconds
        results: list[bool | None] = []
        for lease in leases:
            try:
                left = max(ends - time.monotonic(), 0.001)
                results.append((yield from self._extend_lease(lease, left)))
            except ChannelError:
                if not results:
                    raise
                return results + [None] * (len(leases) - len(results))
        return results

    def _adopt_lease(
        self, name: str, token: str, holder: dict[str, Any] | None
    ) -> Steps[Adopted | None]:
        def take_over(state: LockState, now: int) -> LockState | None:
            if not _holds(state, token, now):
                return None
            return state if holder is None else state._replace(holder=holder)

        operation = remote.LOCK_INFO if holder is None else remote.ADOPT
        state, now, adopted = yield from self._replace(operation, name, take_over)
        return adopted and Adopted(state.fence, state.ttl, state.until - now)

    def _evict_holder(self, name: str) -> Steps[LockInfo | None]:
        def evict(state: LockState, now: int) -> LockState | None:
            if not state.is_live(now):
                return None
            return LockState(name, state.fence, holder=state.holder)

        state, _, evicted = yield from self._replace(_FORCE_UNLOCK, name, evict)
        return None if evicted is None else _info(state)

    def _look_at(self, name: str) -> Steps[tuple[int, int] | None]:
        state, now = yield from self._look(remote.WAIT, name)
        return (state.fence, state.until - now) if state.is_live(now) else None

    def _extend_lease(self, lease: LeaseRequest, seconds: float) -> Steps[bool]:
        def extend(state: LockState, now: int) -> LockState | None:
            if not _holds(state, lease.token, now):
                return None
            return state._replace(ttl=lease.ttl, until=now + lease.ttl, previous=None)

        step = yield from self._replace(remote.EXTEND, lease.name, extend, seconds)
        self._server_waiters.changed(self._rows.row_key(lease.name))
        return step.after is not None

    def _look(self, operation: Operation, name: str) -> Steps[tuple[LockState, int]]:
        key = self._rows.row_key(name)
        text, now = yield from self._connection.calling(
            operation, lambda at, _: at.read(self._read, key)
        )
        return (LockState(name, 0) if text is None else self._rows.parse(text)), now

    def _replace(
        self, operation: Operation, name: str, change: _Change, seconds: float | None = None
    ) -> Steps[_Step]:
        """Replace the state of a lock by what `change` returns.

        Raises:
            ChannelError: It failed, or a reply was lost and the lock is in other hands since.
        """
        sent: dict[str, _Step] = {}

        def attempt(at: Requests, again: bool) -> Steps[_Step]:
            try:
                step = yield from self._step(at, name, change, sent)
            except Refused:  # it may have no copy of the lock because it has lost the others
                if operation in _GRANTING:
                    yield from self._check_nodes(at, None, name)
                raise
            if operation in _GRANTING:
                yield from self._check_nodes(at, step, name)
            if again and step.after is None and operation in (remote.UNLOCK, _FORCE_UNLOCK):
                raise operation.unknown(self._connection.channel)
            return step

        return self._connection.calling(operation, attempt, seconds)

    def _check_nodes(self, at: Requests, step: _Step | None, name: str) -> Steps[None]:
        """Check that the node which has made this step is not in the smaller part of a cluster.

        It is checked afterwards: a node that had too few others at the step still has too few.

        Raises:
            TooFewNodes: It may be; a lock that it has granted is released again.
        """
        needed = self._connection.cluster.settings.min_nodes
        if needed == 1 or (connected := (yield from at.nodes())) >= needed:
            return
        if step and step.after is not None and step.after.fence > step.before.fence:
            yield from self._step(at, name, _freed_by(step.after.token), {})
        raise TooFewNodes(f"{connected} of at least {needed} nodes (minNodes) are connected")

    def _step(
        self, at: Requests, name: str, change: _Change, sent: dict[str, _Step]
    ) -> Steps[_Step]:
        """Read and replace a state, again and again while others do so.

        Args:
            at: The connection.
            name: The lock.
            change: Returns the state to store.
            sent: What was sent before, by the text; an entry is added for each request.
        """
        key = self._rows.row_key(name)
        while True:
            text, now = yield from at.read(self._read, key)
            if text in sent:
                return sent[text]
            if text is None:
                # The time comes with a row, from the node that has it.
                yield from at.swap(key, None, self._rows.text(LockState(name, 0)), _KEPT)
                continue
            before = self._rows.parse(text)
            after = change(before, now)
            step = _Step(before, now, after)
            if after is None or after is before:
                return step
            stored = self._rows.text(after)
            sent[stored] = step
            ttl = FOREVER if after.ttl else _kept(after.fence, now)
            if (yield from at.swap(key, text, stored, ttl)):
                return step


def _holds(state: LockState, token: str, now: int) -> bool:
    return state.token == token and state.is_live(now)


def _freed_by(token: str) -> _Change:
    def free(state: LockState, now: int) -> LockState | None:
        if not _holds(state, token, now):
            return None
        return LockState(state.name, state.fence)

    return free


def _kept(fence: int, now: int) -> int:
    """Return for how long a free lock is kept: until long after the clock has passed its fence."""
    return _KEPT + max(fence // 1000 - now, 0)


def _info(state: LockState) -> LockInfo:
    return LockInfo(state.name, state.fence, state.holder or {}, state.since, state.until)
