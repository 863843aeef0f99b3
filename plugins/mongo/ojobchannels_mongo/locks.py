"""The operations on locks: each is one command, judged by the server's clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from pymongo.errors import WriteConcernError, WriteError

from ojobchannels.documents import decode, encode
from ojobchannels.errors import ChannelClosed, ChannelError, OutcomeUnknown
from ojobchannels.hookspecs import Adopted, Busy, Granted, LeaseRequest, LockInfo, hookimpl
from ojobchannels.host.forks import forget_in_children
from ojobchannels_mongo.change_stream import Seat
from ojobchannels_mongo.codec import lock_id
from ojobchannels_mongo.connection import Line
from ojobchannels_mongo.errors import Operation, Rule
from ojobchannels_mongo.servers import Link, Row
from ojobchannels_mongo.statements import (
    ANSWER,
    INFO,
    LEFT,
    LIVE,
    Pipeline,
    adopt_lease,
    extend_lease,
    free_lock,
    held,
    put_out,
    take_lock,
)

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
_SHARE: Final = Operation("share")
_WAIT: Final = Operation("wait")
_FORCE: Final = Operation("force_unlock", Rule.ONCE, "look with lock_info, then decide")
_CLOSE: Final = Operation("close", Rule.REPEATABLE, "the ttl ends the leases that are left")
_MAJORITY: Final = {"w": "majority"}


class Locks:
    """Half of a handle: its locks.

    It keeps in mind what it was granted and has not given back, so that `close` leaves nothing
    behind, whatever was on its way meanwhile.
    """

    def __init__(self, line: Line) -> None:
        self._locks = line
        self._bells = line.server.bells
        self._seats: set[Seat] = set()
        self._granted: set[tuple[str, str]] = set()
        self._asking = 0
        self._closed = False
        self._changed = threading.Condition()
        forget_in_children(self)

    @hookimpl
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        lock = self._id(name)
        update = take_lock(self._locks.channel, name, token, ttl, encode(holder))

        def take(link: Link, _: bool) -> Row:
            row = self._modify(link, {"_id": lock}, update, fields=ANSWER, new=True, upsert=True)
            assert row is not None  # noqa: S101  an upsert answers what it made
            return row

        with self._changed:
            if self._closed:
                raise ChannelClosed(self._locks.channel)
            self._asking += 1
        try:
            row = self._locks.call(_LOCK, take)
            granted = row["token"] == token
            if granted:
                self._granted.add((lock, token))
            if self._closed:
                raise ChannelClosed(self._locks.channel)
        finally:
            with self._changed:
                self._asking -= 1
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

        def free(link: Link, again: bool) -> bool:
            if self._update(link, [(held(lock, token), free_lock(token))]):
                return True
            if not again:
                return False
            row = link.locks.find_one(lock, {"last": 1})
            if row is None or row.get("last") != token:
                raise OutcomeUnknown(self._locks.channel, "unlock", _UNLOCK.advice)
            return True

        freed = self._locks.call(_UNLOCK, free)
        self._granted.discard((lock, token))
        self._bells.free(lock)
        return freed

    @hookimpl
    def extend(self, name: str, token: str, ttl: int) -> bool:
        return self._extend_all([LeaseRequest(name, token, ttl)], self._locks.timeout)[0]

    @hookimpl
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool]:
        return self._extend_all(leases, min(timeout / 1000, self._locks.timeout))

    @hookimpl
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        lock = self._id(name)
        fields = {"_id": 0, "fence": 1, "ttl": 1, "left": LEFT}

        def take_over(link: Link, _: bool) -> Row | None:
            if holder is None:
                return link.locks.find_one(held(lock, token), fields)
            update = adopt_lease(encode(holder))
            return self._modify(link, held(lock, token), update, fields=fields, new=True)

        row = self._locks.call(_ADOPT, take_over)
        if row is None:
            return False
        if holder is None:
            self._granted.discard((lock, token))
        else:
            self._granted.add((lock, token))
        return Adopted(int(row["fence"]), int(row["ttl"]), int(row["left"]))

    @hookimpl
    def lock_info(self, name: str) -> LockInfo | None:
        wanted = {"_id": self._id(name), "$expr": LIVE}
        return _info(
            self._locks.call(_LOCK_INFO, lambda link, _: link.locks.find_one(wanted, INFO))
        )

    @hookimpl
    def locks(self) -> list[LockInfo]:
        wanted = {"c": self._locks.channel, "$expr": LIVE}
        rows = self._locks.call(_LOCKS, lambda link, _: link.locks.find(wanted, INFO).to_list())
        return sorted(info for row in rows if (info := _info(row)))

    @hookimpl
    def force_unlock(self, name: str) -> LockInfo | None:
        lock = self._id(name)
        wanted = {"_id": lock, "$expr": LIVE}
        there = self._locks.call(
            _FORCE, lambda link, _: self._modify(link, wanted, put_out(), fields=INFO)
        )
        self._bells.free(lock)
        return _info(there)

    @hookimpl
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        lock = self._id(name)
        ends = float("inf") if timeout is None else time.monotonic() + timeout / 1000
        with Seat(self._bells, lock) as seat:
            self._seats.add(seat)
            try:
                while True:
                    if self._closed:
                        raise ChannelClosed(self._locks.channel)
                    row = self._locks.call(_WAIT, lambda link, _: self._state_of(link, lock))
                    if row is None or row["fence"] != seen_fence:
                        return True
                    pause = min(row["left"] / 1000, ends - time.monotonic())
                    if pause <= 0 or seat.doze(pause):
                        break
            finally:
                self._seats.discard(seat)
            if self._closed:
                raise ChannelClosed(self._locks.channel)
        return True

    @hookimpl
    def share(self, name: str, token: str) -> list[int] | bool:
        wanted = held(self._id(name), token)
        row = self._locks.call(_SHARE, lambda link, _: link.locks.find_one(wanted, {"_id": 1}))
        return [] if row else False

    def close_locks(self) -> None:
        """Wakes the waiters and gives back what was granted to this handle."""
        with self._changed:
            self._closed = True
            for seat in list(self._seats):
                seat.ring()
            self._changed.wait_for(lambda: not self._asking, self._locks.timeout)
            left = list(self._granted)
        if left:
            updates = [(held(lock, token), free_lock(token)) for lock, token in left]
            try:
                self._locks.call(_CLOSE, lambda link, _: self._update(link, updates))
            except ChannelError:
                return
            for lock, _ in left:
                self._bells.free(lock)

    def forget(self) -> None:
        """Leaves leases and waiters to the parent, in a forked child."""
        self._seats = set()
        self._granted = set()
        self._asking = 0
        self._changed = threading.Condition()

    def _id(self, name: str) -> str:
        return lock_id(self._locks.channel, name)

    def _extend_all(self, leases: list[LeaseRequest], seconds: float) -> list[bool]:
        locks = [self._id(lease.name) for lease in leases]
        updates = [
            (held(lock, lease.token), extend_lease(lease.ttl))
            for lock, lease in zip(locks, leases, strict=True)
        ]

        def extend(link: Link, _: bool) -> list[bool]:
            if not updates or self._update(link, updates) == len(updates):
                return [True] * len(updates)
            if len(updates) == 1:
                return [False]
            # Which? Those that are held now were held then: nothing revives a lease.
            wanted = {"$or": [which for which, _ in updates]}
            rows = link.locks.find(wanted, {"token": 1}).to_list()
            live = {(row["_id"], row["token"]) for row in rows}
            return [(lock, lease.token) in live for lock, lease in zip(locks, leases, strict=True)]

        answers = self._locks.call(_EXTEND, extend, seconds)
        for lock in locks:
            self._bells.look(lock)
        return answers

    def _state_of(self, link: Link, lock: str) -> Row | None:
        wanted = {"_id": lock, "$expr": LIVE}
        return link.locks.find_one(wanted, {"_id": 0, "fence": 1, "left": LEFT})

    # The next two send commands: the driver's methods for them have the server remember each
    # write, to do it once only. Ours are made so that doing them twice is the same.

    def _modify(
        self, link: Link, wanted: Row, update: Pipeline, fields: Row, **options: bool
    ) -> Row | None:
        reply = link.database.command(
            {
                "findAndModify": link.locks.name,
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

    def _update(self, link: Link, updates: list[tuple[Row, Pipeline]]) -> int:
        reply = link.database.command(
            {
                "update": link.locks.name,
                "updates": [{"q": wanted, "u": update} for wanted, update in updates],
                "ordered": False,
                "writeConcern": _MAJORITY,
            }
        )
        _check(reply)
        return int(reply["n"])


def _check(reply: Mapping[str, Any]) -> None:
    for fault in reply.get("writeErrors", ()):
        raise WriteError(fault["errmsg"], fault["code"], fault)
    if fault := reply.get("writeConcernError"):
        raise WriteConcernError(fault.get("errmsg", "no majority"), fault.get("code"), fault)


def _info(row: Row | None) -> LockInfo | None:
    if row is None:
        return None
    fence, since, until = (int(row[part]) for part in ("fence", "since", "until"))
    return LockInfo(row["n"], fence, decode(row["holder"]), since, until)
