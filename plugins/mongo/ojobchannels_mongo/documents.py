"""The operations on documents."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from ojobchannels.documents import Document, Item, Key, decode, matches
from ojobchannels.errors import StaleFence
from ojobchannels.hookspecs import ABSENT, MISSING, Compared, hookimpl
from ojobchannels_mongo.codec import (
    FIRST,
    VALUE,
    items_of,
    place,
    plain,
    row_id,
    storable,
    stored,
    value_of,
)
from ojobchannels_mongo.connection import Line
from ojobchannels_mongo.errors import Operation, Rule
from ojobchannels_mongo.match_filter import narrowed
from ojobchannels_mongo.reader import Reader
from ojobchannels_mongo.servers import Link, Row
from ojobchannels_mongo.statements import (
    NOT_THERE,
    THERE,
    close_off,
    not_marked_beyond,
    take_out,
)

_READ_IT: Final = "read what is there, then decide"
_GONE: Final = "an entry may be gone whose value was lost"
_GET: Final = Operation("get")
_SET: Final = Operation("set", Rule.REPEATABLE, _READ_IT)
_UNSET: Final = Operation("unset", Rule.REPEATABLE, _READ_IT)
_GET_ALL: Final = Operation("get_all")
_ITEMS: Final = Operation("items")
_GET_KEYS: Final = Operation("get_keys")
_SIZE: Final = Operation("size")
_SET_ALL: Final = Operation("set_all", Rule.ONCE, _READ_IT)
_UNSET_ALL: Final = Operation("unset_all", Rule.ONCE, _READ_IT)
_GET_SET: Final = Operation("get_set", Rule.ONCE, _READ_IT)
_COMPARE: Final = Operation("get_set")
_POP: Final = Operation("pop", Rule.ONCE, _GONE)
_SHIFT: Final = Operation("shift", Rule.ONCE, _GONE)
_DESTROY: Final = Operation("destroy", Rule.REPEATABLE, "call it again")

_COMPARED: Final = VALUE | {"o": 1, "f": 1}
_T = TypeVar("_T")
_BATCH: Final = 10_000  # entries for which one timeout is enough


class Documents:
    """Half of a handle: its documents."""

    def __init__(self, line: Line) -> None:
        self._documents = line
        self._channel = line.channel
        self._reader = Reader(line)
        self._mine: Row = {"c": line.channel, "o": {"$gt": FIRST}}

    @hookimpl
    def get(self, key: Key) -> Document:
        row = row_id(self._channel, key)
        return value_of(
            self._documents.call(_GET, lambda link, _: link.documents.find_one(row, VALUE))
        )

    @hookimpl
    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        update = stored(self._channel, key, value, fence)
        self._documents.call(_SET, lambda link, _: self._put(link, key, update, fence))
        return True

    @hookimpl
    def unset(self, key: Key, fence: int | None) -> bool:
        row, request = row_id(self._channel, key), secrets.token_hex(8)

        def remove(link: Link, again: bool) -> bool:
            update = take_out(request)
            if link.documents.update_one({"_id": row, "o": THERE}, update).matched_count:
                return True
            if not again:
                return False
            left = link.documents.find_one(row, {"by": 1})
            return left is not None and left.get("by") == request

        def close(link: Link, _: bool) -> bool:
            with self._fenced(link, key, fence):
                before = link.raw_documents.find_one_and_update(
                    {"_id": row} | _mark_below(fence),
                    close_off(self._channel, fence, request),
                    {"_id": 0, "o": 1, "by": 1, "was": 1},
                    upsert=True,
                )
            if before is not None and before.get("by") == request:
                return bool(before["was"])
            return before is not None and "o" in before

        return self._documents.call(_UNSET, remove if fence is None else close)

    @hookimpl
    def get_all(self, match: Document) -> list[Document]:
        rows = self._reader.all(_GET_ALL, narrowed(match), ("v", "j"))
        values = [value_of(row) for row in rows]
        return values if match is None else [value for value in values if matches(match, value)]

    @hookimpl
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        wanted = self._mine | narrowed(match)
        if after is not None:
            wanted["o"] = {"$gt": FIRST, "$lt" if newest_first else "$gt": place(after)}
        shown = {"k": 1, "v": 1, "j": 1, "o": 1}
        # Newest first none is met twice; told the limit, the server needs no word of the end.
        all_are_wanted = match is None and newest_first

        def page(link: Link, _: bool) -> list[Item]:
            found: dict[str, Row] = {}
            rows = link.documents.find(wanted, shown, batch_size=max(limit, 2))
            rows.sort("o", -1 if newest_first else 1).limit(limit if all_are_wanted else 0)
            with rows as cursor:
                for row in cursor:
                    if match is None or matches(match, value_of(row)):
                        found.pop(row["_id"], None)  # it changed meanwhile
                        found[row["_id"]] = row
                        if len(found) == limit:
                            break
            return items_of(list(found.values()))

        return self._documents.call(_ITEMS, page)

    @hookimpl
    def get_keys(self) -> list[Document]:
        return [decode(row["k"]) for row in self._reader.all(_GET_KEYS, {}, ("k",))]

    @hookimpl
    def size(self) -> int:
        def count(link: Link, _: bool) -> int:
            answer = link.database.command({"count": link.documents.name, "query": self._mine})
            return int(answer["n"])

        return self._documents.call(_SIZE, count)

    @hookimpl
    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        if len(items) == 1:
            return self.set(*items[0], None)
        writes = [
            UpdateOne(
                {"_id": row_id(self._channel, key)},
                stored(self._channel, key, value, None),
                upsert=True,
            )
            for key, value in items
        ]

        def write(link: Link, session: ClientSession) -> None:
            link.documents.bulk_write(writes, session=session)

        self._in_one_step(_SET_ALL, len(items), write)
        return True

    @hookimpl
    def unset_all(self, keys: list[Key]) -> int:
        if len(keys) == 1:
            return int(self.unset(keys[0], None))
        rows = list({row_id(self._channel, key) for key in keys})

        def remove(link: Link, session: ClientSession) -> int:
            return sum(
                link.documents.update_many(
                    {"_id": {"$in": rows[start : start + _BATCH]}, "o": THERE},
                    take_out(""),
                    session=session,
                ).matched_count
                for start in range(0, len(rows), _BATCH)
            )

        return self._in_one_step(_UNSET_ALL, len(keys), remove)

    @hookimpl
    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        update = stored(self._channel, key, value, fence)
        ends = time.monotonic() + self._documents.timeout
        row: Row | None = None
        if match is not ABSENT:
            row = self._look(key, ends)
        while True:
            present = value_of(row)
            if (present is MISSING) != (match is ABSENT):
                return Compared(False, present)
            if match is not ABSENT and not matches(match, present):
                return Compared(False, present)
            self._check_mark(row, key, fence)
            if self._replace(key, row, update, fence, ends):
                return Compared(True, present)
            row = self._look(key, ends)

    @hookimpl
    def pop(self) -> Document:
        return self._take(_POP, -1)

    @hookimpl
    def shift(self) -> Document:
        return self._take(_SHIFT, 1)

    @hookimpl
    def destroy(self) -> bool:
        def remove(link: Link, _: bool) -> bool:
            rows = link.documents.find(old, {"_id": 1}).limit(_BATCH).to_list()
            these = old | {"_id": {"$in": [row["_id"] for row in rows]}}
            link.documents.delete_many(these | {"f": NOT_THERE})
            link.documents.update_many(these | {"f": THERE}, take_out(""))
            return len(rows) == _BATCH

        last = self._documents.call(
            _DESTROY,
            lambda link, _: link.documents.find_one(self._mine, {"o": 1}, sort=[("o", -1)]),
        )
        if last is not None:
            old = self._mine | {"o": {"$gt": FIRST, "$lte": last["o"]}}
            while self._documents.call(_DESTROY, remove):
                continue
        return True

    def _put(self, link: Link, key: Key, update: Row, fence: int | None) -> None:
        wanted = {"_id": row_id(self._channel, key)} | _mark_below(fence)
        with self._fenced(link, key, fence):
            link.documents.update_one(wanted, update, upsert=True)

    def _look(self, key: Key, ends: float) -> Row | None:
        row = row_id(self._channel, key)
        return self._documents.call(
            _COMPARE, lambda link, _: link.documents.find_one(row, _COMPARED), _left(ends)
        )

    def _replace(
        self, key: Key, row: Row | None, update: Row, fence: int | None, ends: float
    ) -> bool:
        """Stores if the row is still as it was read, and answers whether it was."""
        absent = row is None or "o" not in row
        order = NOT_THERE if row is None or absent else row["o"]
        wanted = {"_id": row_id(self._channel, key), "o": order} | _mark_below(fence)

        def replace(link: Link, _: bool) -> bool:
            try:
                done = link.documents.update_one(wanted, update, upsert=absent)
            except DuplicateKeyError:
                return False
            return absent or done.matched_count > 0

        return self._documents.call(_GET_SET, replace, _left(ends))

    @contextmanager
    def _fenced(self, link: Link, key: Key, fence: int | None) -> Iterator[None]:
        """Tells the marks that refused a write from two writes that met."""
        try:
            yield
        except DuplicateKeyError:
            if fence is not None:
                row = link.documents.find_one(row_id(self._channel, key), {"f": 1})
                self._check_mark(row, key, fence)
            raise

    def _check_mark(self, row: Row | None, key: Key, fence: int | None) -> None:
        mark = row.get("f") if row else None
        if fence is not None and mark is not None and fence < mark:
            raise StaleFence(self._channel, key.document, fence, mark)

    def _take(self, operation: Operation, direction: int) -> Document:
        def take(link: Link, _: bool) -> Row | None:
            return link.raw_documents.find_one_and_update(
                self._mine, take_out(""), VALUE, sort=[("o", direction)]
            )

        return plain(value_of(self._documents.call(operation, take)))

    def _in_one_step(
        self, operation: Operation, size: int, work: Callable[[Link, ClientSession], _T]
    ) -> _T:
        def transact(link: Link, _: bool) -> _T:
            with link.client.start_session() as session:
                return session.with_transaction(
                    lambda inside: work(link, inside),
                    write_concern=link.documents.write_concern,
                    read_preference=link.documents.read_preference,
                )

        seconds = self._documents.timeout * (1 + size // _BATCH)
        return self._documents.call(operation, transact, seconds)


def _mark_below(fence: int | None) -> Row:
    return {} if fence is None else {"f": not_marked_beyond(storable(fence))}


def _left(ends: float) -> float:
    return max(ends - time.monotonic(), 0.001)
