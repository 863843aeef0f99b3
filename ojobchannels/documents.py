"""Keys, values and matches: the documents that may be stored, and when two are equal."""

import json
import json.encoder
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from json.encoder import encode_basestring as _quote
from math import isfinite
from typing import Any, Final, TypeAlias

from ojobchannels.errors import InvalidKey, InvalidName, InvalidValue

Document: TypeAlias = Any
"""A JSON document: None, bool, int, float, str, or a list or dict of them."""

MAX_DEPTH: Final = 100
MAX_NAME_BYTES: Final = 4096
_MIN_INTEGER: Final = -(2**63)
_MAX_INTEGER: Final = 2**63 - 1


def _encoder(sort_keys: bool) -> Callable[[Document], str]:
    standard = json.JSONEncoder(
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
        check_circular=False,
        sort_keys=sort_keys,
    )
    # JSONEncoder.encode creates this object in each call, which doubles the time of encoding.
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return standard.encode
    write = make(None, standard.default, _quote, None, ":", ",", sort_keys, False, False)
    return lambda document: "".join(write(document, 0))


_encode_sorted: Final = _encoder(sort_keys=True)
encode: Final = _encoder(sort_keys=False)
"""Return a checked document as compact JSON text."""

_decoder: Final[Any] = json.JSONDecoder()
_scan: Final[Callable[[str, int], tuple[Document, int]]] = _decoder.scan_once


def decode(text: str) -> Document:
    """Return the document of a JSON text."""
    # JSONDecoder.decode first skips white space, which takes half as long as the decoding itself.
    try:
        document, end = _scan(text, 0)
    except StopIteration:
        end = -1
    return document if end == len(text) else _decoder.decode(text)


def decode_all(texts: Iterable[str]) -> list[Document]:
    """Return the documents of several JSON texts; one call takes half the time of many."""
    texts = list(texts)
    with suppress(ValueError):
        documents: list[Document] = json.loads(f"[{','.join(texts)}]")
        if len(documents) == len(texts):  # otherwise a text is not exactly one document
            return documents
    return [decode(text) for text in texts]


class Key(str):
    """The canonical text of a key, by which keys are compared; `document` is the key as written."""

    __slots__ = ("document",)
    document: Document

    def written(self) -> str:
        """Return the key as written, as compact JSON text."""
        return encode(self.document)


class _WrittenKey(Key):
    """A key whose canonical text is the one as written."""

    __slots__ = ()

    def written(self) -> str:
        return str(self)


class Item(tuple[Document, Document]):
    """A pair of key and value, with its position in the order of change.

    Example:
        >>> item = Item("a", 1, position=7)
        >>> key, value = item
        >>> item.position
        7
    """

    position: int

    def __new__(cls, key: Document, value: Document, position: int) -> "Item":
        """Create a pair with its position."""
        item = super().__new__(cls, (key, value))
        item.position = position
        return item


def page_of(rows: Iterable[tuple[str, str, int]], match: Document, limit: int) -> list[Item]:
    """Return the first `limit` items whose value matches, from rows of key, value and position."""
    if match is None:
        page = list(islice(rows, limit))
        keys, values = decode_all(row[0] for row in page), decode_all(row[1] for row in page)
        return list(map(Item, keys, values, (row[2] for row in page)))
    parts = parts_of_text(match)
    matching = (
        Item(decode(key), value, position)
        for key, text, position in rows
        if all(part in text for part in parts) and matches(match, value := decode(text))
    )
    return list(islice(matching, limit))


def values_of(texts: Iterable[str], match: Document) -> list[Document]:
    """Return the values of JSON texts that match, in the same order."""
    if match is None:
        return decode_all(texts)
    parts = parts_of_text(match)
    values = decode_all(text for text in texts if all(part in text for part in parts))
    return [value for value in values if matches(match, value)]


def parts_of_text(match: Document) -> list[str]:
    """Return strings that the text of every matching value contains, as `encode` writes it.

    Searching for them takes a tenth of the time of decoding the text. Numbers are left out, since
    equal numbers may have different texts.

    Example:
        >>> parts_of_text({"state": {"code": 1, "text": "new"}})
        ['"text":"new"']
    """
    parts = []
    for field, part in match.items() if isinstance(match, dict) else ():
        if isinstance(part, dict):
            parts += parts_of_text(part)
        elif isinstance(part, str | bool):
            parts.append(f"{_quote(field)}:{encode(part)}")
    return parts


def indexed_text(match: Document, fields: Iterable[str]) -> tuple[str, str] | None:
    """Return the first of these fields with a text in a match, without NUL, and the text."""
    for field in fields if isinstance(match, dict) else ():
        text = match.get(field)
        if isinstance(text, str) and "\0" not in text:
            return field, text
    return None


def is_below(value: Document, field: str, bound: int) -> bool:
    """Return whether a value is a map with a number below `bound` in this field."""
    number = value.get(field) if isinstance(value, dict) else None
    return isinstance(number, int | float) and type(number) is not bool and number < bound


class _NotJson(Exception):
    """Why a document is refused; `path` grows from the inside out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""


def check_key(document: Document) -> Key:
    """Check a key and return its canonical form.

    Maps are compared without regard to order, ``1`` equals ``1.0`` and ``-0.0`` equals ``0``, while
    ``1``, ``"1"`` and ``True`` are three keys.

    Raises:
        InvalidKey: The document is not a valid key; the message gives the path.
    """
    key = _usual_key(document) or _checked_key(document)
    key.document = document
    return key


def _usual_key(document: Document) -> Key | None:
    """Return the key of a text or a flat map in canonical order, in a third of the time of others.

    Such a key need not be encoded a second time as it was written. What is certainly JSON is as in
    `_is_plain`.
    """
    if type(document) is str:
        return _WrittenKey(_quote(document)) if document.isprintable() else None
    if type(document) is not dict:
        return None
    parts, before = [], ""
    for field, part in document.items():
        if type(field) is not str or field < before or not field.isprintable():
            return None
        before = field
        if type(part) is str and (part.isascii() or part.isprintable()):
            parts.append(f"{_quote(field)}:{_quote(part)}")
        elif type(part) is int and _MIN_INTEGER <= part <= _MAX_INTEGER:
            parts.append(f"{_quote(field)}:{part}")
        else:
            return None
    return _WrittenKey(f"{{{','.join(parts)}}}")


def _checked_key(document: Document) -> Key:
    if document is None or isinstance(document, list):
        kind = "null" if document is None else "a list"
        raise InvalidKey("$", f"{kind} is not a valid key")
    try:
        _check_document(document)
    except _NotJson as error:
        raise InvalidKey(f"${error.path}", error.reason) from None
    return Key(_canonical(document))


def check_value(document: Document) -> None:
    """Check that a value is a JSON document of at most 100 levels.

    Raises:
        InvalidValue: It is not; the message gives the path.
    """
    try:
        _check_document(document)
    except _NotJson as error:
        raise InvalidValue(f"${error.path}", error.reason) from None


def check_name(what: str, name: object) -> str:
    """Return the name of a channel or lock if it is 1 to 4096 bytes of UTF-8 without NUL.

    Raises:
        InvalidName: It is not; `what` says whose name it is.
    """
    if not isinstance(name, str):
        raise InvalidName(what, name, f"it is {_kind(name)}, not a string")
    if not name:
        raise InvalidName(what, name, "it is empty")
    if "\0" in name:
        raise InvalidName(what, name, "it contains NUL")
    try:
        length = len(name) if name.isascii() else len(name.encode())
    except UnicodeEncodeError:
        raise InvalidName(what, name, "it contains a lone surrogate") from None
    if length > MAX_NAME_BYTES:
        raise InvalidName(what, name, f"it is {length} bytes long")
    return name


def matches(match: Document, value: Document) -> bool:
    """Return whether a value matches: maps as subsets, recursively, everything else exactly.

    Example:
        >>> matches({"state": {"code": 1}}, {"state": {"code": 1.0, "text": "new"}, "id": 7})
        True
        >>> matches({"state": None}, {"id": 7})
        False
    """
    if isinstance(match, dict):
        return isinstance(value, dict) and all(
            field in value and matches(part, value[field]) for field, part in match.items()
        )
    return same(match, value)


def same(first: Document, second: Document) -> bool:
    """Return whether two documents are equal in canonical form."""
    if isinstance(first, dict):
        return (
            isinstance(second, dict)
            and first.keys() == second.keys()
            and all(same(part, second[field]) for field, part in first.items())
        )
    if isinstance(first, list):
        return (
            isinstance(second, list) and len(first) == len(second) and all(map(same, first, second))
        )
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    return bool(first == second)


def _check_document(document: Document) -> None:
    if not _is_plain((document,), 0):
        _check(document, 1)


def _is_plain(parts: Iterable[Document], depth: int) -> bool:
    """Return whether all parts are certainly JSON, in half the time of `_check`.

    Rare cases, such as unprintable text or a subclass of a builtin, are left to `_check`.
    """
    for part in parts:
        kind = type(part)
        if kind is str:
            if not (part.isascii() or part.isprintable()):
                return False
        elif kind is int:
            if part.bit_length() > 63:
                return False
        elif kind is dict:
            if depth == MAX_DEPTH or not _has_plain_fields(part):
                return False
            if part and not _is_plain(part.values(), depth + 1):
                return False
        elif kind is list:
            if depth == MAX_DEPTH or not _is_plain(part, depth + 1):
                return False
        elif kind is float:
            if not isfinite(part):
                return False
        elif part is not None and kind is not bool:
            return False
    return True


def _has_plain_fields(document: dict[Any, Any]) -> bool:
    """Return whether all fields are printable texts, which hold neither NUL nor lone surrogates."""
    try:
        return "".join(document).isprintable()
    except TypeError:  # of a field that is not a text
        return False


def _check(node: Document, depth: int) -> None:
    if isinstance(node, str):
        _check_text(node)
    elif node is None or isinstance(node, bool):
        pass
    elif isinstance(node, int):
        if not _MIN_INTEGER <= node <= _MAX_INTEGER:
            raise _NotJson("the integer does not fit into 64 bits")
    elif isinstance(node, float):
        if not isfinite(node):
            raise _NotJson(f"{node} is not JSON")
    elif isinstance(node, dict | list):
        if depth > MAX_DEPTH:
            raise _NotJson(f"it is nested more than {MAX_DEPTH} levels deep")
        _check_fields(node, depth) if isinstance(node, dict) else _check_elements(node, depth)
    else:
        raise _NotJson(f"{_kind(node)} is not JSON")


def _check_fields(node: dict[Any, Any], depth: int) -> None:
    for field, part in node.items():
        if not isinstance(field, str):
            raise _NotJson(f"the field name {field!r} is {_kind(field)}, not a string")
        if "\0" in field:
            raise _NotJson(f"the field name {field!r} contains NUL")
        try:
            _check_text(field)
            _check(part, depth + 1)
        except _NotJson as error:
            step = f".{field}" if field.isidentifier() else f"[{field!a}]"
            error.path = step + error.path
            raise


def _check_elements(node: list[Any], depth: int) -> None:
    for position, part in enumerate(node):
        try:
            _check(part, depth + 1)
        except _NotJson as error:
            error.path = f"[{position}]{error.path}"
            raise


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _NotJson("the text contains a lone surrogate") from None


_SAME_AS_ENCODED: Final = {str, int}


def _canonical(node: Document) -> str:
    if isinstance(node, str):
        return _quote(node)
    if isinstance(node, dict):
        if {*map(type, node.values())} <= _SAME_AS_ENCODED:
            return _encode_sorted(node)
        fields = (f"{_quote(field)}:{_canonical(node[field])}" for field in sorted(node))
        return f"{{{','.join(fields)}}}"
    if isinstance(node, list):
        return f"[{','.join(map(_canonical, node))}]"
    if isinstance(node, float) and node.is_integer() and _MIN_INTEGER <= node <= _MAX_INTEGER:
        return str(int(node))
    return encode(node)


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
