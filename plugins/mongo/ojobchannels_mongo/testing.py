"""The server that the fixtures of ojobchannels share, as the entry point `ojobchannels.testing`."""

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ojobchannels.testing.fixtures.shared_servers import SharedServer, with_address

if TYPE_CHECKING:
    from pymongo import MongoClient

_TIMEOUT_MS: Final = 10_000


class SharedMongo(SharedServer):
    """A part is a database, named by its token."""

    type = "mongo"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        options = {name.lower(): value for name, value in parse_qsl(parts.query)}
        secured = "true" in (options.get("tls"), options.get("ssl"))
        if parts.scheme != "mongodb" or "," in parts.netloc or secured:
            raise self.no_proxy()
        return parts.hostname or "localhost", parts.port or 27017

    def url_of(self, token: str, address: tuple[str, int] | None = None) -> str:
        """Return the URL of a part."""
        parts = urlsplit(self.url)
        query = {name.lower(): (name, value) for name, value in parse_qsl(parts.query)}
        if "@" in parts.netloc:  # otherwise the path would name the database of the user
            query.setdefault("authsource", ("authSource", parts.path.strip("/") or "admin"))
        if address:  # uses no other member, and notices soon that the server is back
            query.pop("replicaset", None)
            query["directconnection"] = ("directConnection", "true")
            query["heartbeatfrequencyms"] = ("heartbeatFrequencyMS", "500")
        parts = parts._replace(
            netloc=with_address(parts.netloc, address),
            path=f"/{token}",
            query=urlencode(list(query.values())),
        )
        return urlunsplit(parts)

    def clear(self, token: str) -> None:
        """Drop the database."""
        with self.client(self.url_of(token)) as client:
            client.drop_database(token)

    def client(self, url: str) -> "MongoClient[dict[str, Any]]":
        """Return a client whose default database is the part."""
        import pymongo  # slow to import, and not needed to find the adapter

        return pymongo.MongoClient(url, serverSelectionTimeoutMS=_TIMEOUT_MS)

    def own_client(self, url: str, number: int) -> str:
        """Return the URL with a name of its own: the driver connects for each URL."""
        return f"{url}{'&' if '?' in url else '?'}appName=client{number}"

    def quiet(self, url: str) -> str:
        """Return the URL without the driver's heartbeats."""
        fast = "heartbeatFrequencyMS=500"
        return url.replace(fast, "heartbeatFrequencyMS=3600000&serverMonitoringMode=poll")

    def prepare(self) -> None:
        """Do nothing: a client prepares nothing at the server."""
