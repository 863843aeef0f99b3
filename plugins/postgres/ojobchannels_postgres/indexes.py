"""Indexes on fields of the values of one channel, for reads with a match.

They are partial indexes on expressions, in no version of the tables: programs of every version keep
them, and tables without them are read as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import psycopg

from ojobchannels.documents import Document, indexed_text
from ojobchannels.remote import Operation, Rule
from ojobchannels_postgres import statements
from ojobchannels_postgres.calls import Client, Connection
from ojobchannels_postgres.errors import NOT_ALLOWED, TOO_SLOW, state_of

_INDEX: Final = Operation("index", Rule.REPEATABLE)
_SECONDS: Final = 300.0  # for a large table; it is done once
_ARE_THERE: Final = """
SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = ANY ($2::text[])
"""
# The server refuses a text with \u0000, which is valid in our values. Conversions from and to json
# are not immutable by its catalog, because an extension could change them, so an index needs a
# function that is.
_FUNCTION: Final = r"""
CREATE OR REPLACE FUNCTION OURS.ojob_field(value json, field text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN replace(value::text, '\u0000', '\u0001')::json ->> field;
END $$
"""


class FieldIndexes:
    """The indexes of one channel that this process knows of."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._fields: tuple[str, ...] = ()

    def create(self, fields: tuple[str, ...]) -> bool:
        """Create what is missing; return whether all exist."""
        if not self._connection.call(_INDEX, lambda client, _: self._exist(client, fields)):
            creating = lambda client, _: self._create(client, fields)  # noqa: E731
            if not self._connection.call(_INDEX, creating, _SECONDS):
                return False
        self._fields = fields
        return True

    def statement(self, match: Document, newest_first: bool) -> tuple[str, tuple[str, ...]]:
        """Return the statement for items, and the parameter that it needs more."""
        found = indexed_text(match, self._fields)
        if found is None:
            return (statements.NEWEST_FIRST if newest_first else statements.OLDEST_FIRST), ()
        field, text = found
        return statements.by_field(self._condition(field), newest_first), (text,)

    def _exist(self, client: Client, fields: Sequence[str]) -> bool:
        names = [self._name(field) for field in fields]
        return client.run(_ARE_THERE, client.schema, names) == [(len(names),)]

    def _create(self, client: Client, fields: Sequence[str]) -> bool:
        try:
            client.run(statements.BEGIN)
            client.run(statements.MIGRATE_ALONE)
            if not self._exist(client, fields):
                client.run(_FUNCTION)
                for field in fields:
                    client.run(
                        f"CREATE INDEX IF NOT EXISTS {self._name(field)} ON OURS.ojob_documents"
                        f" ({_expression(field)}, position) WHERE {self._own}"
                    )
            client.run("COMMIT")
        except psycopg.Error as error:
            if state_of(error) not in {NOT_ALLOWED, *TOO_SLOW}:
                raise
            client.run("ROLLBACK")
            return False
        return True

    @property
    def _own(self) -> str:
        """The channel as a constant: with a parameter, a prepared plan uses no partial index."""
        digits = "".join(f"\\U{ord(letter):08x}" for letter in self._connection.id)
        return f"channel = E'{digits}'"

    def _condition(self, field: str) -> str:
        return f"{self._own} AND {_expression(field)} = $5::text"

    def _name(self, field: str) -> str:
        digest = sha256(self._connection.id.encode()).hexdigest()[:20]
        return f"ojob_by_{field.lower()}_{digest}"


def _expression(field: str) -> str:
    return f"OURS.ojob_field(value, '{field}')"
