"""The operations on locks: each is one command, evaluated with the server's clock."""

import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from pymongo.errors import WriteConcernError, WriteError

from ojobchannels import remote
from ojobchannels.documents import decode, encode
from ojobchannels.errors import ChannelClosed, ChannelError
from ojobchannels.hookspecs import Adopted, Busy, Granted, LeaseRequest, LockInfo, hookimpl
from ojobchannels.host.forks import forget_in_children
from ojobchannels.remote import Operation, Rule
from ojobchannels_mongo import statements
from ojobchannels_mongo.change_stream import Waiter
from ojobchannels_mongo.codec import row_id
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.servers import Collections, Row

_SHARE: Final = Operation("share")
_CLOSE: Final = Operation("close", Rule.REPEATABLE, "the ttl ends the leases that are left")
_MAJORITY: Final = {"w": "majority"}


class Locks:
    """The part of a handle that serves the locks.

    It remembers the leases that it was granted and has not released, so that `close` leaves none
    behind, including those that were requested meanwhile.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._server_waiters = connection.server.waiters
        self._closed = False
        self.forget()
        forget_in_children(self)

    @hookimpl
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        lock = self._id(name)
        update = statements.take_lock(self._connection.channel, name, token, ttl, encode(holder))

        def take(at: Collections, _: bool) -> Row:
            row = self._modify(
                at, {"_id": lock}, update, fields=statements.RESULT, new=True, upsert=True
            )
            assert row is not None  # noqa: S101  an upsert returns the new row
            return row

        with self._changed:
            if self._closed:
                raise ChannelClosed(self._connection.channel)
            self._pending += 1
        try:
            row = self._connection.call(remote.LOCK, take)
            granted = row["token"] == token
            if granted:
                self._granted.add((lock, token))
            if self._closed:
                raise ChannelClosed(self._connection.channel)
        finally:
            with self._changed:
                self._pending -= 1
                self._changed.notify_all()
        if not granted:
            return Busy(int(row["fence"]), decode(row["holder"]), int(row["left"]))
        previous = row["previous"]
        if previous is not None:
            previous = {**decode(previous["holder"]), "fence": int(previous["fence"])}
        return Granted(int(row["fence"]), previous)

    @hookimpl
    def unlock(self, name: str, token: str) -> bool:
        lock = self._id(name)

        def free(at: Collections, again: bool) -> bool:
            if self._update(at, [(statements.held(lock, token), statements.free_lock(token))]):
                return True
            if not again:
                return False
            row = at.locks.find_one(lock, {"last": 1})
            if row is None or row.get("last") != token:
                raise remote.UNLOCK.unknown(self._connection.channel)
            return True

        freed = self._connection.call(remote.UNLOCK, free)
        self._granted.discard((lock, token))
        self._server_waiters.released(lock)
        return freed

    @hookimpl
    def extend(self, name: str, token: str, ttl: int) -> bool:
        return self._extend_all([LeaseRequest(name, token, ttl)], self._connection.timeout)[0]

    @hookimpl
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool]:
        return self._extend_all(leases, min(timeout / 1000, self._connection.timeout))

    @hookimpl
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        lock = self._id(name)
        fields = {"_id": 0, "fence": 1, "ttl": 1, "left": statements.LEFT}

        def take_over(at: Collections, _: bool) -> Row | None:
            if holder is None:
                return at.locks.find_one(statements.held(lock, token), fields)
            update = statements.adopt_lease(encode(holder))
            return self._modify(at, statements.held(lock, token), update, fields=fields, new=True)

        row = self._connection.call(remote.ADOPT, take_over)
        if row is None:
            return False
        if holder is None:
            self._granted.discard((lock, token))
        else:
            self._granted.add((lock, token))
        return Adopted(int(row["fence"]), int(row["ttl"]), int(row["left"]))

    @hookimpl
    def lock_info(self, name: str) -> LockInfo | None:
        wanted = {"_id": self._id(name), "$expr": statements.LIVE}
        return _info(
            self._connection.call(
                remote.LOCK_INFO, lambda at, _: at.locks.find_one(wanted, statements.INFO)
            )
        )

    @hookimpl
    def locks(self) -> list[LockInfo]:
        wanted = {"c": self._connection.channel, "$expr": statements.LIVE}
        rows = self._connection.call(
            remote.LOCKS, lambda at, _: at.locks.find(wanted, statements.INFO).to_list()
        )
        return sorted(info for row in rows if (info := _info(row)))

    @hookimpl
    def force_unlock(self, name: str) -> LockInfo | None:
        lock = self._id(name)
        wanted = {"_id": lock, "$expr": statements.LIVE}
        evicted = self._connection.call(
            remote.FORCE_UNLOCK,
            lambda at, _: self._modify(at, wanted, statements.evict(), fields=statements.INFO),
        )
        self._server_waiters.released(lock)
        return _info(evicted)

    @hookimpl
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        lock = self._id(name)
        wanted = {"_id": lock, "$expr": statements.LIVE}
        fields = {"_id": 0, "fence": 1, "left": statements.LEFT}
        call = self._connection.call
        ends = float("inf") if timeout is None else time.monotonic() + timeout / 1000
        with Waiter(self._server_waiters, lock) as waiter:
            self._waiters.add(waiter)
            try:
                while True:
                    if self._closed:
                        raise ChannelClosed(self._connection.channel)
                    row = call(remote.WAIT, lambda at, _: at.locks.find_one(wanted, fields))
                    if row is None or row["fence"] != seen_fence:
                        return True
                    pause = min(row["left"] / 1000, ends - time.monotonic())
                    if pause <= 0 or waiter.sleep(pause):
                        break
            finally:
                self._waiters.discard(waiter)
            if self._closed:
                raise ChannelClosed(self._connection.channel)
        return True

    @hookimpl
    def share(self, name: str, token: str) -> list[int] | bool:
        wanted = statements.held(self._id(name), token)
        row = self._connection.call(_SHARE, lambda at, _: at.locks.find_one(wanted, {"_id": 1}))
        return [] if row else False

    def close_locks(self) -> None:
        """Wake the waiters, and release every lease that this handle was granted."""
        with self._changed:
            self._closed = True
            for waiter in list(self._waiters):
                waiter.wake()
            self._changed.wait_for(lambda: not self._pending, self._connection.timeout)
            left = list(self._granted)
        if left:
            updates = [
                (statements.held(lock, token), statements.free_lock(token)) for lock, token in left
            ]
            try:
                self._connection.call(_CLOSE, lambda at, _: self._update(at, updates))
            except ChannelError:
                return
            for lock, _ in left:
                self._server_waiters.released(lock)

    def forget(self) -> None:
        """Leave leases and waiters to the parent, in a forked child."""
        self._waiters: set[Waiter] = set()
        self._granted: set[tuple[str, str]] = set()
        self._pending = 0
        self._changed = threading.Condition()

    def _id(self, name: str) -> str:
        return row_id(self._connection.channel, name)

    def _extend_all(self, leases: list[LeaseRequest], seconds: float) -> list[bool]:
        locks = [self._id(lease.name) for lease in leases]
        updates = [
            (statements.held(lock, lease.token), statements.extend_lease(lease.ttl))
            for lock, lease in zip(locks, leases, strict=True)
        ]

        def extend(at: Collections, _: bool) -> list[bool]:
            if not updates or self._update(at, updates) == len(updates):
                return [True] * len(updates)
            if len(updates) == 1:
                return [False]
            # A lease that is held now was extended: nothing revives an expired one.
            wanted = {"$or": [condition for condition, _ in updates]}
            rows = at.locks.find(wanted, {"token": 1}).to_list()
            live = {(row["_id"], row["token"]) for row in rows}
            return [(lock, lease.token) in live for lock, lease in zip(locks, leases, strict=True)]

        extended = self._connection.call(remote.EXTEND, extend, seconds)
        for lock in locks:
            self._server_waiters.changed(lock)
        return extended

    # The next two send commands, since the driver's methods make the server remember each write, to
    # apply it only once. These writes are idempotent, and need no such memory.

    def _modify(
        self,
        at: Collections,
        wanted: Row,
        update: statements.Pipeline,
        fields: Row,
        **options: bool,
    ) -> Row | None:
        reply = at.database.command(
            {
                "findAndModify": at.locks.name,
                "query": wanted,
                "update": update,
                "fields": fields,
                **options,
                "writeConcern": _MAJORITY,
            }
        )
        _check(reply)
        row: Row | None = reply["value"]
        return row

    def _update(self, at: Collections, updates: list[tuple[Row, statements.Pipeline]]) -> int:
        reply = at.database.command(
            {
                "update": at.locks.name,
                "updates": [{"q": wanted, "u": update} for wanted, update in updates],
                "ordered": False,
                "writeConcern": _MAJORITY,
            }
        )
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
