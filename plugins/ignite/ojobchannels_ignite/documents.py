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
from ojobchannels_ignite.connection import Connection
from ojobchannels_ignite.reader import Reader
from ojobchannels_ignite.requests import FOREVER, Requests
from ojobchannels_ignite.rows import Entries, Row, checked_fence, new_writer

_GET_SET: Final = remote.GET_SET._replace(rule=Rule.REPEATABLE)
_POP: Final = remote.POP._replace(rule=Rule.REPEATABLE)
_SHIFT: Final = remote.SHIFT._replace(rule=Rule.REPEATABLE)
_LARGEST: Final = 16 * 1024 * 1024

_Text = tuple[str, int]
"""A text to store, and after how many milliseconds it is removed."""


class Documents:
    """The part of a handle that serves the documents."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel = connection.channel
        self._entries = Entries(connection.cluster.settings.cache, connection.channel)
        self._reader = Reader(connection, self._entries)

    @hookimpl
    def get(self, key: Key) -> Document:
        row_key = self._entries.row_key(key)
        text = self._connection.call(remote.GET, lambda at, _: at.get(row_key))
        return self._entries.parse(text).value

    @hookimpl
    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        checked_fence(fence)

        def store(at: Requests, row: Row) -> _Text:
            self._check_mark(row, key, fence)
            return self._present(at, key, value, row.mark if fence is None else fence)

        self._change(remote.SET, key, store)
        return True

    @hookimpl
    def unset(self, key: Key, fence: int | None) -> bool:
        checked_fence(fence)

        def remove(_: Requests, row: Row) -> _Text | None:
            self._check_mark(row, key, fence)
            mark = row.mark if fence is None else fence
            if row.value is MISSING and row.mark == mark:
                return None
            return self._entries.gone(mark, new_writer())

        row = self._change(remote.UNSET, key, remove)
        return row is not None and row.value is not MISSING

    @hookimpl
    def get_all(self, match: Document) -> list[Document]:
        values = [row.value for row in self._reader.all(remote.GET_ALL)]
        return values if match is None else [value for value in values if matches(match, value)]

    @hookimpl
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        return self._reader.page(match, limit, newest_first, after)

    @hookimpl
    def get_keys(self) -> list[Document]:
        return [row.key for row in self._reader.all(remote.GET_KEYS)]

    @hookimpl
    def size(self) -> int:
        return self._reader.size()

    @hookimpl
    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        for key, value in items:  # one at most: the type does not claim atomic batches
            self.set(key, value, None)
        return True

    @hookimpl
    def unset_all(self, keys: list[Key]) -> int:
        return sum(self.unset(key, None) for key in keys)

    @hookimpl
    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        checked_fence(fence)
        present: Document = MISSING

        def store(at: Requests, row: Row) -> _Text | None:
            nonlocal present
            present = row.value
            if not fits(match, present):
                return None
            self._check_mark(row, key, fence)
            return self._present(at, key, value, row.mark if fence is None else fence)

        row = self._change(_GET_SET, key, store)
        return Compared(False, present) if row is None else Compared(True, row.value)

    @hookimpl
    def pop(self) -> Document:
        return self._take(_POP, newest_first=True)

    @hookimpl
    def shift(self) -> Document:
        return self._take(_SHIFT, newest_first=False)

    @hookimpl
    def destroy(self) -> bool:
        until = self._reader.last_position(remote.DESTROY)
        if until:
            for key, _ in self._reader.marked(remote.DESTROY, until):
                self._change(remote.DESTROY, key, self._gone_before(until))
            self._reader.remove(remote.DESTROY, until)
        return True

    def _gone_before(self, until: int) -> Callable[[Requests, Row], _Text | None]:
        def remove(_: Requests, row: Row) -> _Text | None:
            if row.value is MISSING or row.position > until:
                return None
            return self._entries.gone(row.mark, new_writer())

        return remove

    def _change(
        self, operation: Operation, key: str, make: Callable[[Requests, Row], _Text | None]
    ) -> Row | None:
        """Replace the row of a key by what `make` returns.

        Args:
            operation: The operation; only `set` and `destroy` may be done twice.
            key: The canonical text of the key.
            make: Returns the text to store in place of a row, or None to leave it.

        Returns:
            The row that was replaced, or None if it was left.
        """
        row_key = self._entries.row_key(key)
        sent: dict[str, Row] = {}

        def change(at: Requests, again: bool) -> Row | None:
            while True:
                row = self._entries.parse(at.get(row_key))
                if row.text in sent:
                    return sent[row.text]
                if again:
                    self._check_doubt(operation, row, sent)
                new = make(at, row)
                if new is None:
                    return None
                sent[new[0]] = row
                if at.swap(row_key, row.text, *new):
                    return row

        return self._connection.call(operation, change)

    def _take(self, operation: Operation, newest_first: bool) -> Document:
        sent: dict[str, Row] = {}
        asked = ""

        def take(at: Requests, again: bool) -> Document:
            nonlocal asked
            while True:
                if asked:
                    text = at.get(asked)
                    if text in sent:
                        return sent[text].value
                    if again:
                        self._check_doubt(operation, self._entries.parse(text), sent)
                found = self._reader.one(at, newest_first)
                if found is None:
                    return MISSING
                asked, row = found
                gone, ttl = self._entries.gone(row.mark, new_writer())
                sent[gone] = row
                if at.swap(asked, row.text, gone, ttl):
                    return row.value

        return self._connection.call(operation, take)

    def _check_doubt(self, operation: Operation, row: Row, sent: dict[str, Row]) -> None:
        """Raise OutcomeUnknown where a row may be one that replaced ours."""
        before = {replaced.text for replaced in sent.values()}
        if operation not in (remote.SET, remote.DESTROY) and sent and row.text not in before:
            raise operation.unknown(self._channel)

    def _present(self, at: Requests, key: Key, value: Document, mark: int | None) -> _Text:
        position = self._reader.next_position(at)
        text = self._entries.present(position, key, value, mark, new_writer())
        size = len(text.encode())
        if size > _LARGEST:
            raise InvalidValue("$", f"with its key it has {size} bytes; the limit is {_LARGEST}")
        return text, FOREVER

    def _check_mark(self, row: Row, key: Key, fence: int | None) -> None:
        if fence is not None and row.mark is not None and fence < row.mark:
            raise StaleFence(self._channel, key.document, fence, row.mark)
