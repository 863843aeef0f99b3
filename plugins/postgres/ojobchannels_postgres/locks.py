"""The operations on locks: each is one statement, evaluated with the server's clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ojobchannels import remote
from ojobchannels.documents import decode, encode
from ojobchannels.hookspecs import Adopted, Busy, Granted, LeaseRequest, LockInfo, hookimpl
from ojobchannels.remote.leases import HeldLeases
from ojobchannels.remote.locks import CLOSE, SHARE, RemoteLocks
from ojobchannels.steps import Steps, performed
from ojobchannels_postgres import statements
from ojobchannels_postgres.calls import Client, Connection, digest, row_id
from ojobchannels_postgres.session import Row


class Locks(RemoteLocks):
    """The part of a handle that serves the locks."""

    def __init__(self, connection: Connection, leases: HeldLeases | None = None) -> None:
        super().__init__(connection, connection.server.listener, leases)
        self._connection = connection
        self._running = connection.running
        self._lock_prefix = digest(connection.id)

    @property
    def _sender(self) -> str:
        return self._connection.server.listener.name

    @hookimpl
    @performed
    def lock_info(self, name: str) -> Steps[LockInfo | None]:
        rows = yield from self._running(remote.LOCK_INFO, statements.LOCK_INFO, row_id(name))
        return _info(rows[0]) if rows else None

    @hookimpl
    @performed
    def locks(self) -> Steps[list[LockInfo]]:
        return sorted(map(_info, (yield from self._running(remote.LOCKS, statements.LOCKS))))

    @hookimpl
    @performed
    def share(self, name: str, token: str) -> Steps[list[int] | bool]:
        rows = yield from self._running(SHARE, statements.HELD, row_id(name), token)
        return [] if rows else False

    def _lock_id(self, name: str) -> str:
        return self._lock_prefix + digest(row_id(name))

    def _take_lock(
        self, name: str, token: str, ttl: int, holder: dict[str, Any]
    ) -> Steps[Granted | Busy]:
        parameters = (self._connection.id, row_id(name), name, token, ttl, encode(holder))

        def take(client: Client, _: bool) -> Steps[Row]:
            rows: list[Row] = []
            while not rows:  # the lock was granted to another token meanwhile
                rows = yield from client.run(statements.LOCK, *parameters)
            return rows[0]

        fence, holds, info, left = yield from self._connection.calling(remote.LOCK, take)
        if left is None:
            if info is None:
                return Granted(fence, None)
            before = decode(info)
            return Granted(fence, {**before["holder"], "fence": before["fence"]})
        return Granted(fence, None) if holds == token else Busy(fence, decode(info), left)

    def _free_lock(self, name: str, token: str) -> Steps[bool]:
        parameters = (self._connection.id, row_id(name))

        def free(client: Client, again: bool) -> Steps[bool]:
            if (yield from client.run(statements.UNLOCK, *parameters, token, self._sender)):
                return True
            if not again:
                return False
            if (yield from client.run(statements.UNLOCKED_BY, *parameters)) != [(token,)]:
                raise remote.UNLOCK.unknown(self._connection.channel)
            return True

        return self._connection.calling(remote.UNLOCK, free)

    def _free_locks(self, leases: Sequence[tuple[str, str]]) -> Steps[None]:
        names, tokens = [row_id(name) for name, _ in leases], [token for _, token in leases]
        yield from self._running(CLOSE, statements.UNLOCK_ALL, names, tokens, self._sender)

    def _extend_leases(self, leases: Sequence[LeaseRequest], seconds: float) -> Steps[list[bool]]:
        rows = yield from self._running(
            remote.EXTEND,
            statements.EXTEND,
            [row_id(lease.name) for lease in leases],
            [lease.token for lease in leases],
            [lease.ttl for lease in leases],
            self._sender,
            seconds=seconds,
        )
        extended = {(name, token) for name, token, *_ in rows}
        for lease in leases:
            self._server_waiters.changed(self._lock_id(lease.name))
        return [(row_id(lease.name), lease.token) in extended for lease in leases]

    def _adopt_lease(
        self, name: str, token: str, holder: dict[str, Any] | None
    ) -> Steps[Adopted | None]:
        lease = (row_id(name), token)
        if holder is None:
            rows = yield from self._running(remote.ADOPT, statements.HELD, *lease)
        else:
            rows = yield from self._running(remote.ADOPT, statements.ADOPT, *lease, encode(holder))
        return Adopted(*rows[0]) if rows else None

    def _evict_holder(self, name: str) -> Steps[LockInfo | None]:
        rows = yield from self._running(
            remote.FORCE_UNLOCK, statements.FORCE_UNLOCK, row_id(name), self._sender
        )
        return _info(rows[0]) if rows else None

    def _look_at(self, name: str) -> Steps[tuple[int, int] | None]:
        rows = yield from self._running(remote.WAIT, statements.LOOK, row_id(name))
        if rows and self._server_waiters.live and not rows[0][2]:
            rows = yield from self._running(remote.WAIT, statements.AWAIT, row_id(name))
        return (rows[0][0], rows[0][1]) if rows else None


def _info(row: Row) -> LockInfo:
    name, fence, holder, since, until, *_ = row
    return LockInfo(name, fence, decode(holder), since, until)
