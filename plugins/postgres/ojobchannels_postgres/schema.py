"""The tables, and the check at the first open, which creates them or brings them up to date.

A user who may not create tables needs an administrator who runs what this prints::

    python -m ojobchannels_postgres --schema ojobchannels
"""

from __future__ import annotations

from typing import Final

from ojobchannels.errors import NotSupported
from ojobchannels.remote import Operation, Rule
from ojobchannels_postgres import statements
from ojobchannels_postgres.calls import Client, Connection
from ojobchannels_postgres.errors import OLDEST
from ojobchannels_postgres.server import Server

VERSION: Final = 1
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


def check(connection: Connection) -> None:
    """Check that the server can serve, and that its tables are those of this version.

    Raises:
        NotSupported: The server is too old, or the tables are those of a later version.
        ChannelUnavailable: The server cannot be reached, or refuses the login or a table.
    """
    server = connection.server
    version, encoding, tables = connection.call(_OPEN, lambda client, _: _look(client, server))
    channel = connection.channel
    refuse_old(channel, version)
    if encoding != "UTF8":
        advice = "create a database with the encoding UTF8"
        raise NotSupported(channel, f"a database with the encoding {encoding}", advice)
    if tables > VERSION:
        advice = "upgrade ojobchannels-postgres; nothing was changed"
        raise NotSupported(channel, f"tables of version {tables}, after {VERSION}", advice)
    if tables < VERSION:
        connection.call(_OPEN, lambda client, _: _migrate(client))


def refuse_old(channel: str, version: int) -> None:
    """Raise NotSupported for a server that lacks what the statements need."""
    if version < int(OLDEST) * 10_000:
        raise NotSupported(
            channel, f"a PostgreSQL server before {OLDEST}", f"use PostgreSQL {OLDEST} or later"
        )


def _look(client: Client, server: Server) -> tuple[int, str, int]:
    """Return the version and encoding of the server, and the version of the tables.

    Unless an option decides it, this connection and the later ones prepare their statements if no
    pooler is noticed: it names a process of its own in place of the server's.
    """
    session = client.session
    if server.settings.prepare is None:
        server.prepares = session.prepares = client.run(statements.PID) == [(session.pid,)]
    return session.version, session.encoding, _version_of_tables(client)


def _version_of_tables(client: Client) -> int:
    if client.run(statements.HAS_TABLES, client.schema) != [(True,)]:
        return 0
    return int(client.run(statements.VERSION_OF_TABLES)[0][0] or 0)


def _migrate(client: Client) -> None:
    """Create what is missing; of two processes that start at once, one waits for the other."""
    client.run(statements.BEGIN)
    client.run(statements.MIGRATE_ALONE)
    if client.run(statements.HAS_SCHEMA, client.schema) != [(True,)]:
        client.run(statements.CREATE_SCHEMA)
    for statement in _unbound(_version_of_tables(client)).split(";\n")[:-1]:
        client.run(statement)
    client.run("COMMIT")


def _unbound(since: int) -> str:
    """Return the statements that bring the tables from a version to the present one."""
    steps = [
        f"{text.strip()}\nINSERT INTO OURS.ojob_versions VALUES ({version});\n"
        for version, text in _STEPS.items()
        if version > since
    ]
    return "".join(steps)
