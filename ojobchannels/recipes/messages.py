"""The entries of a queue: what is read of them, when they are due, and in which order."""

from dataclasses import dataclass
from typing import Any, Final

from ojobchannels.channels.arguments import is_integer
from ojobchannels.documents import Document, Item, encode

WAITING: Final = "waiting"
FAILED: Final = "failed"
MALFORMED: Final = "malformed"

DEFAULT_PRIORITY: Final = 1
_DEFAULTS: Final = {"priority": DEFAULT_PRIORITY}
"""Fields that an entry of another producer may lack."""

_MAX_ID_BYTES: Final = 1024
_MAX_SKEW_MS: Final = 60_000
"""A clock that is ahead by no more than this makes a message late by no more than this."""
_MAX_TIME_MS: Final = 1e15
"""About 30,000 years; no clock and no delay leads further."""


@dataclass(frozen=True)
class Entry:
    """A readable entry; times are milliseconds since 1970.

    Attributes:
        id: The identifier of the message.
        document: The entry as it is stored.
        added: When it was added.
        due: From when on it may be delivered.
        stored: Whether the stored times are right: no clock was far ahead when they were written.
    """

    id: str
    document: dict[str, Any]
    added: float
    due: float
    expires: float | None
    stored: bool

    @property
    def attempts(self) -> int:
        """The number of attempts that have begun."""
        return int(self.document["attempts"])

    @property
    def priority(self) -> float:
        """The priority: the lowest is delivered first."""
        return float(self.document.get("priority", DEFAULT_PRIORITY))

    @property
    def claim(self) -> tuple[str, int] | None:
        """The lock of the worker that has taken it last, and its fence."""
        claim = self.document.get("claim")
        match claim:
            case {"lock": str(lock), "fence": int(fence)}:
                return lock, fence
        return None

    def corrected(self, now: int) -> dict[str, Any]:
        """Return the document with times as if it had been written now."""
        times = {"added": self.added, "notBefore": self.due, "changed": now}
        expires = {} if self.expires is None else {"expires": self.expires}
        return self.document | {name: round(at) for name, at in (times | expires).items()}


def read(item: Item, now: int) -> Entry | str:
    """Return an entry, or why it cannot be read.

    A clock that was ahead of ours when the entry was written does not delay it: its times are
    shifted, so that it was written now.
    """
    key, document = item
    if not isinstance(document, dict):
        return "it is not a map"
    for name, is_valid in _FIELDS.items():
        if name not in document and name not in _DEFAULTS:
            return f"it has no `{name}`"
        if not is_valid(document.get(name, _DEFAULTS.get(name))):
            return f"its `{name}` is not valid"
    if document["id"] != name_of(key):
        return "its `id` is not that of its key"
    for name in ("expires", "changed"):
        if document.get(name) is not None and not _is_time(document[name]):
            return f"its `{name}` is not valid"
    added, expires = document["added"], document.get("expires")
    ahead = max(document.get("changed") or added, added) - now
    shift = max(ahead, 0)
    return Entry(
        document["id"],
        document,
        min(added, now),
        document["notBefore"] - shift,
        None if expires is None else expires - shift,
        ahead <= _MAX_SKEW_MS,
    )


def name_of(key: Document) -> str:
    """Return the id in the key of an entry, or any other key as JSON."""
    if isinstance(key, dict) and key.keys() == {"id"} and isinstance(key["id"], str):
        return key["id"]
    return encode(key)


def malformed(key: Document, reason: str) -> dict[str, Any]:
    """Describe a malformed entry like a message."""
    return {
        "id": name_of(key),
        "job": "",
        "data": None,
        "attempts": 0,
        "status": MALFORMED,
        "error": f"the entry is malformed: {reason}",
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time(value: Any) -> bool:
    return _is_number(value) and abs(value) <= _MAX_TIME_MS


def _is_count(value: Any) -> bool:
    return is_integer(value) and value >= 0


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value.encode()) <= _MAX_ID_BYTES


_FIELDS: Final = {
    "id": _is_id,
    "job": lambda value: isinstance(value, str),
    "status": lambda value: value in (WAITING, FAILED),
    "attempts": _is_count,
    "priority": _is_number,
    "added": _is_time,
    "notBefore": _is_time,
}
"""What an entry must have, and tests of the values."""
