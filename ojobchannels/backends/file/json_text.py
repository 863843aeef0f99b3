"""The text of a JSON file of tables: one entry per line, so that people can read and edit it.

If the newest changes are in a journal, the file says so: ``"newest changes in": "NAME ID"``.
Earlier versions of this package, which know no journal, refuse that, since it is not a table.
"""

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


_JOURNAL: Final = "newest changes in"


class Unreadable(ValueError):
    """The text cannot be read; the message says why."""


def parse(content: bytes) -> tuple[Tables, str]:
    """Return the tables, and the text that names the journal, or an empty string.

    Raises:
        Unreadable: The text is not valid; the message gives the position.
    """
    tables, suspect = decoded(content)
    journal = tables.get(_JOURNAL) if isinstance(tables, dict) else None
    if isinstance(journal, str):
        del tables[_JOURNAL]
    check(tables, suspect)
    return tables, journal if isinstance(journal, str) else ""


def text_of(tables: Tables, journal: str = "") -> str:
    """Return the text of the tables, and of the name of a journal."""
    parts = [f"\n{encode(_JOURNAL)}: {encode(journal)}"] if journal else []
    parts += [_table_text(name, table) for name, table in tables.items()]
    return f"{{{','.join(parts)}\n}}\n"


def may_have_journal(tables: Tables) -> bool:
    """Return whether the name of a journal would not be mistaken for the name of a table."""
    return _JOURNAL not in tables


def decoded(content: bytes, first_line: int = 1) -> tuple[Any, bool]:
    """Return what a JSON text contains, and whether that may be what is not a valid document.

    Args:
        content: The text.
        first_line: The number of its first line in the file, for messages.

    Raises:
        Unreadable: It is not JSON; the message gives the position.
    """
    suspect = _SUSPECT.search(content) is not None
    try:
        document = json.loads(
            content.decode(),
            parse_int=_integer if suspect else None,
            parse_constant=float,
            object_pairs_hook=_unique_fields,
        )
    except UnicodeDecodeError as error:
        raise Unreadable(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        position = f"line {error.lineno + first_line - 1}, column {error.colno}"
        empty = not content.strip()
        raise Unreadable("it is empty" if empty else f"{error.msg} at {position}") from None
    except RecursionError as error:
        raise Unreadable(str(error)) from None
    return document, suspect


def check(tables: object, suspect: bool) -> None:
    """Check decoded tables; their documents too if these are suspect.

    Raises:
        Unreadable: They are not valid.
    """
    _check_shape(tables)
    if suspect and isinstance(tables, dict):
        _check_documents(tables)


def check_number(table: str, number: str) -> None:
    """Check that a number is written as we write it: `01` would be a second key for `1`.

    Raises:
        Unreadable: It is not.
    """
    is_short = number.isascii() and number.isdigit() and len(number) <= 19
    if not (is_short and str(int(number)) == number and int(number) <= LARGEST_NUMBER):
        raise Unreadable(f"{number!r} in the table {table!r} is not a valid entry number")


def entry_name(table: str, number: str) -> str:
    """Return how messages name an entry."""
    return f"entry {number} of the table {table!r}"


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
            check_number(name, number)
            if not isinstance(entry, dict) or "key" not in entry:
                raise Unreadable(f"{entry_name(name, number)} is not an object with a key")
            if type(entry.get("fence", 0)) is not int:
                raise Unreadable(f"the fence of {entry_name(name, number)} is not an integer")


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
                    reason = f"{entry_name(name, number)}, at {path}: {error.reason}"
                    raise Unreadable(reason) from None
