"""The server that the fixtures of ojobchannels share, as the entry point `ojobchannels.testing`."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from pyignite import Client
from pyignite.api.cache_config import cache_destroy

from ojobchannels.errors import ChannelError
from ojobchannels.plugins import checked_options, registry
from ojobchannels.remote import Operation
from ojobchannels.steps import drive
from ojobchannels.testing.fixtures.shared_servers import SharedServer, with_address
from ojobchannels_ignite.cluster import Cluster
from ojobchannels_ignite.connection import Connection
from ojobchannels_ignite.options import Settings, settings_of

_TIMEOUT: Final = 60.0
_CLEAR: Final = Operation("clear")


class SharedIgnite(SharedServer):
    """A part is a cache, named by its token."""

    type = "ignite"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        settings = _settings_of(self.url)
        if settings.tls or len(settings.nodes) > 1:
            raise self.no_proxy()
        host, port = settings.nodes[0]
        return host, port

    def url_of(self, token: str, address: tuple[str, int] | None = None) -> str:
        """Return the URL of a part."""
        parts = urlsplit(self.url)
        return urlunsplit(
            parts._replace(netloc=with_address(parts.netloc, address), path=f"/{token}")
        )

    def clear(self, token: str) -> None:
        """Destroy the cache."""
        cluster = Cluster(_settings_of(self.url_of(token)))
        try:
            connection = Connection(token, cluster, _TIMEOUT)
            with suppress(ChannelError):  # such as one that no node can be reached
                drive(connection.calling(_CLEAR, lambda at, _: at.ask(cache_destroy, token)))
        finally:
            cluster.close()

    @contextmanager
    def client(self, url: str) -> Iterator[Client]:
        """Yield a client of the driver."""
        client = Client(partition_aware=False)
        with client.connect([tuple(node) for node in _settings_of(url).nodes]):
            yield client

    def own_client(self, url: str, number: int) -> str:
        """Return the URL with a number of backups of its own: each has connections of its own."""
        return url

    def prepare(self) -> None:
        """Do nothing: a client prepares nothing at the server."""


def _settings_of(url: str) -> Settings:
    return settings_of(checked_options(registry().find("ignite"), {"url": url}))
