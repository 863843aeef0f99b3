"""The operations on documents: each is one statement, or one transaction in one round trip."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from ojobchannels import remote
from ojobchannels.documents import (
    Document,
    Item,
    Key,
    decode,
    decode_all,
    encode,
    page_of,
    parts_of_text,
    values_of,
)
from ojobchannels.errors import InvalidValue, StaleFence
from ojobchannels.hookspecs import ABSENT, MISSING, Compared, fits, hookimpl
from ojobchannels.remote import Operation
from ojobchannels.steps import Steps, performed
from ojobchannels_postgres import statements
from ojobchannels_postgres.calls import Client, Connection, row_id
from ojobchannels_postgres.schema import EntryCounts, FieldIndexes
from ojobchannels_postgres.session import Parameter, Row

_FIRST: Final = -(2**63)
_LAST: Final = 2**63 - 1
_PAGE: Final = 20_000
_LARGEST: Final = 256 * 1024 * 1024
_BATCH: Final = 10_000  # entries for which one timeout is enough
_COMPARE: Final = Operation("get_set")


class Documents:
    """The part of a handle that serves the documents."""

    def __init__(self, connection: Connection, indexes: FieldIndexes) -> None:
        self.perform = connection.perform
        self._connection = connection
        self._run = connection.running
        self._indexes = indexes
        self._counts = EntryCounts(connection)

    @hookimpl
    @performed
    def get(self, key: Key) -> Steps[Document]:
        rows = yield from self._run(remote.GET, statements.GET, row_id(key))
        return decode(rows[0][0]) if rows else MISSING

    @hookimpl
    @performed
    def set(self, key: Key, value: Document, fence: int | None) -> Steps[bool]:
        row: tuple[str | int, ...] = _row(key, value)
        if fence is None:
            yield from self._run(remote.SET, statements.PUT, *row)
            return True
        row = (*row, fence)
        if not (yield from self._run(remote.SET, statements.PUT_FENCED, *row)):
            yield from self._check_mark(key, fence)
        return True

    @hookimpl
    @performed
    def unset(self, key: Key, fence: int | None) -> Steps[bool]:
        if fence is None:
            steps: list[tuple[str, Sequence[Parameter]]] = [
                (statements.REMOVE, (self._connection.id, row_id(key)))
            ]
        else:
            row = (self._connection.id, row_id(key), fence)
            steps = [(statements.MARK_IF_NEWEST, row), (statements.REMOVE_MARKED, row)]
        rows, again = yield from self._in_one(remote.UNSET, steps)
        removed = bool(rows[-1])
        if fence is not None and not rows[0][0][0]:
            yield from self._check_mark(key, fence)
        if again and not removed:
            raise remote.UNSET.unknown(self._connection.channel)
        return removed

    @hookimpl
    @performed
    def get_all(self, match: Document) -> Steps[list[Document]]:
        rows = yield from self._all(remote.GET_ALL, statements.VALUES, match)
        return values_of((text for _, text, _ in rows), match)

    @hookimpl
    @performed
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> Steps[list[Item]]:
        statement, more = self._indexes.statement(match, newest_first)
        beyond = after if after is not None else (_LAST if newest_first else _FIRST)
        size, parts = limit, _parts(match)
        page: list[Item] = []
        while True:
            rows = yield from self._run(remote.ITEMS, statement, beyond, size, parts, *more)
            page += page_of(rows, match, limit - len(page))
            if len(page) >= limit or len(rows) < size:
                return page
            beyond, size = rows[-1][2], _PAGE

    @hookimpl
    def index(self, fields: tuple[str, ...]) -> bool:
        return self._indexes.create(fields)

    @hookimpl
    def below(self, field: str, bound: int, limit: int) -> list[Item] | None:
        return self._indexes.below(field, bound, limit)

    @hookimpl
    @performed
    def get_keys(self) -> Steps[list[Document]]:
        rows = yield from self._all(remote.GET_KEYS, statements.KEYS, None)
        return decode_all(text for _, text, _ in rows)

    @hookimpl
    @performed
    def size(self) -> Steps[int]:
        return self._counts.size()

    @hookimpl
    @performed
    def size_until(self, position: int) -> Steps[int]:
        return self._counts.size_until(position)

    @hookimpl
    @performed
    def set_all(self, items: list[tuple[Key, Document]]) -> Steps[bool]:
        rows: dict[str, tuple[str, str, str]] = {}
        for key, value in items:
            row = _row(key, value)
            rows.pop(row[0], None)
            rows[row[0]] = row
        columns = [list(column) for column in zip(*rows.values(), strict=True)]
        seconds = self._time_for(len(rows))
        yield from self._run(
            remote.SET_ALL, statements.PUT_ALL, *columns, len(rows), seconds=seconds
        )
        return True

    @hookimpl
    @performed
    def unset_all(self, keys: list[Key]) -> Steps[int]:
        ids = list({row_id(key) for key in keys})
        seconds = self._time_for(len(ids))
        channel = self._connection.id
        steps = (statements.STEP_IF_ANY, (channel,)), (statements.REMOVE_ALL, (channel, ids))
        (_, rows), again = yield from self._in_one(remote.UNSET_ALL, steps, seconds)
        removed = int(rows[0][0]) if rows else 0
        if again and removed < len(ids):
            raise remote.UNSET_ALL.unknown(self._connection.channel)
        return removed

    @hookimpl
    @performed
    def get_set(
        self, match: Document, key: Key, value: Document, fence: int | None
    ) -> Steps[Compared]:
        ends = time.monotonic() + self._connection.timeout
        while True:
            if match is ABSENT:
                compared = yield from self._add(key, value, fence, ends)
            else:
                compared = yield from self._compare(match, key, value, fence, ends)
            if compared is not None:
                return compared

    @hookimpl
    @performed
    def pop(self) -> Steps[Document]:
        return self._take(remote.POP, statements.TAKE_LAST)

    @hookimpl
    @performed
    def shift(self) -> Steps[Document]:
        return self._take(remote.SHIFT, statements.TAKE_FIRST)

    @hookimpl
    @performed
    def destroy(self) -> Steps[bool]:
        ((last,),) = yield from self._run(remote.DESTROY, statements.LAST)
        while last is not None:
            old = (last, _BATCH)
            ((removed, _),) = yield from self._run(remote.DESTROY, statements.REMOVE_OLD, *old)
            if removed < _BATCH:
                break
        return True

    def _all(self, operation: Operation, statement: str, match: Document) -> Steps[list[Row]]:
        """Return all rows; beyond one page, which are not a snapshot, the last of each key."""
        beyond, rows, parts = _FIRST, [], _parts(match)
        while True:
            page = yield from self._run(operation, statement, beyond, _PAGE, parts)
            rows += page
            if len(page) < _PAGE:
                break
            beyond = page[-1][2]
        return rows if len(rows) == len(page) else _once_each(rows)

    def _add(
        self, key: Key, value: Document, fence: int | None, ends: float
    ) -> Steps[Compared | None]:
        """Store where no entry is; None if it was added meanwhile."""
        statement: str = statements.PUT_NEW
        row: tuple[str | int, ...] = _row(key, value)
        if fence is not None:
            statement, row = statements.PUT_NEW_FENCED, (*row, fence)
        ((stored, present, _),) = yield from self._run(
            remote.GET_SET, statement, *row, seconds=_left(ends)
        )
        if stored or present is not None:
            return Compared(stored, decode(present) if present is not None else MISSING)
        yield from self._check_mark(key, fence)
        return None

    def _compare(
        self, match: Document, key: Key, value: Document, fence: int | None, ends: float
    ) -> Steps[Compared | None]:
        """Store if the entry is still as it was read; None if it changed meanwhile."""
        seconds = _left(ends)
        rows = yield from self._run(_COMPARE, statements.COMPARED, row_id(key), seconds=seconds)
        present = decode(rows[0][0]) if rows else MISSING
        if not fits(match, present):
            return Compared(False, present)
        statement: str = statements.REPLACE
        row: tuple[str | int, ...] = (*_row(key, value), rows[0][1])
        if fence is not None:
            statement, row = statements.REPLACE_FENCED, (*row, fence)
        if (yield from self._run(remote.GET_SET, statement, *row, seconds=_left(ends))):
            return Compared(True, present)
        yield from self._check_mark(key, fence)
        return None

    def _take(self, operation: Operation, statement: str) -> Steps[Document]:
        channel = (self._connection.id,)
        steps = (statements.STEP_IF_ANY, channel), (statement, channel)
        (_, rows), _ = yield from self._in_one(operation, steps)
        return decode(rows[0][0]) if rows else MISSING

    def _in_one(
        self,
        operation: Operation,
        steps: Sequence[tuple[str, Sequence[Parameter]]],
        seconds: float | None = None,
    ) -> Steps[tuple[list[list[Row]], bool]]:
        """Execute statements in one transaction; return the rows of each, and `again`.

        `again` is whether they may have been done before.
        """

        def execute(client: Client, again: bool) -> Steps[tuple[list[list[Row]], bool]]:
            if len(steps) > 1:
                return (yield from client.run_all(*steps)), again
            ((statement, parameters),) = steps
            return [(yield from client.run(statement, *parameters))], again

        return self._connection.calling(operation, execute, seconds)

    def _check_mark(self, key: Key, fence: int | None) -> Steps[None]:
        """Raise StaleFence if a fenced write changed nothing because of the mark of its key."""
        if fence is not None:
            rows = yield from self._run(_COMPARE, statements.MARK, row_id(key))
            if rows and fence < rows[0][0]:
                raise StaleFence(self._connection.channel, key.document, fence, rows[0][0])

    def _time_for(self, entries: int) -> float:
        return self._connection.timeout * (1 + entries // _BATCH)


def _row(key: Key, value: Document) -> tuple[str, str, str]:
    text = encode(value)
    if len(text) > _LARGEST // 4 and (size := len(text.encode())) > _LARGEST:
        raise InvalidValue("$", f"it has {size} bytes; at most {_LARGEST} are accepted")
    return row_id(key), key.written(), text


def _parts(match: Document) -> list[str]:
    return [] if match is None else parts_of_text(match)


def _left(ends: float) -> float:
    return max(ends - time.monotonic(), 0.001)


def _once_each(rows: Sequence[Row]) -> list[Row]:
    """Return the last row of each entry: an entry that changed meanwhile was read twice."""
    last: dict[str, Row] = {}
    for row in rows:
        last.pop(row[0], None)
        last[row[0]] = row
    return list(last.values())
