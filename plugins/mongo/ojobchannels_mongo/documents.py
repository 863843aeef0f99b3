"""The operations on documents."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from ojobchannels import remote
from ojobchannels.documents import Document, Item, Key, decode, matches
from ojobchannels.errors import StaleFence
from ojobchannels.hookspecs import ABSENT, Compared, fits, hookimpl
from ojobchannels.remote import Operation, Rule
from ojobchannels.steps import Step, Steps, one, performed
from ojobchannels_mongo import codec, statements
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.reader import FieldIndexes, Reader, filter_for, reading_first
from ojobchannels_mongo.servers import Collections, Row

# A batch is a transaction: after a lost reply to its commit, it may have been applied.
_SET_ALL: Final = remote.SET_ALL._replace(rule=Rule.ONCE)
_UNSET_ALL: Final = remote.UNSET_ALL._replace(rule=Rule.ONCE)
_COMPARE: Final = Operation("get_set")

_COMPARED: Final = codec.VALUE | {"o": 1, "f": 1}
_T = TypeVar("_T")
_BATCH: Final = 10_000  # entries for which one timeout is enough


class Documents:
    """The part of a handle that serves the documents.

    Args:
        connection: The connection of the channel.
        indexes: The indexes on fields of its values.
    """

    def __init__(self, connection: Connection, indexes: FieldIndexes) -> None:
        self._connection = connection
        self.perform = connection.perform
        self._channel = connection.channel
        self._reader = Reader(connection)
        self._indexes = indexes
        self._own: Row = {"c": connection.channel, "o": {"$gt": codec.FIRST}}

    @hookimpl
    @performed
    def get(self, key: Key) -> Steps[Document]:
        row = codec.row_id(self._channel, key)
        found = yield from self._connection.calling(
            remote.GET, lambda at, _: one(partial(at.documents.find_one, row, codec.VALUE))
        )
        return codec.value_of(found)

    @hookimpl
    @performed
    def set(self, key: Key, value: Document, fence: int | None) -> Steps[bool]:
        return self._storing(key, value, fence)

    @hookimpl
    @performed
    def unset(self, key: Key, fence: int | None) -> Steps[bool]:
        return self._removing(key, fence)

    @hookimpl
    @performed
    def get_all(self, match: Document) -> Steps[list[Document]]:
        rows = yield from self._reader.reading(remote.GET_ALL, filter_for(match), ("v", "j"))
        values = [codec.value_of(row) for row in rows]
        return values if match is None else [value for value in values if matches(match, value)]

    @hookimpl
    @performed
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> Steps[list[Item]]:
        own = dict(self._own)
        if after is not None:
            beyond = "$lt" if newest_first else "$gt"
            own["o"] = {"$gt": codec.FIRST, beyond: codec.timestamp_of(after)}
        wanted = self._indexes.filter(own, match) or own | filter_for(match)
        fields = {"k": 1, "v": 1, "j": 1, "o": 1}
        # Newest first, no entry is read twice, so the limit can be left to the server.
        limited = match is None and newest_first

        def page(at: Collections, _: bool) -> Steps[list[Item]]:
            rows = at.documents.find(wanted, fields, batch_size=max(limit, 2))
            rows.sort("o", -1 if newest_first else 1).limit(limit if limited else 0)
            return one(partial(self._connection.within, rows, first))

        first = partial(
            reading_first,
            limit=limit,
            fits=lambda row: match is None or matches(match, codec.value_of(row)),
        )
        return self._connection.calling(remote.ITEMS, page)

    @hookimpl
    @performed
    def index(self, fields: tuple[str, ...]) -> Steps[bool]:
        return self._indexes.creating(fields)

    @hookimpl
    @performed
    def below(self, field: str, bound: int, limit: int) -> Steps[list[Item] | None]:
        return self._indexes.reading_below(field, bound, limit)

    @hookimpl
    @performed
    def get_keys(self) -> Steps[list[Document]]:
        rows = yield from self._reader.reading(remote.GET_KEYS, {}, ("k",))
        return [decode(row["k"]) for row in rows]

    @hookimpl
    @performed
    def size(self) -> Steps[int]:
        return self._reader.counting()

    @hookimpl
    @performed
    def size_until(self, position: int) -> Steps[int]:
        until = {"$gt": codec.FIRST, "$lte": codec.timestamp_of(position)}
        query = self._own | {"o": until}

        def count(at: Collections, _: bool) -> Steps[dict[str, int]]:
            return one(partial(at.database.command, {"count": at.documents.name, "query": query}))

        return int((yield from self._connection.calling(remote.SIZE, count))["n"])

    @hookimpl
    @performed
    def set_all(self, items: list[tuple[Key, Document]]) -> Steps[bool]:
        if len(items) == 1:
            return (yield from self._storing(*items[0], None))
        writes = [
            UpdateOne(
                {"_id": codec.row_id(self._channel, key)},
                codec.stored(self._channel, key, value, None),
                upsert=True,
            )
            for key, value in items
        ]

        def write(at: Collections, session: ClientSession) -> Steps[object]:
            return one(partial(at.documents.bulk_write, writes, session=session))

        yield from self._transacting(_SET_ALL, len(items), write)
        return True

    @hookimpl
    @performed
    def unset_all(self, keys: list[Key]) -> Steps[int]:
        if len(keys) == 1:
            return int((yield from self._removing(keys[0], None)))
        rows = list({codec.row_id(self._channel, key) for key in keys})

        def remove(at: Collections, session: ClientSession) -> Steps[int]:
            removed = 0
            for start in range(0, len(rows), _BATCH):
                batch = {"_id": {"$in": rows[start : start + _BATCH]}, "o": statements.EXISTS}
                update = statements.remove_entry("")
                result = yield partial(at.documents.update_many, batch, update, session=session)
                removed += result.matched_count
            return removed

        return (yield from self._transacting(_UNSET_ALL, len(keys), remove))

    @hookimpl
    @performed
    def get_set(
        self, match: Document, key: Key, value: Document, fence: int | None
    ) -> Steps[Compared]:
        update = codec.stored(self._channel, key, value, fence)
        ends = time.monotonic() + self._connection.timeout
        row: Row | None = None
        if match is not ABSENT:
            row = yield from self._looking(key, ends)
        while True:
            present = codec.value_of(row)
            if not fits(match, present):
                return Compared(False, present)
            self._check_mark(row, key, fence)
            if (yield from self._replacing(key, row, update, fence, ends)):
                return Compared(True, present)
            row = yield from self._looking(key, ends)

    @hookimpl
    @performed
    def pop(self) -> Steps[Document]:
        return self._taking(remote.POP, -1)

    @hookimpl
    @performed
    def shift(self) -> Steps[Document]:
        return self._taking(remote.SHIFT, 1)

    @hookimpl
    @performed
    def destroy(self) -> Steps[bool]:
        def find_last(at: Collections, _: bool) -> Steps[Row | None]:
            newest = [("o", -1)]
            return one(partial(at.documents.find_one, self._own, {"o": 1}, sort=newest))

        def remove(at: Collections, _: bool) -> Steps[bool]:
            rows = yield at.documents.find(old, {"_id": 1}).limit(_BATCH).to_list
            batch = old | {"_id": {"$in": [row["_id"] for row in rows]}}
            yield partial(at.documents.delete_many, batch | {"f": statements.NOT_EXISTS})
            marked = batch | {"f": statements.EXISTS}
            yield partial(at.documents.update_many, marked, statements.remove_entry(""))
            return len(rows) == _BATCH

        last = yield from self._connection.calling(remote.DESTROY, find_last)
        if last is not None:
            old = self._own | {"o": {"$gt": codec.FIRST, "$lte": last["o"]}}
            while (yield from self._connection.calling(remote.DESTROY, remove)):
                continue
        return True

    def _storing(self, key: Key, value: Document, fence: int | None) -> Steps[bool]:
        update = codec.stored(self._channel, key, value, fence)
        wanted = {"_id": codec.row_id(self._channel, key)} | _mark_below(fence)

        def store(at: Collections, _: bool) -> Steps[object]:
            write = partial(at.documents.update_one, wanted, update, upsert=True)
            return self._fenced(at, key, fence, write)

        yield from self._connection.calling(remote.SET, store)
        return True

    def _removing(self, key: Key, fence: int | None) -> Steps[bool]:
        row, request = codec.row_id(self._channel, key), secrets.token_hex(8)

        def remove(at: Collections, again: bool) -> Steps[bool]:
            wanted, update = {"_id": row, "o": statements.EXISTS}, statements.remove_entry(request)
            if (yield partial(at.documents.update_one, wanted, update)).matched_count:
                return True
            if not again:
                return False
            left = yield partial(at.documents.find_one, row, {"by": 1})
            return left is not None and left.get("by") == request

        def remove_fenced(at: Collections, _: bool) -> Steps[bool]:
            write = partial(
                at.raw_documents.find_one_and_update,
                {"_id": row} | _mark_below(fence),
                statements.remove_and_mark(self._channel, fence, request),
                {"_id": 0, "o": 1, "by": 1, "was": 1},
                upsert=True,
            )
            before = yield from self._fenced(at, key, fence, write)
            if before is not None and before.get("by") == request:
                return bool(before["was"])
            return before is not None and "o" in before

        return self._connection.calling(remote.UNSET, remove if fence is None else remove_fenced)

    def _looking(self, key: Key, ends: float) -> Steps[Row | None]:
        row = codec.row_id(self._channel, key)
        return self._connection.calling(
            _COMPARE, lambda at, _: one(partial(at.documents.find_one, row, _COMPARED)), _left(ends)
        )

    def _replacing(
        self, key: Key, row: Row | None, update: Row, fence: int | None, ends: float
    ) -> Steps[bool]:
        """Store if the row is still as it was read, and return whether it was."""
        absent = row is None or "o" not in row
        order = statements.NOT_EXISTS if row is None or absent else row["o"]
        wanted = {"_id": codec.row_id(self._channel, key), "o": order} | _mark_below(fence)

        def replace(at: Collections, _: bool) -> Steps[bool]:
            try:
                result = yield partial(at.documents.update_one, wanted, update, upsert=absent)
            except DuplicateKeyError:
                return False
            return absent or result.matched_count > 0

        return self._connection.calling(remote.GET_SET, replace, _left(ends))

    def _fenced(self, at: Collections, key: Key, fence: int | None, write: Step) -> Steps[Any]:
        """Write; raise StaleFence where a mark refused it, and not a concurrent write."""
        try:
            return (yield write)
        except DuplicateKeyError as error:
            refusal = error
        # Not within the handler: an error of a step would lose its cause to the refusal.
        if fence is not None:
            row = yield partial(at.documents.find_one, codec.row_id(self._channel, key), {"f": 1})
            self._check_mark(row, key, fence)
        raise refusal

    def _check_mark(self, row: Row | None, key: Key, fence: int | None) -> None:
        mark = row.get("f") if row else None
        if fence is not None and mark is not None and fence < mark:
            raise StaleFence(self._channel, key.document, fence, mark)

    def _taking(self, operation: Operation, direction: int) -> Steps[Document]:
        def take(at: Collections, _: bool) -> Steps[Row | None]:
            remove, order = statements.remove_entry(""), [("o", direction)]
            update = at.raw_documents.find_one_and_update
            return one(partial(update, self._own, remove, codec.VALUE, sort=order))

        return codec.plain(codec.value_of((yield from self._connection.calling(operation, take))))

    def _transacting(
        self,
        operation: Operation,
        size: int,
        work: Callable[[Collections, ClientSession], Steps[_T]],
    ) -> Steps[_T]:
        def transact(at: Collections, _: bool) -> Steps[_T]:
            def transaction(session: ClientSession) -> Steps[_T]:
                return one(
                    partial(
                        session.with_transaction,
                        lambda session: self.perform(work(at, session)),
                        write_concern=at.documents.write_concern,
                        read_preference=at.documents.read_preference,
                    )
                )

            return one(partial(self._connection.within, at.client.start_session(), transaction))

        seconds = self._connection.timeout * (1 + size // _BATCH)
        return self._connection.calling(operation, transact, seconds)


def _mark_below(fence: int | None) -> Row:
    return {} if fence is None else {"f": statements.not_marked_beyond(fence)}


def _left(ends: float) -> float:
    return max(ends - time.monotonic(), 0.001)
