"""The text of a JSON file of tables: one entry per line, so that people can read and edit it."""

import json
import re
from typing import Any, Final, TypeAlias

from ojobchannels.documents import Document, check_value, encode
from ojobchannels.errors import InvalidValue

Tables: TypeAlias = dict[str, dict[str, Any]]

LARGEST_NUMBER: Final = 2**63 - 1
# Text that may parse as JSON but not be a valid document: numbers that are too large, lone
# surrogates, NUL. Everything else was checked before it was written, or is checked with its key.
_SUSPECT: Final = re.compile(rb"\d{19}|[eE]\+?\d{3}|\\u(?:[dD][89a-fA-F]|0000)|NaN|Infinity")


class Unreadable(ValueError):
    """The text cannot be read; the message says why."""


def parse(content: bytes) -> Tables:
    """Return the tables.

    Raises:
        Unreadable: The text is not valid; the message gives the position.
    """
    suspect = _SUSPECT.search(content) is not None
    try:
        tables = json.loads(
            content.decode(),
            parse_int=_integer if suspect else None,
            parse_constant=float,
            object_pairs_hook=_unique_fields,
        )
    except UnicodeDecodeError as error:
        raise Unreadable(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        position = f"line {error.lineno}, column {error.colno}"
        empty = not content.strip()
        raise Unreadable("it is empty" if empty else f"{error.msg} at {position}") from None
    except RecursionError as error:
        raise Unreadable(str(error)) from None
    _check_shape(tables)
    checked: Tables = tables
    if suspect:
        _check_documents(checked)
    return checked


def text_of(tables: Tables) -> str:
    """Return the text of the tables."""
    return f"{{{','.join(_table_text(name, table) for name, table in tables.items())}\n}}\n"


def _table_text(name: str, table: dict[str, Document]) -> str:
    lines = (f'\n"{number}": {encode(entry)}' for number, entry in table.items())
    return f"\n{encode(name)}: {{{','.join(lines)}\n}}"


def _integer(digits: str) -> int:
    return int(digits) if len(digits) < 30 else 2**99  # Python refuses to read very long ones


def _unique_fields(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(fields)
    if len(mapping) < len(fields):
        names = [name for name, _ in fields]
        repeated = next(name for name in names if names.count(name) > 1)
        raise Unreadable(f"{repeated!r} appears twice in one object")
    return mapping


def _check_shape(tables: object) -> None:
    if not isinstance(tables, dict):
        raise Unreadable("it is not a JSON object of tables")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise Unreadable(f"the table {name!r} is not a JSON object")
        for number, entry in table.items():
            if not _is_number(number):
                raise Unreadable(f"{number!r} in the table {name!r} is not a valid entry number")
            if not isinstance(entry, dict) or "key" not in entry:
                raise Unreadable(f"{_entry(name, number)} is not an object with a key")
            if type(entry.get("fence", 0)) is not int:
                raise Unreadable(f"the fence of {_entry(name, number)} is not an integer")


def _check_documents(tables: Tables) -> None:
    for name, table in tables.items():
        try:
            check_value({name: None})
        except InvalidValue as error:
            raise Unreadable(f"the name of the table {name!a}: {error.reason}") from None
        for number, entry in table.items():
            for field, part in entry.items():
                try:
                    check_value({field: None})
                    check_value(part)
                except InvalidValue as error:
                    path = error.path.replace("$", f"$.{field}", 1)
                    reason = f"{_entry(name, number)}, at {path}: {error.reason}"
                    raise Unreadable(reason) from None


def _is_number(text: str) -> bool:
    """Return whether a number is written as we write it: `01` would be a second key for `1`."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        return False
    return str(int(text)) == text and int(text) <= LARGEST_NUMBER


def _entry(table: str, number: str) -> str:
    return f"entry {number} of the table {table!r}"
