"""The indexes of one channel that a handle uses: who reads by one adds what has changed to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from ojobchannels import remote
from ojobchannels.documents import Document, decode, indexed_text
from ojobchannels.steps import Steps
from ojobchannels_redis.indexing import scripts
from ojobchannels_redis.keys import Keys
from ojobchannels_redis.scripts import Script
from ojobchannels_redis.server import Client

_LONGEST: Final = 1_000
_LAST_POSITION: Final = 10**16 - 1
_LAST_MEMBER: Final = b"\xff"
"""It comes after every text in UTF-8."""

Row = tuple[str, str, int]
"""Key, value and position of an entry."""


class Page(NamedTuple):
    """Entries; `number` is that of the members of the index, `last` the position of the last."""

    rows: list[Row]
    number: int
    last: int


class FieldIndexes:
    """The indexes of one channel.

    Attributes:
        fields: The fields whose texts are looked up by an index.
    """

    def __init__(self, client: Client, keys: Keys) -> None:
        self.fields: tuple[str, ...] = ()
        self._client = client
        self._keys = keys

    def use(self, fields: tuple[str, ...]) -> None:
        """Look up the texts of these fields by an index, too."""
        self.fields = tuple(dict.fromkeys((*fields, *self.fields)))

    def text_in(self, match: Document) -> tuple[str, str] | None:
        """Return the field and the text by which an index finds what matches; None without one."""
        found = indexed_text(match, self.fields)
        return None if found is None or len(found[1]) > _LONGEST else found

    def with_text(
        self, field: str, text: str, size: int, newest_first: bool, after: int | None
    ) -> Steps[Page]:
        """Return entries that have a text in a field, in the order of their changes."""
        first, last = f"[{text}\0", f"({text}\1"
        if after is not None:
            beyond = f"({text}\0{min(max(after, 0), _LAST_POSITION):016}"
            first, last = (first, beyond) if newest_first else (beyond, last)
        part = (first, last, 0, size)
        command = ("ZRANGEBYLEX", *part)
        if newest_first:
            command = ("ZREVRANGEBYLEX", last, first, 0, size)
        return self._find(self._keys.index("text", field), command, _texts(field), 0)

    def with_number(self, field: str, bound: int, skipped: int, size: int) -> Steps[Page]:
        """Return entries that have a number in a field up to about `bound`, the least first."""
        command = ("ZRANGEBYSCORE", "-inf", bound, skipped, size)
        return self._find(self._keys.index("number", field), command, _numbers(field), "+inf")

    def names(self) -> Steps[list[bytes]]:
        """Return the keys of the indexes that exist, and of what is known of them."""
        marks = self._keys.indexes
        names = yield from self._client.calling(remote.DESTROY, marks, ("HKEYS", marks))
        return [*names, marks.encode()] if names else []

    def _find(
        self,
        index: str,
        command: tuple[Any, ...],
        member: Callable[[Document, int], Member | None],
        highest: int | str,
    ) -> Steps[Page]:
        while True:
            kind, known, *parts = yield from self._run(scripts.FIND, index, *command)
            if kind == b"rows":
                last, *rows = parts
                return Page([*_rows(rows)], known, int(last or 0))
            changes = zip(*[iter(parts)] * 2, strict=True)
            members = (member(decode(text.decode()), int(at)) for text, at in changes)
            added = [part for each in members if each is not None for part in each]
            yield from self._run(
                scripts.ADD, index, known, parts[-1], highest, _LAST_MEMBER, *added
            )

    def _run(self, script: Script, index: str, *arguments: Any) -> Steps[Any]:
        values, order, written, _, count = self._keys.documents
        names = (values, order, written, count, self._keys.indexes, index)
        command = (script, len(names), *names, *arguments)
        return self._client.calling(remote.ITEMS, values, command)


Member = tuple[Any, str]
"""Score and member of an entry in an index."""


def _texts(field: str) -> Callable[[Document, int], Member | None]:
    def member(value: Document, position: int) -> Member | None:
        found = indexed_text(value, (field,))
        if found is None or len(found[1]) > _LONGEST:
            return None
        return 0, f"{found[1]}\0{position:016}"

    return member


def _numbers(field: str) -> Callable[[Document, int], Member | None]:
    def member(value: Document, position: int) -> Member | None:
        number = value.get(field) if isinstance(value, dict) else None
        if not isinstance(number, int | float) or isinstance(number, bool):
            return None
        return repr(number), f"{position:016}"

    return member


def _rows(parts: list[bytes]) -> Iterator[Row]:
    for key, text, position in zip(*[iter(parts)] * 3, strict=True):
        yield key.decode(), text.decode(), int(position)
