"""Changes of entries, and the lines of a journal that contain them.

A line is a JSON object like the file itself, with the changes of one write: an entry, or ``null``
or ``"removed …"`` for an entry that is removed.
"""

import json
import re
import zlib
from typing import Any, Final, NamedTuple

from ojobchannels.backends.file.json_text import (
    Tables,
    Unreadable,
    check,
    check_number,
    decoded,
    entry_name,
)
from ojobchannels.documents import encode

_REMOVED: Final = re.compile(r"removed [0-9a-f]{8}")


class Change(NamedTuple):
    """The change of one entry.

    Attributes:
        table: The name of the table.
        number: The number of the entry, as in the file.
        old: The entry before the change, or None.
        new: The entry after the change, or None.
    """

    table: str
    number: str
    old: dict[str, Any] | None
    new: dict[str, Any] | None


def line_of(changes: list[Change]) -> str:
    """Return the line of a journal for the changes of one write."""
    tables: dict[str, list[str]] = {}
    for change in changes:
        new = encode(f"removed {_checksum(change.old)}" if change.new is None else change.new)
        tables.setdefault(change.table, []).append(f'"{change.number}":{new}')
    parts = (f"{encode(name)}:{{{','.join(entries)}}}" for name, entries in tables.items())
    return f"{{{','.join(parts)}}}\n"


def apply_line(line: bytes, tables: Tables, number: int) -> list[Change]:
    """Change the tables as a line of a journal says, and return the changes.

    Args:
        line: The line.
        tables: The tables.
        number: The number of the line, for messages.

    Raises:
        Unreadable: The line is not valid, or contradicts the tables.
    """
    written, suspect = decoded(line, number)
    if not isinstance(written, dict) or not all(
        isinstance(part, dict) for part in written.values()
    ):
        raise Unreadable("it is not a JSON object of tables")
    added: Tables = {}
    changes: list[Change] = []
    for name, entries in written.items():
        table = tables.setdefault(name, {})
        for entry_number, entry in entries.items():
            check_number(name, entry_number)
            old = table.get(entry_number)
            if _is_removal(entry):
                _check_removed(name, entry_number, old, entry)
                changes.append(Change(name, entry_number, old, None))
            elif old is not None:
                here = entry_name(name, entry_number)
                raise Unreadable(f"{here} is in the file too: give that one a higher number")
            else:
                added.setdefault(name, {})[entry_number] = entry
                changes.append(Change(name, entry_number, None, entry))
    check(added, suspect)
    make(changes, tables)
    return changes


def make(changes: list[Change], tables: Tables) -> None:
    """Make changes to tables."""
    for name, number, _, new in changes:
        table = tables.setdefault(name, {})
        if new is None:
            table.pop(number, None)
        else:
            table[number] = new


def _is_removal(entry: object) -> bool:
    return entry is None or (isinstance(entry, str) and _REMOVED.fullmatch(entry) is not None)


def _check_removed(name: str, number: str, old: dict[str, Any] | None, entry: str | None) -> None:
    """Refuse to remove an entry that a person has edited since: that would lose the edit."""
    if old is not None and entry is not None and entry != f"removed {_checksum(old)}":
        raise Unreadable(
            f"{entry_name(name, number)} was edited in the file after a program had replaced or "
            "removed it: delete it there, and edit the newer entry of that key in the journal"
        )


def _checksum(entry: dict[str, Any] | None) -> str:
    text = json.dumps(entry, sort_keys=True)
    return f"{zlib.crc32(text.encode()):08x}"
