"""Indexes on fields of the values of one channel, for reads with a match.

They are partial indexes on expressions, which SQLite keeps for programs of every version. They are
in no schema version: a database without them is read as before.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from ojobchannels.backends.db.connections import Connections
from ojobchannels.documents import Document, indexed_text

_BY_FIELD: Final = """
SELECT written_key, value, position FROM documents
WHERE channel = {own} AND {field} = :field AND position {compare} :after
ORDER BY position {order}
"""
_IS_THERE: Final = "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND name = ?"
# Texts and null are not below a number.
_BELOW: Final = """
SELECT written_key, value, position FROM documents WHERE channel = {own} AND {field} < :bound
ORDER BY {field}, position
"""


class FieldIndexes:
    """The indexes of one channel that this process knows of.

    Attributes:
        fields: The fields that have one.
    """

    def __init__(self, channel: str) -> None:
        self.fields: tuple[str, ...] = ()
        self._channel = channel

    def prepare(self, connections: Connections, fields: tuple[str, ...]) -> bool:
        """Create the indexes that do not exist; return whether all do now."""
        with connections.reading() as connection:
            missing = self._missing(connection, fields)
        try:
            if missing:
                with connections.transaction("NORMAL") as connection:
                    for statement in missing:
                        connection.execute(statement)
        except sqlite3.OperationalError:  # a value that is not JSON, or a database for reading only
            return False
        return True

    def below(self, field: str) -> str:
        """Return the statement that reads what has a number below ``:bound`` in a field."""
        return _BELOW.format(own=_quoted(self._channel), field=_expression(field))

    def _missing(self, connection: sqlite3.Connection, fields: Sequence[str]) -> list[str]:
        """Return the statements that create the indexes that do not exist."""
        return [
            self._create(field)
            for field in fields
            if not connection.execute(_IS_THERE, (self._name(field),)).fetchone()[0]
        ]

    def statement(self, match: Document, newest_first: bool) -> tuple[str, str] | None:
        """Return the statement that reads by an index, and its value; None if none helps."""
        found = indexed_text(match, self.fields)
        if found is None:
            return None
        field, value = found
        compare, order = ("<", "DESC") if newest_first else (">", "ASC")
        statement = _BY_FIELD.format(
            own=_quoted(self._channel), field=_expression(field), compare=compare, order=order
        )
        return statement, value

    def _create(self, field: str) -> str:
        return (
            f'CREATE INDEX IF NOT EXISTS "{self._name(field)}" ON documents'
            f" (channel, {_expression(field)}, position)"
            f" WHERE channel = {_quoted(self._channel)}"
        )

    def _name(self, field: str) -> str:
        return f"documents_by_{field}_of_{self._channel.encode().hex()}"


def _expression(field: str) -> str:
    return f"json_extract(value, '$.{field}')"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
