"""The server that the fixtures of ojobchannels share, as the entry point `ojobchannels.testing`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis

from ojobchannels.plugins import checked_options, registry
from ojobchannels.testing.fixtures.shared_servers import SharedServer, with_address
from ojobchannels_redis import scripts
from ojobchannels_redis.connections import Connection, open_connection
from ojobchannels_redis.options import Settings, settings_of
from ojobchannels_redis.scripts import Script

_BATCH: Final = "1000"
_SECONDS: Final = 5.0


class SharedRedis(SharedServer):
    """A part consists of the keys whose prefix ends with its token."""

    type = "redis"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        settings, _ = _settings_of(self.url)
        if settings.tls or settings.cluster or settings.service or not settings.addresses[0].port:
            raise self.no_proxy()
        host, port = settings.addresses[0]
        return host, port

    def url_of(self, token: str, address: tuple[str, int] | None = None) -> str:
        """Return the URL of a part."""
        parts = urlsplit(self.url)
        query = dict(parse_qsl(parts.query))
        query["prefix"] = ":".join(filter(None, (query.get("prefix"), token)))
        parts = parts._replace(netloc=with_address(parts.netloc, address), query=urlencode(query))
        return urlunsplit(parts)

    def clear(self, token: str) -> None:
        """Remove the keys; not in a cluster or a service of Sentinels, where only documents are."""
        settings, prefix = _settings_of(self.url_of(token))
        if settings.cluster or settings.service:
            return
        with self._connection() as server:
            cursor = b""
            while cursor != b"0":
                command = ("SCAN", cursor or "0", "MATCH", f"{prefix}:*", "COUNT", _BATCH)
                cursor, keys = server.ask(command, _SECONDS)
                if keys:
                    server.ask(("UNLINK", *keys), _SECONDS)

    def own_client(self, url: str, number: int) -> str:
        """Return the URL: a fault affects the connection of one call only."""
        return url

    def client(self, url: str) -> redis.Redis:
        """Return a client of the database in which the part is."""
        return redis.Redis.from_url(urlunsplit(urlsplit(url)._replace(query="")))

    def prepare(self) -> None:
        """Load the scripts, so that the next cut reply is not the one that a script is unknown."""
        texts = {value.text for value in vars(scripts).values() if isinstance(value, Script)}
        with self._connection() as server:
            for text in texts:
                server.ask(("SCRIPT", "LOAD", text), _SECONDS)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        settings, _ = _settings_of(self.url)
        connection = open_connection(settings.addresses[0], settings, _SECONDS)
        try:
            yield connection
        finally:
            connection.close()


def _settings_of(url: str) -> tuple[Settings, str]:
    return settings_of(checked_options(registry().find("redis"), {"url": url}))
