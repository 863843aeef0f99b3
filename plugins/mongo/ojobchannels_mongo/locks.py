"""The operations on locks: each is one command, evaluated with the server's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from pymongo.errors import WriteConcernError, WriteError

from ojobchannels import remote
from ojobchannels.documents import decode, encode
from ojobchannels.hookspecs import Adopted, Busy, Granted, LeaseRequest, LockInfo, hookimpl
from ojobchannels.remote import Operation
from ojobchannels.remote.leases import HeldLeases
from ojobchannels.remote.locks import CLOSE, SHARE, RemoteLocks
from ojobchannels.steps import Steps, one, performed
from ojobchannels_mongo import statements
from ojobchannels_mongo.codec import row_id
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.servers import Collections, Row

_MAJORITY: Final = {"w": "majority"}


class Locks(RemoteLocks):
    """The part of a handle that serves the locks."""

    def __init__(self, connection: Connection, leases: HeldLeases | None = None) -> None:
        super().__init__(connection, connection.server.waiters, leases)
        self._connection = connection

    @hookimpl
    @performed
    def lock_info(self, name: str) -> Steps[LockInfo | None]:
        row = yield from self._finding(
            remote.LOCK_INFO,
            {"_id": self._lock_id(name), "$expr": statements.LIVE},
            statements.INFO,
        )
        return _info(row)

    @hookimpl
    @performed
    def locks(self) -> Steps[list[LockInfo]]:
        wanted = {"c": self._connection.channel, "$expr": statements.LIVE}
        rows = yield from self._connection.calling(
            remote.LOCKS, lambda at, _: one(at.locks.find(wanted, statements.INFO).to_list)
        )
        return sorted(info for row in rows if (info := _info(row)))

    @hookimpl
    @performed
    def share(self, name: str, token: str) -> Steps[list[int] | bool]:
        wanted = statements.held(self._lock_id(name), token)
        row = yield from self._finding(SHARE, wanted, {"_id": 1})
        return [] if row else False

    def _lock_id(self, name: str) -> str:
        return row_id(self._connection.channel, name)

    def _take_lock(
        self, name: str, token: str, ttl: int, holder: dict[str, Any]
    ) -> Steps[Granted | Busy]:
        wanted = {"_id": self._lock_id(name)}
        update = statements.take_lock(self._connection.channel, name, token, ttl, encode(holder))

        def take(at: Collections, _: bool) -> Steps[Row | None]:
            return _modify(at, wanted, update, statements.RESULT, new=True, upsert=True)

        row = yield from self._connection.calling(remote.LOCK, take)
        assert row is not None  # noqa: S101  an upsert returns the new row
        if row["token"] != token:
            return Busy(int(row["fence"]), decode(row["holder"]), int(row["left"]))
        previous = row["previous"]
        if previous is not None:
            previous = {**decode(previous["holder"]), "fence": int(previous["fence"])}
        return Granted(int(row["fence"]), previous)

    def _free_lock(self, name: str, token: str) -> Steps[bool]:
        lock = self._lock_id(name)
        updates = [(statements.held(lock, token), statements.free_lock(token))]

        def free(at: Collections, again: bool) -> Steps[bool]:
            if (yield from _update(at, updates)):
                return True
            if not again:
                return False
            row = yield partial(at.locks.find_one, lock, {"last": 1})
            if row is None or row.get("last") != token:
                raise remote.UNLOCK.unknown(self._connection.channel)
            return True

        return self._connection.calling(remote.UNLOCK, free)

    def _free_locks(self, leases: Sequence[tuple[str, str]]) -> Steps[None]:
        updates = [
            (statements.held(self._lock_id(name), token), statements.free_lock(token))
            for name, token in leases
        ]
        yield from self._connection.calling(CLOSE, lambda at, _: _update(at, updates))

    def _adopt_lease(
        self, name: str, token: str, holder: dict[str, Any] | None
    ) -> Steps[Adopted | None]:
        wanted = statements.held(self._lock_id(name), token)
        fields = {"_id": 0, "fence": 1, "ttl": 1, "left": statements.LEFT}
        if holder is None:
            row = yield from self._finding(remote.ADOPT, wanted, fields)
        else:
            update = statements.adopt_lease(encode(holder))
            row = yield from self._connection.calling(
                remote.ADOPT, lambda at, _: _modify(at, wanted, update, fields, new=True)
            )
        if row is None:
            return None
        return Adopted(int(row["fence"]), int(row["ttl"]), int(row["left"]))

    def _evict_holder(self, name: str) -> Steps[LockInfo | None]:
        wanted = {"_id": self._lock_id(name), "$expr": statements.LIVE}
        row = yield from self._connection.calling(
            remote.FORCE_UNLOCK,
            lambda at, _: _modify(at, wanted, statements.evict(), statements.INFO),
        )
        return _info(row)

    def _look_at(self, name: str) -> Steps[tuple[int, int] | None]:
        wanted = {"_id": self._lock_id(name), "$expr": statements.LIVE}
        fields = {"_id": 0, "fence": 1, "left": statements.LEFT}
        row = yield from self._finding(remote.WAIT, wanted, fields)
        return None if row is None else (int(row["fence"]), int(row["left"]))

    def _extend_leases(self, leases: Sequence[LeaseRequest], seconds: float) -> Steps[list[bool]]:
        locks = [self._lock_id(lease.name) for lease in leases]
        updates = [
            (statements.held(lock, lease.token), statements.extend_lease(lease.ttl))
            for lock, lease in zip(locks, leases, strict=True)
        ]

        def extend(at: Collections, _: bool) -> Steps[list[bool]]:
            if not updates or (yield from _update(at, updates)) == len(updates):
                return [True] * len(updates)
            if len(updates) == 1:
                return [False]
            # A lease that is held now was extended: nothing revives an expired one.
            wanted = {"$or": [condition for condition, _ in updates]}
            rows = yield at.locks.find(wanted, {"token": 1}).to_list
            live = {(row["_id"], row["token"]) for row in rows}
            return [(lock, lease.token) in live for lock, lease in zip(locks, leases, strict=True)]

        extended = yield from self._connection.calling(remote.EXTEND, extend, seconds)
        for lock in locks:
            self._server_waiters.changed(lock)
        return extended

    def _finding(self, operation: Operation, wanted: Row, fields: Row) -> Steps[Row | None]:
        return self._connection.calling(
            operation, lambda at, _: one(partial(at.locks.find_one, wanted, fields))
        )


# The next two send commands, since the driver's methods make the server remember each write, to
# apply it only once. These writes are idempotent, and need no such memory.


def _modify(
    at: Collections, wanted: Row, update: statements.Pipeline, fields: Row, **options: bool
) -> Steps[Row | None]:
    command = {
        "findAndModify": at.locks.name,
        "query": wanted,
        "update": update,
        "fields": fields,
        **options,
        "writeConcern": _MAJORITY,
    }
    reply = yield partial(at.database.command, command)
    _check(reply)
    row: Row | None = reply["value"]
    return row


def _update(at: Collections, updates: list[tuple[Row, statements.Pipeline]]) -> Steps[int]:
    command = {
        "update": at.locks.name,
        "updates": [{"q": wanted, "u": update} for wanted, update in updates],
        "ordered": False,
        "writeConcern": _MAJORITY,
    }
    reply = yield partial(at.database.command, command)
    _check(reply)
    return int(reply["n"])


def _check(reply: Mapping[str, Any]) -> None:
    for error in reply.get("writeErrors", ()):
        raise WriteError(error["errmsg"], error["code"], error)
    if error := reply.get("writeConcernError"):
        raise WriteConcernError(error.get("errmsg", "no majority"), error.get("code"), error)


def _info(row: Row | None) -> LockInfo | None:
    if row is None:
        return None
    fence, since, until = (int(row[part]) for part in ("fence", "since", "until"))
    return LockInfo(row["n"], fence, decode(row["holder"]), since, until)
