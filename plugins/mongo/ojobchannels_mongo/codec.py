"""Encode entries as rows of the collection, and decode them."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import bson
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from ojobchannels.documents import Document, Item, Key, decode, decode_all, encode
from ojobchannels.errors import InvalidValue
from ojobchannels.hookspecs import MISSING

_LARGEST: Final = 16 * 1024 * 1024
_REST: Final = 64  # upper bound of the bytes that the server adds to a row
_REFERENCE: Final = b"$ref\x00"
_LAST_POSITION: Final = 2**64 - 1
_BEYOND_ALL_KEYS: Final = "\U0010ffff"

_ORDER: Final = {"o": {"$type": "timestamp"}}
_OF_REMOVAL: Final = {"gone": 1, "by": 1, "was": 1}
_OF_TEXT: Final = {"j": 1, **_OF_REMOVAL}
_OF_VALUE: Final = {"v": 1, **_OF_REMOVAL}

VALUE: Final = {"_id": 0, "v": 1, "j": 1}


def row_id(channel: str, key: str) -> str:
    """Return the `_id`: the channel as JSON text, whose end is clear, and the key or lock name."""
    return _prefix(channel) + key


@lru_cache
def _prefix(channel: str) -> str:
    return encode(channel)


def ids_of(channel: str) -> dict[str, str]:
    """Return the condition on the `_id` that selects the rows of a channel."""
    first = row_id(channel, "")
    return {"$gt": first, "$lt": first + _BEYOND_ALL_KEYS}


def stored(channel: str, key: Key, value: Document, fence: int | None) -> dict[str, Any]:
    """Return the update that stores an entry and makes it the last in the order.

    The value is stored as it is, so that other programs can query it. A value with a field ``$ref``
    is stored as JSON text: the driver decodes such maps as references.

    Raises:
        InvalidValue: The row would be larger than the server accepts.
    """
    row = {"c": channel, "k": key.written(), "v": value}
    if fence is not None:
        row["f"] = fence
    packed, obsolete = bson.encode(row), _OF_TEXT
    if _REFERENCE in packed:
        row["j"] = encode(row.pop("v"))
        packed, obsolete = bson.encode(row), _OF_VALUE
    size = len(packed) + len(row_id(channel, key).encode()) + _REST
    if size > _LARGEST:
        raise InvalidValue("$", f"with its key it has {size} bytes; MongoDB accepts {_LARGEST}")
    return {"$set": RawBSONDocument(packed), "$unset": obsolete, "$currentDate": _ORDER}


def value_of(row: Mapping[str, Any] | None) -> Document:
    """Return the value in a row, or MISSING."""
    if row is None:
        return MISSING
    if "j" in row:
        return decode(row["j"])
    return row.get("v", MISSING)


def plain(value: Document) -> Document:
    """Return the value with the driver's long integers converted to int."""
    if isinstance(value, dict):
        return {field: plain(part) for field, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return int(value) if isinstance(value, Int64) else value


def items_of(rows: Sequence[Mapping[str, Any]]) -> list[Item]:
    """Return the entries in rows."""
    keys = decode_all(row["k"] for row in rows)
    positions = (position_of(row["o"]) for row in rows)
    return list(map(Item, keys, map(value_of, rows), positions))


def position_of(order: Timestamp) -> int:
    """Return the position in the order as an integer."""
    return int(order.time << 32 | order.inc)


def timestamp_of(position: int) -> Timestamp:
    """Return the position in the order as the server stores it."""
    within = min(max(position, 0), _LAST_POSITION)
    return Timestamp(within >> 32, within & 0xFFFFFFFF)


FIRST: Final = timestamp_of(0)
