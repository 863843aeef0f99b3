"""The tables and indexes, and the check at the first open, which brings the tables up to date.

A user who may not create tables needs an administrator who runs what this prints::

    python -m ojobchannels_postgres --schema ojobchannels

With ``--counts`` it prints how the numbers of entries are kept, see `EntryCounts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from math import ceil
from typing import Final

import psycopg

from ojobchannels import remote
from ojobchannels.documents import Document, Item, indexed_text, is_below, page_of
from ojobchannels.errors import ChannelError, NotSupported
from ojobchannels.remote import Operation, Rule
from ojobchannels.steps import Steps, drive
from ojobchannels_postgres import statements
from ojobchannels_postgres.calls import Client, Connection
from ojobchannels_postgres.errors import NOT_ALLOWED, OLDEST, TOO_SLOW, state_of
from ojobchannels_postgres.server import Server

VERSION: Final = 1
_INDEX: Final = Operation("index")
_SECONDS: Final = 300.0  # for a large table; it is done once
_OF_LIMIT: Final = 0.5  # so that the server ends a statement before its client gives up
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
_OPEN: Final = Operation("open", Rule.REPEATABLE, "open the channel again", patient=False)

# By version, what brings the version before to it. Each step can run while older programs work.
_STEPS: Final = {
    1: """
CREATE TABLE OURS.ojob_channels (
    channel text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL,
    watched timestamptz
) WITH (fillfactor = 50);
CREATE TABLE OURS.ojob_documents (
    channel text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    key json NOT NULL,
    value json NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (channel, id)
);
CREATE UNIQUE INDEX ojob_documents_in_order ON OURS.ojob_documents (channel, position);
CREATE TABLE OURS.ojob_marks (
    channel text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    fence bigint NOT NULL,
    PRIMARY KEY (channel, id)
);
CREATE TABLE OURS.ojob_locks (
    channel text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    fence bigint NOT NULL,
    token text NOT NULL,
    ttl bigint NOT NULL,
    until timestamptz NOT NULL,
    since timestamptz NOT NULL,
    holder json NOT NULL,
    previous json,
    last text,
    awaited timestamptz,
    PRIMARY KEY (channel, id)
) WITH (fillfactor = 50);
CREATE TABLE OURS.ojob_versions (version integer PRIMARY KEY);
""",
}


def ddl(schema: str, since: int = 0) -> str:
    """Return the statements that create the tables, or that bring them to the present version.

    Args:
        schema: The schema, which must exist.
        since: The version of the tables; 0 if there are none.
    """
    return _unbound(since).replace("OURS", f'"{schema}"')


def counting_ddl(schema: str) -> str:
    """Return the statements, in a transaction, by which the numbers of entries are kept."""
    parts = (part.strip() for part in ("BEGIN", *statements.COUNTS, "COMMIT"))
    return "".join(f"{part};\n" for part in parts).replace("OURS", f'"{schema}"')


def check(connection: Connection) -> None:
    """Check that the server can serve, and that its tables are those of this version.

    Raises:
        NotSupported: The server is too old, or the tables are those of a later version.
        ChannelUnavailable: The server cannot be reached, or refuses the login or a table.
    """
    server = connection.server
    version, encoding, tables = drive(
        connection.calling(_OPEN, lambda client, _: _look(client, server))
    )
    channel = connection.channel
    refuse_old(channel, version)
    if encoding != "UTF8":
        advice = "create a database with the encoding UTF8"
        raise NotSupported(channel, f"a database with the encoding {encoding}", advice)
    if tables > VERSION:
        advice = "upgrade ojobchannels-postgres; nothing was changed"
        raise NotSupported(channel, f"tables of version {tables}, after {VERSION}", advice)
    if tables < VERSION:
        drive(connection.calling(_OPEN, lambda client, _: _migrate(client)))
    with suppress(ChannelError):  # another process may sweep, at another time
        drive(
            connection.calling(
                _OPEN, lambda client, _: client.run(statements.SWEEP_MARKS), _SECONDS
            )
        )


def refuse_old(channel: str, version: int) -> None:
    """Raise NotSupported for a server that lacks what the statements need."""
    if version < int(OLDEST) * 10_000:
        raise NotSupported(
            channel, f"a PostgreSQL server before {OLDEST}", f"use PostgreSQL {OLDEST} or later"
        )


def _look(client: Client, server: Server) -> Steps[tuple[int, str, int]]:
    """Return the version and encoding of the server, and the version of the tables.

    Unless an option decides it, this connection and the later ones prepare their statements if no
    pooler is noticed: it names a process of its own in place of the server's.
    """
    session = client.session
    if server.settings.prepare is None:
        rows = yield from client.run(statements.PID)
        server.prepares = session.prepares = rows == [(session.pid,)]
    return session.version, session.encoding, (yield from _version_of_tables(client))


def _version_of_tables(client: Client) -> Steps[int]:
    if (yield from client.run(statements.HAS_TABLES, client.schema)) != [(True,)]:
        return 0
    ((version,),) = yield from client.run(statements.VERSION_OF_TABLES)
    return int(version or 0)


def _migrate(client: Client) -> Steps[None]:
    """Create what is missing; of two processes that start at once, one waits for the other."""
    yield from client.run(statements.BEGIN)
    yield from client.run(statements.MIGRATE_ALONE)
    if (yield from client.run(statements.HAS_SCHEMA, client.schema)) != [(True,)]:
        yield from client.run(statements.CREATE_SCHEMA)
    since = yield from _version_of_tables(client)
    for statement in _unbound(since).split(";\n")[:-1]:
        yield from client.run(statement)
    yield from client.run("COMMIT")


def _unbound(since: int) -> str:
    """Return the statements that bring the tables from a version to the present one."""
    steps = [
        f"{text.strip()}\nINSERT INTO OURS.ojob_versions VALUES ({version});\n"
        for version, text in _STEPS.items()
        if version > since
    ]
    return "".join(steps)


class EntryCounts:
    """The number of entries of one channel, which triggers keep from the first question on.

    They change it in the transaction that adds or removes an entry, also in one of an older
    version. They are in no version of the tables: without them, entries are counted.

    A handle tries once to create them, for a part of its timeout: writers wait meanwhile.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._are_kept = False
        self._has_tried = False

    def size(self) -> Steps[int]:
        """Return the number of entries."""
        return self._one(statements.SIZE_KEPT, statements.SIZE)

    def size_until(self, position: int) -> Steps[int]:
        """Return the number of entries up to a position in the order of their changes."""
        return self._one(statements.SIZE_KEPT_UNTIL, statements.SIZE_UNTIL, position)

    def _one(self, kept: str, counted: str, *parameters: int) -> Steps[int]:
        if not self._are_kept:
            calling = self._connection.calling
            self._are_kept = yield from calling(remote.SIZE, lambda client, _: _are_counted(client))
            if not (self._are_kept or self._has_tried):
                self._has_tried = True
                self._are_kept = yield from calling(remote.SIZE, _count)
        statement = kept if self._are_kept else counted
        ((size,),) = yield from self._connection.running(remote.SIZE, statement, *parameters)
        return int(size)


def _are_counted(client: Client) -> Steps[bool]:
    rows = yield from client.run(statements.HAS_COUNTS, client.schema)
    return rows == [(1,)]


def _count(client: Client, _: bool) -> Steps[bool]:
    milliseconds = ceil(client.limit * 1000 * _OF_LIMIT)
    return _create_once(client, _are_counted, statements.COUNTS, milliseconds)


def _create_once(
    client: Client,
    exists: Callable[[Client], Steps[bool]],
    creating: Iterable[str],
    milliseconds: int | None = None,
) -> Steps[bool]:
    """Create what is in no version of the tables; return whether it exists, unless it takes long.

    Of two processes that do it at once, one waits for the other. For writers it waits a moment
    only: new ones would wait behind it, also for a transaction that was forgotten in `psql`.

    Args:
        client: The connection.
        exists: Returns whether it exists.
        creating: The statements that create it.
        milliseconds: What each of the steps may take at the server, if that is to be limited.
    """
    try:
        yield from client.run(statements.BEGIN)
        if milliseconds is not None:
            yield from client.run(statements.END_EACH_AFTER, milliseconds)
        yield from client.run(statements.MIGRATE_ALONE)
        if not (yield from exists(client)):
            yield from client.run(statements.WAIT_A_MOMENT)
            for statement in creating:
                yield from client.run(statement)
        yield from client.run("COMMIT")
    except psycopg.Error as error:
        if state_of(error) not in {NOT_ALLOWED, *TOO_SLOW}:
            raise
    else:
        return True
    yield from client.run("ROLLBACK")
    return False


class FieldIndexes:
    """Indexes on fields of the values of one channel, for reads with a match.

    They are partial indexes on expressions, in no version of the tables: programs of every version
    keep them, and tables without them are read as before.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._fields: tuple[str, ...] = ()

    def create(self, fields: tuple[str, ...]) -> bool:
        """Create what is missing; return whether all exist."""
        if not self._prepare({self._name(field): _expression(field) for field in fields}):
            return False
        self._fields = tuple(dict.fromkeys((*fields, *self._fields)))
        return True

    def below(self, field: str, bound: int, limit: int) -> list[Item] | None:
        """Return items with a number below `bound`; None if the index may not be created."""
        number = f"OURS.ojob_number(value, '{field}')"
        if not self._prepare({self._name(f"number_{field}"): number}):
            return None
        statement = statements.below(number, self._own)
        rows = drive(
            self._connection.calling(
                remote.ITEMS, lambda client, _: client.run(statement, bound, limit)
            )
        )
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

        def create(client: Client, _: bool) -> Steps[bool]:
            return self._create(client, indexes)

        calling = self._connection.calling
        exist = calling(_INDEX, lambda client, _: self._exist(client, indexes))
        return drive(exist) or drive(calling(_INDEX, create, _SECONDS))

    def _exist(self, client: Client, indexes: Mapping[str, str]) -> Steps[bool]:
        rows = yield from client.run(_ARE_THERE, client.schema, [*indexes])
        return rows == [(len(indexes),)]

    def _create(self, client: Client, indexes: Mapping[str, str]) -> Steps[bool]:
        creating = (
            f"CREATE INDEX IF NOT EXISTS {name} ON OURS.ojob_documents"
            f" ({expression}, position) WHERE {self._own}"
            for name, expression in indexes.items()
        )
        return _create_once(
            client, lambda client: self._exist(client, indexes), [*_FUNCTIONS, *creating]
        )

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
