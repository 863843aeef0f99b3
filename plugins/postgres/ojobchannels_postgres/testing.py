"""The server that the fixtures of ojobchannels share, as the entry point `ojobchannels.testing`."""

from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg

from ojobchannels.testing.fixtures.shared_servers import SharedServer, with_address
from ojobchannels.testing.servers.postgres import PostgresServer

_SECONDS: Final = 10
_OURS: Final = ("schema", "listen_url")


class SharedPostgres(SharedServer):
    """A part is a schema, named by its token."""

    type = "postgres"
    marker = PostgresServer.marker  # a prepared statement is sent without its schema

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        encrypted = dict(parse_qsl(parts.query)).get("sslmode") in ("verify-ca", "verify-full")
        if encrypted or "," in parts.netloc or not parts.hostname:
            raise self.no_proxy()
        return parts.hostname, parts.port or 5432

    def url_of(self, token: str, address: tuple[str, int] | None = None) -> str:
        """Return the URL of a part."""
        parts = urlsplit(self.url)
        query = dict(parse_qsl(parts.query)) | {"schema": token}
        parts = parts._replace(netloc=with_address(parts.netloc, address), query=urlencode(query))
        return urlunsplit(parts)

    def clear(self, token: str) -> None:
        """Drop the schema."""
        with self.client(self.url_of(token)) as client:
            client.execute(f'DROP SCHEMA IF EXISTS "{token}" CASCADE')

    def client(self, url: str) -> "psycopg.Connection[Any]":
        """Return a connection on which each statement is committed at once."""
        parts = urlsplit(url)
        query = [pair for pair in parse_qsl(parts.query) if pair[0] not in _OURS]
        plain = urlunsplit(parts._replace(query=urlencode(query)))
        return psycopg.connect(plain, autocommit=True, connect_timeout=_SECONDS)

    def own_client(self, url: str, number: int) -> str:
        """Return the URL: a fault affects the connection of one call only."""
        return url

    def prepare(self) -> None:
        """Do nothing: a client prepares nothing at the server."""
