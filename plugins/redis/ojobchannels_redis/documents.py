"""The operations on documents."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from ojobchannels import remote
from ojobchannels.documents import (
    Document,
    Item,
    Key,
    decode,
    encode,
    is_below,
    page_of,
    values_of,
)
from ojobchannels.errors import ChannelUnavailable, InvalidValue, NotSupported, StaleFence
from ojobchannels.hookspecs import ABSENT, MISSING, Compared, fits, hookimpl
from ojobchannels.remote import Operation, sole
from ojobchannels.steps import Steps, performed
from ojobchannels_redis import scripts
from ojobchannels_redis.connections import Command
from ojobchannels_redis.errors import damage, is_refused
from ojobchannels_redis.indexing.fields import FieldIndexes
from ojobchannels_redis.keys import Keys
from ojobchannels_redis.scripts import Script
from ojobchannels_redis.server import Client

_SNAPSHOT: Final = 10_000
_PAGE: Final = 2_000
_LARGEST_BATCH: Final = 300_000
_TIMED_BATCH: Final = 10_000  # entries for which one timeout is enough
_LARGEST_VALUE: Final = 512 * 1024 * 1024


class Documents:
    """The part of a handle that serves the documents."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self.perform = client.perform
        self._values = keys.values
        self._keys = keys.documents
        self._channel = client.channel
        self._indexes = FieldIndexes(client, keys)

    @hookimpl
    @performed
    def get(self, key: Key) -> Steps[Document]:
        text = yield from self._client.calling(
            remote.GET, self._values, ("HGET", self._values, key)
        )
        return self._read(text)

    @hookimpl
    @performed
    def set(self, key: Key, value: Document, fence: int | None) -> Steps[bool]:
        mark = yield from self._run(remote.SET, scripts.SET, *self._row(key, value), _text(fence))
        self._check_mark(mark, key, fence)
        return True

    @hookimpl
    @performed
    def unset(self, key: Key, fence: int | None) -> Steps[bool]:
        lost: list[Exception] = []
        reply = yield from self._run(remote.UNSET, scripts.UNSET, key, _text(fence), lost=lost)
        if isinstance(reply, bytes):
            self._check_mark(reply, key, fence)
        return bool(self._counted(remote.UNSET, reply, 1, lost))

    @hookimpl
    @performed
    def get_all(self, match: Document) -> Steps[list[Document]]:
        texts = yield from self._all(remote.GET_ALL, "values")
        if match is None:
            return self._read_all(texts)
        with self._reporting_damage():
            return values_of(map(bytes.decode, texts), match)

    @hookimpl
    @performed
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> Steps[list[Item]]:
        page: list[Item] = []
        indexed = self._indexes.text_in(match)
        if indexed is not None:
            try:
                return (yield from self._items_with(*indexed, match, limit, newest_first, after))
            except ChannelUnavailable as error:
                if not is_refused(error):
                    raise
        size = limit if match is None else max(limit, _PAGE)
        while True:
            _, *parts = yield from self._page(remote.ITEMS, "both", size, newest_first, after)
            with self._reporting_damage():
                rows = [
                    (key.decode(), text.decode(), int(position))
                    for key, text, position in zip(*[iter(parts)] * 3, strict=True)
                ]
                page += page_of(rows, match, limit - len(page))
            if len(page) == limit or len(rows) < size:
                return page
            after = rows[-1][2]

    @hookimpl
    def index(self, fields: tuple[str, ...]) -> bool:
        self._indexes.use(fields)
        return True

    @hookimpl
    @performed
    def below(self, field: str, bound: int, limit: int) -> Steps[list[Item] | None]:
        try:
            return (yield from self._items_below(field, bound, limit))
        except ChannelUnavailable as error:
            if not is_refused(error):
                raise
            return None

    @hookimpl
    @performed
    def get_keys(self) -> Steps[list[Document]]:
        return self._read_all((yield from self._all(remote.GET_KEYS, "keys")))

    @hookimpl
    @performed
    def size(self) -> Steps[int]:
        size = yield from self._client.calling(remote.SIZE, self._values, ("HLEN", self._values))
        return int(size)

    @hookimpl
    @performed
    def size_until(self, position: int) -> Steps[int]:
        command = ("ZCOUNT", self._keys[1], "-inf", position)
        size = yield from self._client.calling(remote.SIZE, self._values, command)
        return int(size)

    @hookimpl
    @performed
    def set_all(self, items: list[tuple[Key, Document]]) -> Steps[bool]:
        self._check_batch(len(items))
        rows: dict[Key, tuple[str, str, str]] = {}
        for key, value in items:
            rows.pop(key, None)
            rows[key] = self._row(key, value)
        parts = (part for row in rows.values() for part in row)
        yield from self._run(
            remote.SET_ALL, scripts.SET_ALL, *parts, timeout=self._time_for(len(rows))
        )
        return True

    @hookimpl
    @performed
    def unset_all(self, keys: list[Key]) -> Steps[int]:
        self._check_batch(len(keys))
        names = set(keys)
        lost: list[Exception] = []
        timeout = self._time_for(len(names))
        removed = yield from self._run(
            remote.UNSET_ALL, scripts.UNSET_ALL, *names, lost=lost, timeout=timeout
        )
        return self._counted(remote.UNSET_ALL, removed, len(names), lost)

    @hookimpl
    @performed
    def get_set(
        self, match: Document, key: Key, value: Document, fence: int | None
    ) -> Steps[Compared]:
        row = (*self._row(key, value), _text(fence))
        if match is ABSENT:
            text = None
        else:
            text = yield from self._client.calling(
                remote.GET, self._values, ("HGET", self._values, key)
            )
        while True:
            present = self._read(text)
            if not fits(match, present):
                return Compared(False, present)
            expected = ("absent",) if text is None else ("there", text)
            status, *details = yield from self._run(
                remote.GET_SET, scripts.COMPARE_AND_SET, *row, *expected
            )
            if status == b"stored":
                return Compared(True, present)
            if status == b"stale":
                self._check_mark(details[0], key, fence)
            text = details[0] if details else None

    @hookimpl
    @performed
    def pop(self) -> Steps[Document]:
        return self._take(remote.POP, "ZPOPMAX")

    @hookimpl
    @performed
    def shift(self) -> Steps[Document]:
        return self._take(remote.SHIFT, "ZPOPMIN")

    @hookimpl
    @performed
    def destroy(self) -> Steps[bool]:
        indexes = yield from self._indexes.names()
        names = (*self._keys, *indexes)
        command = (scripts.DESTROY, len(names), *names)
        yield from self._client.calling(remote.DESTROY, self._values, command)
        return True

    def _items_below(self, field: str, bound: int, limit: int) -> Steps[list[Item]]:
        found: list[Item] = []
        skipped = 0
        while True:
            with self._reporting_damage():
                page = yield from self._indexes.with_number(field, bound, skipped, limit)
                items = page_of(page.rows, None, limit)
            found += [item for item in items if is_below(item[1], field, bound)]
            if len(found) >= limit or page.number < limit:
                return found[:limit]
            skipped += len(page.rows)

    def _items_with(
        self,
        field: str,
        text: str,
        match: Document,
        limit: int,
        newest_first: bool,
        after: int | None,
    ) -> Steps[list[Item]]:
        """Return a page of the items that match, found by an index."""
        page: list[Item] = []
        size = limit
        while True:
            with self._reporting_damage():
                rows, number, last = yield from self._indexes.with_text(
                    field, text, size, newest_first, after
                )
                page += page_of(rows, match, limit - len(page))
            if len(page) >= limit or number < size:
                return page
            after, size = last, max(size, _PAGE)

    def _read(self, text: bytes | None) -> Document:
        if text is None:
            return MISSING
        with self._reporting_damage():
            return decode(text.decode())

    @contextmanager
    def _reporting_damage(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise damage(self._channel, self._client.server.settings) from error

    def _read_all(self, texts: list[bytes]) -> list[Document]:
        documents: list[Document] = self._read(b"[%b]" % b",".join(texts))
        return documents

    def _run(
        self,
        operation: Operation,
        script: Script,
        *arguments: Any,
        lost: list[Exception] | None = None,
        timeout: float | None = None,
    ) -> Steps[Any]:
        command: Command = (script, len(self._keys), *self._keys, *arguments)
        return self._client.calling(operation, self._values, command, lost, timeout)

    def _time_for(self, size: int) -> float:
        return self._client.server.settings.timeout * (1 + size // _TIMED_BATCH)

    def _row(self, key: Key, value: Document) -> tuple[str, str, str]:
        written, text = key.written(), encode(value)
        if len(text) > _LARGEST_VALUE // 4 and len(text.encode()) >= _LARGEST_VALUE:
            raise InvalidValue("$", "as JSON text it is larger than 512 MiB")
        return key, text, "" if written == key else written

    def _check_mark(self, mark: bytes | None, key: Key, fence: int | None) -> None:
        if mark is not None and fence is not None:
            raise StaleFence(self._channel, key.document, fence, int(mark))

    def _check_batch(self, size: int) -> None:
        if size > _LARGEST_BATCH:
            reason = f"{size} entries in one step"
            advice = f"store them in batches of at most {_LARGEST_BATCH}"
            raise NotSupported(self._channel, reason, advice)

    def _counted(
        self, operation: Operation, removed: int, requested: int, lost: list[Exception]
    ) -> int:
        if lost and removed < requested:  # the request whose reply was lost may have removed them
            raise operation.unknown(self._channel) from sole(lost[0])
        return removed

    def _take(self, operation: Operation, command: str) -> Steps[Document]:
        text = yield from self._run(operation, scripts.TAKE, command)
        return self._read(text)

    def _all(self, operation: Operation, parts: str) -> Steps[list[bytes]]:
        position, *texts = yield from self._page(operation, parts, _SNAPSHOT, False, None)
        size, count = _SNAPSHOT, len(texts)
        while count == size:
            size = _PAGE
            position, *more = yield from self._page(operation, parts, size, False, int(position))
            count = len(more)
            texts += more
        return texts

    def _page(
        self, operation: Operation, parts: str, size: int, newest_first: bool, after: int | None
    ) -> Steps[list[Any]]:
        start = f"({after}" if after is not None else "inf" if newest_first else "-inf"
        command, end = ("ZREVRANGEBYSCORE", "-inf") if newest_first else ("ZRANGEBYSCORE", "inf")
        return self._run(operation, scripts.PAGE, command, start, end, size, parts)


def _text(fence: int | None) -> str:
    return "" if fence is None else str(fence)
