"""The documents of one channel in a JSON file: a TinyDB table, and an index of its keys."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Reversible
from operator import attrgetter
from typing import Any

from tinydb import TinyDB
from tinydb.table import Document as Row

from ojobchannels.backends.file.changes import Change
from ojobchannels.backends.file.storage import JsonFile
from ojobchannels.documents import Document, Key, check_key, check_value, decode, encode
from ojobchannels.errors import InvalidKey, InvalidValue, StaleFence
from ojobchannels.hookspecs import MISSING


class Access:
    """The access of one thread at a time to the table, for ``with``.

    A signal handler may raise just before ``with`` enters or exits, so that neither happens;
    `Table.clean_up` ends the access in that case.
    """

    def __init__(self, table: "Table", writes: bool) -> None:
        self._table = table
        self._writes = writes

    def __enter__(self) -> None:
        self._table.begin(self._writes)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._writes and kind is None:
            self._table.store()
        self._table.clean_up()


class Table:
    """The rows of one channel; use it inside ``with table.reading`` or ``with table.writing``.

    Attributes:
        reading: The block may read the current content.
        writing: The block may read and write; at its end all changes are stored, on an error none.
    """

    def __init__(self, channel: str, file: JsonFile) -> None:
        self.reading = Access(self, writes=False)
        self.writing = Access(self, writes=True)
        self._channel = channel
        self._file = file
        self._entries = TinyDB(storage=lambda: file).table(channel)
        self._numbers: dict[Key, int] = {}
        self._bare: set[Key] = set()  # keys that have only a mark
        self._keys: dict[str, Key] = {}
        self._indexed: tuple[object, ...] | None = None

    def begin(self, writes: bool) -> None:
        """Begin an access."""
        self._file.begin(writes)
        self._index()
        if writes:
            self._indexed = None

    def store(self) -> None:
        """Store the changes; the access continues."""
        self._file.store()
        self._indexed = self._file.seen

    def clean_up(self) -> None:
        """End the access of this thread, if it has one."""
        self._file.clean_up()

    def keys(self) -> list[Key]:
        """Return the keys of all rows, also of rows that have only a mark."""
        return list(self._numbers)

    def row(self, key: Key) -> Row | None:
        """Return the row of a key."""
        number = self._numbers.get(key)
        row = None if number is None else self._entries.get(doc_id=number)
        return row if isinstance(row, Row) else None

    def value(self, key: Key) -> Document:
        """Return the value of a key, not copied, or MISSING."""
        row = self.row(key)
        return row["value"] if row is not None and "value" in row else MISSING

    def rows(self, newest_first: bool = False, after: int | None = None) -> Iterator[Row]:
        """Yield the rows that have a value and come after `after`, in the order of change."""
        numbers: Reversible[int] = self._numbers.values()  # these grow
        if after is not None:
            grown = list(numbers)
            here = bisect_left(grown, after) if newest_first else bisect_right(grown, after)
            numbers = grown[:here] if newest_first else grown[here:]
        for number in reversed(numbers) if newest_first else numbers:
            row = self._entries.get(doc_id=number)
            if isinstance(row, Row) and "value" in row:
                yield row

    def size(self) -> int:
        """Return the number of rows that have a value."""
        return len(self._numbers) - len(self._bare)

    def mark(self, key: Key, fence: int | None) -> int | None:
        """Return the mark that the key has after a write with this fence.

        Raises:
            StaleFence: The key's mark is higher than the fence.
        """
        row = self.row(key)
        mark: int | None = None if row is None else row.get("fence")
        if fence is None:
            return mark
        if mark is not None and fence < mark:
            raise StaleFence(self._channel, key.document, fence, mark)
        return fence

    def put(self, key: Key, value: Document, mark: int | None) -> None:
        """Store one row."""
        self.put_all([(key, value, mark)])

    def put_all(self, entries: Iterable[tuple[Key, Document, int | None]]) -> None:
        """Store one row per key; a row with the value MISSING keeps only the mark."""
        added = list(entries)
        self._drop(key for key, _, _ in added)
        for number, (key, value, mark) in zip(
            self._file.next_numbers(len(added)), added, strict=True
        ):
            own = Key(key)
            own.document = copy(key.document)  # the caller may change theirs
            self._numbers[own] = number
            row: dict[str, Any] = {"key": own.document}
            if value is MISSING:
                self._bare.add(own)
            else:
                row["value"] = copy(value)
            if mark is not None:
                row["fence"] = mark
            self._file.change(self._channel, number, row)

    def remove(self, key: Key, mark: int | None) -> bool:
        """Remove a row except for its mark; return whether it had a value."""
        had_value = self.value(key) is not MISSING
        if mark is None:
            self._drop([key])
        else:
            self.put(key, MISSING, mark)
        return had_value

    def remove_all(self, keys: Iterable[Key]) -> int:
        """Remove rows except for their marks; return how many had a value."""
        rows = {key: row for key in keys if (row := self.row(key)) is not None}
        self._drop(rows)
        marked = [(key, MISSING, row["fence"]) for key, row in rows.items() if "fence" in row]
        if marked:
            self.put_all(marked)
        return sum("value" in row for row in rows.values())

    def _index(self) -> None:
        if self._indexed == self._file.seen:
            return
        changes = self._file.changes_since(self._indexed)
        self._indexed = None
        if changes is None or not self._index_changes(changes):
            self._index_all()
        self._indexed = self._file.seen

    def _index_all(self) -> None:
        known = self._keys
        self._numbers, self._bare, self._keys = {}, set(), {}
        for row in sorted(self._entries.all(), key=attrgetter("doc_id")):
            self._add(row.doc_id, row, known)

    def _index_changes(self, changes: Iterable[Change]) -> bool:
        """Bring the index up to date; return False if the numbers of new entries are not higher."""
        for table, number, old, new in changes:
            if table != self._channel:
                continue
            if old is not None:
                key = self._keys.pop(encode(old["key"]), None) or check_key(old["key"])
                self._numbers.pop(key, None)
                self._bare.discard(key)
            if new is not None:
                if int(number) <= next(reversed(self._numbers.values()), 0):
                    return False
                self._add(int(number), new, self._keys)
        return True

    def _add(self, number: int, entry: Mapping[str, Any], known: Mapping[str, Key]) -> None:
        text = encode(entry["key"])
        key = known.get(text) or self._checked_key(number, entry)
        if key in self._numbers:
            both = f"{self._numbers[key]} and {number} of the table {self._channel!r}"
            raise self._file.damaged(f"the entries {both} have the same key")
        self._numbers[key], self._keys[text] = number, key
        if "value" not in entry:
            self._bare.add(key)

    def _checked_key(self, number: int, entry: Mapping[str, Any]) -> Key:
        try:
            check_value(entry.get("value"))
            return check_key(entry["key"])
        except (InvalidKey, InvalidValue) as error:
            reason = f"entry {number} of the table {self._channel!r}: {error}"
            raise self._file.damaged(reason) from error

    def _drop(self, keys: Iterable[Key]) -> None:
        for key in keys:
            number = self._numbers.pop(key, None)
            if number is not None:
                self._bare.discard(key)
                self._file.change(self._channel, number, None)


def copy(document: Document) -> Document:
    """Return a copy of a document, or MISSING."""
    return document if document is MISSING else decode(encode(document))
