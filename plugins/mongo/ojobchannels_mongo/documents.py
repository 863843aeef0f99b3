"""The operations on documents."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from ojobchannels import remote
from ojobchannels.documents import Document, Item, Key, decode, matches
from ojobchannels.errors import StaleFence
from ojobchannels.hookspecs import ABSENT, Compared, fits, hookimpl
from ojobchannels.remote import Operation, Rule
from ojobchannels_mongo import codec, statements
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.reader import FieldIndexes, Reader, filter_for
from ojobchannels_mongo.servers import Collections, Row

# A batch is a transaction: after a lost reply to its commit, it may have been applied.
_SET_ALL: Final = remote.SET_ALL._replace(rule=Rule.ONCE)
_UNSET_ALL: Final = remote.UNSET_ALL._replace(rule=Rule.ONCE)
_COMPARE: Final = Operation("get_set")

_COMPARED: Final = codec.VALUE | {"o": 1, "f": 1}
_T = TypeVar("_T")
_BATCH: Final = 10_000  # entries for which one timeout is enough


class Documents:
    """The part of a handle that serves the documents."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel = connection.channel
        self._reader = Reader(connection)
        self._indexes = FieldIndexes(connection)
        self._own: Row = {"c": connection.channel, "o": {"$gt": codec.FIRST}}

    @hookimpl
    def get(self, key: Key) -> Document:
        row = codec.row_id(self._channel, key)
        return codec.value_of(
            self._connection.call(remote.GET, lambda at, _: at.documents.find_one(row, codec.VALUE))
        )

    @hookimpl
    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        update = codec.stored(self._channel, key, value, fence)
        self._connection.call(remote.SET, lambda at, _: self._put(at, key, update, fence))
        return True

    @hookimpl
    def unset(self, key: Key, fence: int | None) -> bool:
        row, request = codec.row_id(self._channel, key), secrets.token_hex(8)

        def remove(at: Collections, again: bool) -> bool:
            update = statements.remove_entry(request)
            if at.documents.update_one({"_id": row, "o": statements.EXISTS}, update).matched_count:
                return True
            if not again:
                return False
            left = at.documents.find_one(row, {"by": 1})
            return left is not None and left.get("by") == request

        def remove_fenced(at: Collections, _: bool) -> bool:
            with self._fenced(at, key, fence):
                before = at.raw_documents.find_one_and_update(
                    {"_id": row} | _mark_below(fence),
                    statements.remove_and_mark(self._channel, fence, request),
                    {"_id": 0, "o": 1, "by": 1, "was": 1},
                    upsert=True,
                )
            if before is not None and before.get("by") == request:
                return bool(before["was"])
            return before is not None and "o" in before

        return self._connection.call(remote.UNSET, remove if fence is None else remove_fenced)

    @hookimpl
    def get_all(self, match: Document) -> list[Document]:
        rows = self._reader.all(remote.GET_ALL, filter_for(match), ("v", "j"))
        values = [codec.value_of(row) for row in rows]
        return values if match is None else [value for value in values if matches(match, value)]

    @hookimpl
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        own = dict(self._own)
        if after is not None:
            beyond = "$lt" if newest_first else "$gt"
            own["o"] = {"$gt": codec.FIRST, beyond: codec.timestamp_of(after)}
        wanted = self._indexes.filter(own, match) or own | filter_for(match)
        fields = {"k": 1, "v": 1, "j": 1, "o": 1}
        # Newest first, no entry is read twice, so the limit can be left to the server.
        limited = match is None and newest_first

        def page(at: Collections, _: bool) -> list[Item]:
            page_rows: dict[str, Row] = {}
            rows = at.documents.find(wanted, fields, batch_size=max(limit, 2))
            rows.sort("o", -1 if newest_first else 1).limit(limit if limited else 0)
            with rows as cursor:
                for row in cursor:
                    if match is None or matches(match, codec.value_of(row)):
                        page_rows.pop(row["_id"], None)  # it changed meanwhile
                        page_rows[row["_id"]] = row
                        if len(page_rows) == limit:
                            break
            return codec.items_of(list(page_rows.values()))

        return self._connection.call(remote.ITEMS, page)

    @hookimpl
    def index(self, fields: tuple[str, ...]) -> bool:
        return self._indexes.create(fields)

    @hookimpl
    def below(self, field: str, bound: int, limit: int) -> list[Item] | None:
        return self._indexes.below(field, bound, limit)

    @hookimpl
    def get_keys(self) -> list[Document]:
        return [decode(row["k"]) for row in self._reader.all(remote.GET_KEYS, {}, ("k",))]

    @hookimpl
    def size(self) -> int:
        return self._count(self._own)

    @hookimpl
    def size_until(self, position: int) -> int:
        until = {"$gt": codec.FIRST, "$lte": codec.timestamp_of(position)}
        return self._count(self._own | {"o": until})

    @hookimpl
    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        if len(items) == 1:
            return self.set(*items[0], None)
        writes = [
            UpdateOne(
                {"_id": codec.row_id(self._channel, key)},
                codec.stored(self._channel, key, value, None),
                upsert=True,
            )
            for key, value in items
        ]

        def write(at: Collections, session: ClientSession) -> None:
            at.documents.bulk_write(writes, session=session)

        self._transaction(_SET_ALL, len(items), write)
        return True

    @hookimpl
    def unset_all(self, keys: list[Key]) -> int:
        if len(keys) == 1:
            return int(self.unset(keys[0], None))
        rows = list({codec.row_id(self._channel, key) for key in keys})

        def remove(at: Collections, session: ClientSession) -> int:
            return sum(
                at.documents.update_many(
                    {"_id": {"$in": rows[start : start + _BATCH]}, "o": statements.EXISTS},
                    statements.remove_entry(""),
                    session=session,
                ).matched_count
                for start in range(0, len(rows), _BATCH)
            )

        return self._transaction(_UNSET_ALL, len(keys), remove)

    @hookimpl
    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        update = codec.stored(self._channel, key, value, fence)
        ends = time.monotonic() + self._connection.timeout
        row: Row | None = None
        if match is not ABSENT:
            row = self._look(key, ends)
        while True:
            present = codec.value_of(row)
            if not fits(match, present):
                return Compared(False, present)
            self._check_mark(row, key, fence)
            if self._replace(key, row, update, fence, ends):
                return Compared(True, present)
            row = self._look(key, ends)

    @hookimpl
    def pop(self) -> Document:
        return self._take(remote.POP, -1)

    @hookimpl
    def shift(self) -> Document:
        return self._take(remote.SHIFT, 1)

    @hookimpl
    def destroy(self) -> bool:
        def remove(at: Collections, _: bool) -> bool:
            rows = at.documents.find(old, {"_id": 1}).limit(_BATCH).to_list()
            batch = old | {"_id": {"$in": [row["_id"] for row in rows]}}
            at.documents.delete_many(batch | {"f": statements.NOT_EXISTS})
            at.documents.update_many(batch | {"f": statements.EXISTS}, statements.remove_entry(""))
            return len(rows) == _BATCH

        last = self._connection.call(
            remote.DESTROY,
            lambda at, _: at.documents.find_one(self._own, {"o": 1}, sort=[("o", -1)]),
        )
        if last is not None:
            old = self._own | {"o": {"$gt": codec.FIRST, "$lte": last["o"]}}
            while self._connection.call(remote.DESTROY, remove):
                continue
        return True

    def _count(self, query: Row) -> int:
        def count(at: Collections, _: bool) -> int:
            return int(at.database.command({"count": at.documents.name, "query": query})["n"])

        return self._connection.call(remote.SIZE, count)

    def _put(self, at: Collections, key: Key, update: Row, fence: int | None) -> None:
        wanted = {"_id": codec.row_id(self._channel, key)} | _mark_below(fence)
        with self._fenced(at, key, fence):
            at.documents.update_one(wanted, update, upsert=True)

    def _look(self, key: Key, ends: float) -> Row | None:
        row = codec.row_id(self._channel, key)
        return self._connection.call(
            _COMPARE, lambda at, _: at.documents.find_one(row, _COMPARED), _left(ends)
        )

    def _replace(
        self, key: Key, row: Row | None, update: Row, fence: int | None, ends: float
    ) -> bool:
        """Store if the row is still as it was read, and return whether it was."""
        absent = row is None or "o" not in row
        order = statements.NOT_EXISTS if row is None or absent else row["o"]
        wanted = {"_id": codec.row_id(self._channel, key), "o": order} | _mark_below(fence)

        def replace(at: Collections, _: bool) -> bool:
            try:
                result = at.documents.update_one(wanted, update, upsert=absent)
            except DuplicateKeyError:
                return False
            return absent or result.matched_count > 0

        return self._connection.call(remote.GET_SET, replace, _left(ends))

    @contextmanager
    def _fenced(self, at: Collections, key: Key, fence: int | None) -> Iterator[None]:
        """Raise StaleFence where a mark refused a write, and not a concurrent write."""
        try:
            yield
        except DuplicateKeyError:
            if fence is not None:
                row = at.documents.find_one(codec.row_id(self._channel, key), {"f": 1})
                self._check_mark(row, key, fence)
            raise

    def _check_mark(self, row: Row | None, key: Key, fence: int | None) -> None:
        mark = row.get("f") if row else None
        if fence is not None and mark is not None and fence < mark:
            raise StaleFence(self._channel, key.document, fence, mark)

    def _take(self, operation: Operation, direction: int) -> Document:
        def take(at: Collections, _: bool) -> Row | None:
            return at.raw_documents.find_one_and_update(
                self._own, statements.remove_entry(""), codec.VALUE, sort=[("o", direction)]
            )

        return codec.plain(codec.value_of(self._connection.call(operation, take)))

    def _transaction(
        self, operation: Operation, size: int, work: Callable[[Collections, ClientSession], _T]
    ) -> _T:
        def transact(at: Collections, _: bool) -> _T:
            with at.client.start_session() as session:
                return session.with_transaction(
                    lambda session: work(at, session),
                    write_concern=at.documents.write_concern,
                    read_preference=at.documents.read_preference,
                )

        seconds = self._connection.timeout * (1 + size // _BATCH)
        return self._connection.call(operation, transact, seconds)


def _mark_below(fence: int | None) -> Row:
    return {} if fence is None else {"f": statements.not_marked_beyond(codec.checked_fence(fence))}


def _left(ends: float) -> float:
    return max(ends - time.monotonic(), 0.001)
