"""How entries and locks are stored: each as a text under a text.

A text begins with a letter for its kind and the channel, so that a sorted index over the texts has
the entries of a channel together, in the order of their last change.
"""

import secrets
from typing import Any, Final, NamedTuple

from ojobchannels.documents import Document, Item, decode, encode
from ojobchannels.hookspecs import MISSING
from ojobchannels_ignite.protocol.wire import FOREVER

_POSITION: Final = 20
_HIGHEST: Final = 10**_POSITION - 1
_GONE_TTL: Final = 60_000
"""Milliseconds for which a removal is remembered, so that a repeated request finds it."""


class Row(NamedTuple):
    """A stored row of one key.

    Attributes:
        text: The text as it is stored; None if there is none.
        position: The position in the order of change; 0 for a key without a value.
        key: The key as written.
        value: The value, or MISSING.
        mark: The highest fence of a write.
        writer: An identifier of the request that wrote it.
    """

    text: str | None
    position: int = 0
    key: Document = None
    value: Document = MISSING
    mark: int | None = None
    writer: str = ""


class Entries:
    """The rows of the entries of one channel.

    Attributes:
        counter: The name of the counter that gives the positions.
        key_start: Where in the key of a row the canonical text of the key begins.
    """

    def __init__(self, cache: str, channel: str) -> None:
        name = encode(channel)  # whose end is clear
        self.counter = f"ojobchannels.{cache}.{name}"
        self._row = f"e{name}"
        self._present = f"E{name}"
        self._gone = f"G{name}"
        self._start = len(self._present)
        self.key_start = len(self._row)

    def row_key(self, key: str) -> str:
        """Return the key of a row."""
        return self._row + key

    def at(self, position: int) -> str:
        """Return a text that is before all entries with that position, and after earlier ones."""
        return f"{self._present}{min(max(position, 0), _HIGHEST):0{_POSITION}}"

    @property
    def first(self) -> str:
        """A text before all entries."""
        return self.at(0)

    @property
    def last(self) -> str:
        """A text after all entries."""
        return f"{self._present}~"

    def parse(self, text: str | None) -> Row:
        """Return what a text says."""
        if text is None:
            return Row(None)
        if text[0] == "G":
            gone = decode(text[self._start :])
            return Row(text, mark=gone["f"], writer=gone["w"])
        stored = decode(text[self._start + _POSITION + 1 :])
        position = self.position(text)
        return Row(text, position, stored["k"], stored["v"], stored["f"], stored["w"])

    def item(self, text: str) -> Item:
        """Return the entry in the text of a key with a value."""
        row = self.parse(text)
        return Item(row.key, row.value, row.position)

    def position(self, text: str) -> int:
        """Return the position in the text of a key with a value."""
        return int(text[self._start : self._start + _POSITION])

    def present(self, position: int, row: Row) -> str:
        """Return the text of a row with a value; whether it has a mark can be seen outside."""
        body = {"k": row.key, "v": row.value, "f": row.mark, "w": new_writer()}
        marked = "-" if row.mark is None else "m"
        return f"{self._present}{position:0{_POSITION}}{marked}{encode(body)}"

    def gone(self, mark: int | None) -> tuple[str, int]:
        """Return the text of a key without a value, and its ttl."""
        text = f"{self._gone}{encode({'f': mark, 'w': new_writer()})}"
        return text, _GONE_TTL if mark is None else FOREVER

    @property
    def mark_offset(self) -> int:
        """Where in the text of a key with a value its sign of a mark is, counted from 1."""
        return self._start + _POSITION + 1


def new_writer() -> str:
    """Return an identifier for a request."""
    return secrets.token_hex(8)


class LockState(NamedTuple):
    """The state of a lock, in one text. Times are milliseconds since 1970.

    Attributes:
        name: The lock.
        fence: The fence of the newest lease; it outlives the lease.
        token: The holder's token; empty for a free lock.
        ttl: The full length of the lease; 0 for a free lock.
        since: When the lease was granted.
        until: When the lease expires.
        holder: The holder info; for a free lock, the info of a holder that was evicted, or None.
        previous: The info of the holder before, if it never unlocked.
        writer: An identifier of the request that wrote it, so that no two texts are equal.
    """

    name: str
    fence: int
    token: str = ""
    ttl: int = 0
    since: int = 0
    until: int = 0
    holder: dict[str, Any] | None = None
    previous: dict[str, Any] | None = None
    writer: str = ""

    def is_live(self, now: int) -> bool:
        """Return whether the lock is held."""
        return now < self.until


class LockRows:
    """The rows of the locks of one channel."""

    def __init__(self, channel: str) -> None:
        name = encode(channel)
        self._row = f"l{name}"
        self._held = f"L{name}"
        self._free = f"F{name}"

    def row_key(self, name: str) -> str:
        """Return the key of a lock."""
        return self._row + name

    @property
    def first(self) -> str:
        """A text before all held locks."""
        return self._held

    @property
    def last(self) -> str:
        """A text after all held locks."""
        return f"{self._held}~"

    def text(self, state: LockState) -> str:
        """Return the text of a state, with a writer of its own."""
        kind = self._held if state.ttl else self._free
        return kind + encode(state._replace(writer=new_writer())._asdict())

    def parse(self, text: str) -> LockState:
        """Return the state in a text."""
        return LockState(**decode(text[len(self._held) :]))
