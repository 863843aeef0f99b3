"""The operations on documents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from redis.exceptions import RedisError

from ojobchannels.documents import (
    Document,
    Item,
    Key,
    decode,
    encode,
    matches,
    page_of,
    values_of,
)
from ojobchannels.errors import InvalidValue, NotSupported, OutcomeUnknown, StaleFence
from ojobchannels.hookspecs import ABSENT, MISSING, Compared, hookimpl
from ojobchannels_redis import scripts
from ojobchannels_redis.connections import Command
from ojobchannels_redis.errors import Operation, Rule, damage
from ojobchannels_redis.keys import Keys
from ojobchannels_redis.scripts import Script
from ojobchannels_redis.server import Line

_SNAPSHOT: Final = 10_000
_PAGE: Final = 2_000
_LARGEST_BATCH: Final = 300_000
_TIMED_BATCH: Final = 10_000  # entries for which one timeout is enough
_LARGEST_VALUE: Final = 512 * 1024 * 1024

_READ_IT: Final = "read what is there, then decide"
_GET: Final = Operation("get")
_SET: Final = Operation("set", Rule.REPEATABLE, _READ_IT)
_UNSET: Final = Operation("unset", Rule.REPEATABLE, "the key may have been removed: " + _READ_IT)
_GET_ALL: Final = Operation("get_all")
_ITEMS: Final = Operation("items")
_GET_KEYS: Final = Operation("get_keys")
_SIZE: Final = Operation("size")
_SET_ALL: Final = Operation("set_all", Rule.REPEATABLE, _READ_IT)
_UNSET_ALL: Final = Operation("unset_all", Rule.REPEATABLE, _READ_IT)
_GET_SET: Final = Operation("get_set", Rule.ONCE, _READ_IT)
_POP: Final = Operation("pop", Rule.ONCE, "an entry may be gone whose value was lost")
_SHIFT: Final = Operation("shift", Rule.ONCE, "an entry may be gone whose value was lost")
_DESTROY: Final = Operation("destroy", Rule.REPEATABLE, "call it again")


class Documents:
    """Half of a handle: its documents."""

    def __init__(self, line: Line, keys: Keys) -> None:
        self._documents = line
        self._values = keys.values
        self._keys = keys.documents
        self._channel = line.channel

    @hookimpl
    def get(self, key: Key) -> Document:
        text = self._documents.call(_GET, self._values, ("HGET", self._values, key))
        return self._read(text)

    @hookimpl
    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        mark = self._run(_SET, scripts.SET, *self._row(key, value), _text(fence))
        self._check_mark(mark, key, fence)
        return True

    @hookimpl
    def unset(self, key: Key, fence: int | None) -> bool:
        lost: list[RedisError] = []
        answer = self._run(_UNSET, scripts.UNSET, key, _text(fence), lost=lost)
        if isinstance(answer, bytes):
            self._check_mark(answer, key, fence)
        return bool(self._counted(_UNSET, answer, 1, lost))

    @hookimpl
    def get_all(self, match: Document) -> list[Document]:
        texts = self._all(_GET_ALL, "values")
        if match is None:
            return self._read_all(texts)
        with self._damage_told():
            return values_of(map(bytes.decode, texts), match)

    @hookimpl
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        page: list[Item] = []
        size = limit if match is None else max(limit, _PAGE)
        while True:
            parts = self._page(_ITEMS, "both", size, newest_first, after)[1:]
            with self._damage_told():
                rows = [
                    (key.decode(), text.decode(), int(position))
                    for key, text, position in zip(*[iter(parts)] * 3, strict=True)
                ]
                page += page_of(rows, match, limit - len(page))
            if len(page) == limit or len(rows) < size:
                return page
            after = rows[-1][2]

    @hookimpl
    def get_keys(self) -> list[Document]:
        return self._read_all(self._all(_GET_KEYS, "keys"))

    @hookimpl
    def size(self) -> int:
        return int(self._documents.call(_SIZE, self._values, ("HLEN", self._values)))

    @hookimpl
    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        self._check_batch(len(items))
        rows: dict[Key, tuple[str, str, str]] = {}
        for key, value in items:
            rows.pop(key, None)
            rows[key] = self._row(key, value)
        parts = (part for row in rows.values() for part in row)
        self._run(_SET_ALL, scripts.SET_ALL, *parts, timeout=self._time_for(len(rows)))
        return True

    @hookimpl
    def unset_all(self, keys: list[Key]) -> int:
        self._check_batch(len(keys))
        names = set(keys)
        lost: list[RedisError] = []
        timeout = self._time_for(len(names))
        removed = self._run(_UNSET_ALL, scripts.UNSET_ALL, *names, lost=lost, timeout=timeout)
        return self._counted(_UNSET_ALL, removed, len(names), lost)

    @hookimpl
    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        row = (*self._row(key, value), _text(fence))
        if match is ABSENT:
            text = None
        else:
            text = self._documents.call(_GET, self._values, ("HGET", self._values, key))
        while True:
            present = self._read(text)
            if (present is MISSING) != (match is ABSENT):
                return Compared(False, present)
            if match is not ABSENT and not matches(match, present):
                return Compared(False, present)
            expected = ("absent",) if text is None else ("there", text)
            word, *told = self._run(_GET_SET, scripts.COMPARE_AND_SET, *row, *expected)
            if word == b"stored":
                return Compared(True, present)
            if word == b"stale":
                self._check_mark(told[0], key, fence)
            text = told[0] if told else None

    @hookimpl
    def pop(self) -> Document:
        return self._take(_POP, "ZPOPMAX")

    @hookimpl
    def shift(self) -> Document:
        return self._take(_SHIFT, "ZPOPMIN")

    @hookimpl
    def destroy(self) -> bool:
        self._run(_DESTROY, scripts.DESTROY)
        return True

    def _read(self, text: bytes | None) -> Document:
        if text is None:
            return MISSING
        with self._damage_told():
            return decode(text.decode())

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise damage(self._channel, self._documents.server.settings) from error

    def _read_all(self, texts: list[bytes]) -> list[Document]:
        documents: list[Document] = self._read(b"[%b]" % b",".join(texts))
        return documents

    def _run(
        self,
        operation: Operation,
        script: Script,
        *arguments: Any,
        lost: list[RedisError] | None = None,
        timeout: float | None = None,
    ) -> Any:
        command: Command = (script, len(self._keys), *self._keys, *arguments)
        return self._documents.call(operation, self._values, command, lost, timeout)

    def _time_for(self, size: int) -> float:
        return self._documents.server.settings.timeout * (1 + size // _TIMED_BATCH)

    def _row(self, key: Key, value: Document) -> tuple[str, str, str]:
        written, text = encode(key.document), encode(value)
        if len(text) > _LARGEST_VALUE // 4 and len(text.encode()) >= _LARGEST_VALUE:
            raise InvalidValue("$", "it takes more than 512 MiB as text")
        return key, text, "" if written == key else written

    def _check_mark(self, mark: bytes | None, key: Key, fence: int | None) -> None:
        if mark is not None and fence is not None:
            raise StaleFence(self._channel, key.document, fence, int(mark))

    def _check_batch(self, size: int) -> None:
        if size > _LARGEST_BATCH:
            raise NotSupported(
                self._channel,
                f"{size} entries in one step",
                f"store them in batches of {_LARGEST_BATCH} at most",
            )

    def _counted(
        self, operation: Operation, removed: int, asked: int, lost: list[RedisError]
    ) -> int:
        if lost and removed < asked:  # the request that got no reply may have removed them
            raise OutcomeUnknown(self._channel, operation.name, operation.advice) from lost[0]
        return removed

    def _take(self, operation: Operation, command: str) -> Document:
        text = self._run(operation, scripts.TAKE, command)
        return self._read(text)

    def _all(self, operation: Operation, what: str) -> list[bytes]:
        position, *texts = self._page(operation, what, _SNAPSHOT, False, None)
        size, count = _SNAPSHOT, len(texts)
        while count == size:
            size = _PAGE
            position, *more = self._page(operation, what, size, False, int(position))
            count = len(more)
            texts += more
        return texts

    def _page(
        self, operation: Operation, what: str, size: int, newest_first: bool, after: int | None
    ) -> list[Any]:
        start = f"({after}" if after is not None else "inf" if newest_first else "-inf"
        command, end = ("ZREVRANGEBYSCORE", "-inf") if newest_first else ("ZRANGEBYSCORE", "inf")
        rows: list[Any] = self._run(operation, scripts.PAGE, command, start, end, size, what)
        return rows


def _text(fence: int | None) -> str:
    return "" if fence is None else str(fence)
