"""Indexes on fields of the values of one channel, for reads with a match.

They are partial indexes on expressions, in no version of the tables: programs of every version keep
them, and tables without them are read as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import psycopg

from ojobchannels import remote
from ojobchannels.documents import Document, Item, indexed_text, is_below, page_of
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
_FUNCTIONS: Final = (
    r"""
CREATE OR REPLACE FUNCTION OURS.ojob_field(value json, field text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN replace(value::text, '\u0000', '\u0001')::json ->> field;
END $$
""",
    r"""
CREATE OR REPLACE FUNCTION OURS.ojob_number(value json, field text) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    part json := replace(value::text, '\u0000', '\u0001')::json -> field;
BEGIN
    IF json_typeof(part) = 'number' THEN
        RETURN part::text::double precision;
    END IF;
    RETURN NULL;
END $$
""",
)


class FieldIndexes:
    """The indexes of one channel that this process knows of."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._fields: tuple[str, ...] = ()

    def create(self, fields: tuple[str, ...]) -> bool:
        """Create what is missing; return whether all exist."""
        if not self._prepare({self._name(field): _expression(field) for field in fields}):
            return False
        self._fields = fields
        return True

    def below(self, field: str, bound: int, limit: int) -> list[Item] | None:
        """Return items with a number below `bound`; None if the index may not be created."""
        number = f"OURS.ojob_number(value, '{field}')"
        if not self._prepare({self._name(f"number_{field}"): number}):
            return None
        statement = statements.below(f"{self._own} AND {number}")
        rows = self._connection.run(remote.ITEMS, statement, bound, limit)
        items = page_of(rows, None, limit)
        return [item for item in items if is_below(item[1], field, bound)]

    def statement(self, match: Document, newest_first: bool) -> tuple[str, tuple[str, ...]]:
        """Return the statement for items, and the parameter that it needs more."""
        found = indexed_text(match, self._fields)
        if found is None:
            return (statements.NEWEST_FIRST if newest_first else statements.OLDEST_FIRST), ()
        field, text = found
        return statements.by_field(self._condition(field), newest_first), (text,)

    def _prepare(self, indexes: Mapping[str, str]) -> bool:
        """Create the indexes, by their names, that are missing; return whether all exist."""
        look = lambda client, _: self._exist(client, indexes)  # noqa: E731
        create = lambda client, _: self._create(client, indexes)  # noqa: E731
        return self._connection.call(_INDEX, look) or self._connection.call(
            _INDEX, create, _SECONDS
        )

    def _exist(self, client: Client, indexes: Mapping[str, str]) -> bool:
        return client.run(_ARE_THERE, client.schema, [*indexes]) == [(len(indexes),)]

    def _create(self, client: Client, indexes: Mapping[str, str]) -> bool:
        try:
            client.run(statements.BEGIN)
            client.run(statements.MIGRATE_ALONE)
            if not self._exist(client, indexes):
                for function in _FUNCTIONS:
                    client.run(function)
                for name, expression in indexes.items():
                    client.run(
                        f"CREATE INDEX IF NOT EXISTS {name} ON OURS.ojob_documents"
                        f" ({expression}, position) WHERE {self._own}"
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
