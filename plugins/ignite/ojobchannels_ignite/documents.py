"""The operations on documents.

Each write reads the row of its key, and replaces exactly this row in one atomic step. The texts of
two writes are never equal, so that a row shows whether a request whose reply was lost was done.
"""

from collections.abc import Callable
from typing import Final

from ojobchannels import remote
from ojobchannels.documents import Document, Item, Key, matches
from ojobchannels.errors import InvalidValue, StaleFence
from ojobchannels.hookspecs import MISSING, Compared, fits, hookimpl
from ojobchannels.remote import Operation, Rule
from ojobchannels.steps import Steps, performed
from ojobchannels_ignite.connection import Connection
from ojobchannels_ignite.protocol.requests import Requests
from ojobchannels_ignite.protocol.wire import FOREVER
from ojobchannels_ignite.reader import Reader
from ojobchannels_ignite.rows import Entries, Row

_GET_SET: Final = remote.GET_SET._replace(rule=Rule.REPEATABLE)
_POP: Final = remote.POP._replace(rule=Rule.REPEATABLE)
_SHIFT: Final = remote.SHIFT._replace(rule=Rule.REPEATABLE)
_LARGEST: Final = 16 * 1024 * 1024


_Change = Callable[[Row], Row | None]
"""Returns what to store in place of a row, or None to leave it."""


class Documents:
    """The part of a handle that serves the documents."""

    def __init__(self, connection: Connection) -> None:
        self.perform = connection.perform
        self._connection = connection
        self._channel = connection.channel
        self._entries = Entries(connection.cluster.settings.cache, connection.channel)
        self._reader = Reader(connection, self._entries)

    @hookimpl
    @performed
    def get(self, key: Key) -> Steps[Document]:
        row_key = self._entries.row_key(key)
        text = yield from self._connection.calling(remote.GET, lambda at, _: at.get(row_key))
        return self._entries.parse(text).value

    @hookimpl
    @performed
    def set(self, key: Key, value: Document, fence: int | None) -> Steps[bool]:
        return self._setting(key, value, fence)

    @hookimpl
    @performed
    def unset(self, key: Key, fence: int | None) -> Steps[bool]:
        return self._unsetting(key, fence)

    @hookimpl
    @performed
    def get_all(self, match: Document) -> Steps[list[Document]]:
        values = [row.value for row in (yield from self._reader.all(remote.GET_ALL))]
        return values if match is None else [value for value in values if matches(match, value)]

    @hookimpl
    @performed
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> Steps[list[Item]]:
        return self._reader.page(match, limit, newest_first, after)

    @hookimpl
    @performed
    def get_keys(self) -> Steps[list[Document]]:
        return [row.key for row in (yield from self._reader.all(remote.GET_KEYS))]

    @hookimpl
    @performed
    def size(self) -> Steps[int]:
        return self._reader.size()

    @hookimpl
    @performed
    def set_all(self, items: list[tuple[Key, Document]]) -> Steps[bool]:
        for key, value in items:  # one at most: the type does not claim atomic batches
            yield from self._setting(key, value, None)
        return True

    @hookimpl
    @performed
    def unset_all(self, keys: list[Key]) -> Steps[int]:
        removed = 0
        for key in keys:
            removed += yield from self._unsetting(key, None)
        return removed

    @hookimpl
    @performed
    def get_set(
        self, match: Document, key: Key, value: Document, fence: int | None
    ) -> Steps[Compared]:
        present: Document = MISSING

        def store(row: Row) -> Row | None:
            nonlocal present
            present = row.value
            return self._with(row, key, value, fence) if fits(match, present) else None

        row = yield from self._changing(_GET_SET, key, store)
        return Compared(False, present) if row is None else Compared(True, row.value)

    @hookimpl
    @performed
    def pop(self) -> Steps[Document]:
        return self._taking(_POP, newest_first=True)

    @hookimpl
    @performed
    def shift(self) -> Steps[Document]:
        return self._taking(_SHIFT, newest_first=False)

    @hookimpl
    @performed
    def destroy(self) -> Steps[bool]:
        until = yield from self._reader.last_position(remote.DESTROY)

        def remove(row: Row) -> Row | None:
            return row._replace(value=MISSING) if 0 < row.position <= until else None

        if until:
            for row_key in (yield from self._reader.marked(remote.DESTROY, until)):
                yield from self._changing(remote.DESTROY, row_key, remove)
            yield from self._reader.remove(remote.DESTROY, until)
        return True

    def _setting(self, key: Key, value: Document, fence: int | None) -> Steps[bool]:
        yield from self._changing(remote.SET, key, lambda row: self._with(row, key, value, fence))
        return True

    def _unsetting(self, key: Key, fence: int | None) -> Steps[bool]:
        def remove(row: Row) -> Row | None:
            new = self._with(row, key, MISSING, fence)
            return None if (new.value, new.mark) == (row.value, row.mark) else new

        row = yield from self._changing(remote.UNSET, key, remove)
        return row is not None and row.value is not MISSING

    def _changing(self, operation: Operation, key: str, change: _Change) -> Steps[Row | None]:
        """Replace the row of a key by what `change` returns.

        Args:
            operation: The operation; only `set` and `destroy` may be done twice.
            key: The canonical text of the key.
            change: Returns what to store.

        Returns:
            The row that was replaced, or None if it was left.
        """
        row_key = self._entries.row_key(key)
        sent: dict[str, Row] = {}

        def attempt(at: Requests, again: bool) -> Steps[Row | None]:
            while True:
                row = self._entries.parse((yield from at.get(row_key)))
                if row.text in sent:
                    return sent[row.text]
                if again:
                    self._check_doubt(operation, row, sent)
                new = change(row)
                if new is None:
                    return None
                text, ttl = yield from self._text(at, new)
                sent[text] = row
                if (yield from at.swap(row_key, row.text, text, ttl)):
                    return row

        return self._connection.calling(operation, attempt)

    def _taking(self, operation: Operation, newest_first: bool) -> Steps[Document]:
        sent: dict[str, Row] = {}
        asked = ""

        def take(at: Requests, again: bool) -> Steps[Document]:
            nonlocal asked
            while True:
                if asked:
                    text = yield from at.get(asked)
                    if text in sent:
                        return sent[text].value
                    if again:
                        self._check_doubt(operation, self._entries.parse(text), sent)
                found = yield from self._reader.one(at, newest_first)
                if found is None:
                    return MISSING
                asked, row = found
                gone, ttl = self._entries.gone(row.mark)
                sent[gone] = row
                if (yield from at.swap(asked, row.text, gone, ttl)):
                    return row.value

        return self._connection.calling(operation, take)

    def _check_doubt(self, operation: Operation, row: Row, sent: dict[str, Row]) -> None:
        """Raise OutcomeUnknown where a row may be one that replaced ours."""
        before = {replaced.text for replaced in sent.values()}
        if operation not in (remote.SET, remote.DESTROY) and sent and row.text not in before:
            raise operation.unknown(self._channel)

    def _text(self, at: Requests, row: Row) -> Steps[tuple[str, int]]:
        """Return the text to store, and after how many milliseconds it is removed."""
        if row.value is MISSING:
            return self._entries.gone(row.mark)
        text = self._entries.present((yield from self._reader.next_position(at)), row)
        size = len(text.encode())
        if size > _LARGEST:
            raise InvalidValue("$", f"with its key it has {size} bytes; the limit is {_LARGEST}")
        return text, FOREVER

    def _with(self, row: Row, key: Key, value: Document, fence: int | None) -> Row:
        """Return a row with another value.

        Raises:
            StaleFence: It was written with a higher fence.
        """
        if fence is not None and row.mark is not None and fence < row.mark:
            raise StaleFence(self._channel, key.document, fence, row.mark)
        mark = row.mark if fence is None else fence
        return row._replace(key=key.document, value=value, mark=mark)
