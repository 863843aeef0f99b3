"""Real servers that all tests of one process use, each test with keys or a database of its own."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ojobchannels.plugins import checked_options, registry
from ojobchannels.testing import mongo_servers, redis_servers
from ojobchannels.testing.faults import FaultNotPossible
from ojobchannels.testing.mongo_servers import MongoServer
from ojobchannels.testing.programs import Flavour, ServerMissing, find
from ojobchannels.testing.redis_servers import RedisServer

_BATCH: Final = "1000"
_PATIENCE_MS: Final = 10_000


class SharedServer(ABC):
    """A server, with a part of its own for each place; a part is known by a token.

    Args:
        given: Its URL, if somebody else started it.
        process: Its process otherwise.
    """

    def __init__(self, given: str | None, process: RedisServer | MongoServer | None = None) -> None:
        self._given = given
        self.process = process

    @property
    def url(self) -> str:
        """Where it is."""
        return self.process.url if self.process else self._given or ""

    @property
    @abstractmethod
    def address(self) -> tuple[str, int]:
        """Host and port, for a proxy.

        Raises:
            FaultNotPossible: There is no such thing, or clients would not take the proxy for it.
        """

    @abstractmethod
    def url_of(self, token: str, address: tuple[str, int] | None = None) -> str:
        """Returns the URL of a part, at another address if one is given."""

    @abstractmethod
    def clear(self, token: str) -> None:
        """Removes a part."""

    @abstractmethod
    def prepare(self) -> None:
        """Tells the server what clients would else have to, so that no fault hits that."""

    def mend(self) -> None:
        """Has the server run, whatever was done to it."""
        if self.process is not None:
            try:
                self.process.resume()
            except RuntimeError:
                self.process.start()


class SharedRedis(SharedServer):
    """A part is made of the keys that begin with its token."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        settings, _ = self._settle(self.url)
        if settings.tls or settings.cluster or settings.service or not settings.addresses[0].port:
            raise _no_proxy(self.url)
        host, port = settings.addresses[0]
        return host, port

    def url_of(self, token: str, address: tuple[str, int] | None = None) -> str:
        """Returns the URL of a part."""
        parts = urlsplit(self.url)
        query = dict(parse_qsl(parts.query))
        query["prefix"] = ":".join(filter(None, (query.get("prefix"), token)))
        return urlunsplit(parts._replace(netloc=_at(parts.netloc, address), query=urlencode(query)))

    def clear(self, token: str) -> None:
        """Removes the keys; of a cluster or a service of Sentinels only the documents are."""
        settings, prefix = self._settle(self.url_of(token))
        if settings.cluster or settings.service:
            return
        with self._connection() as server:
            cursor = b""
            while cursor != b"0":
                server.send_command("SCAN", cursor or "0", "MATCH", f"{prefix}:*", "COUNT", _BATCH)
                cursor, keys = server.read_response()
                if keys:
                    server.send_command("UNLINK", *keys)
                    server.read_response()

    def prepare(self) -> None:
        """Loads the scripts: a reply that it does not know one is no reply to cut."""
        known = vars(import_module("ojobchannels_redis.scripts")).values()
        with self._connection() as server:
            for text in {getattr(one, "text", None) for one in known} - {None}:
                server.send_command("SCRIPT", "LOAD", text)
                server.read_response()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        settings, _ = self._settle(self.url)
        connect = import_module("ojobchannels_redis.connections").open_connection
        connection = connect(settings.addresses[0], settings, settings.timeout)
        try:
            yield connection
        finally:
            connection.disconnect()

    def _settle(self, url: str) -> Any:
        options = checked_options(registry().find("redis"), {"url": url})
        return import_module("ojobchannels_redis.options").settle(options)


class SharedMongo(SharedServer):
    """A part is a database, named by its token."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        options = {name.lower(): value for name, value in parse_qsl(parts.query)}
        secured = "true" in (options.get("tls"), options.get("ssl"))
        if parts.scheme != "mongodb" or "," in parts.netloc or secured:
            raise _no_proxy(self.url)
        return parts.hostname or "localhost", parts.port or 27017

    def url_of(self, token: str, address: tuple[str, int] | None = None) -> str:
        """Returns the URL of a part."""
        parts = urlsplit(self.url)
        query = {name.lower(): (name, value) for name, value in parse_qsl(parts.query)}
        if "@" in parts.netloc:  # else the path would say where the user is known
            query.setdefault("authsource", ("authSource", parts.path.strip("/") or "admin"))
        if address:  # stays there, and sees soon that the server is back
            query.pop("replicaset", None)
            query["directconnection"] = ("directConnection", "true")
            query["heartbeatfrequencyms"] = ("heartbeatFrequencyMS", "500")
        told = parts._replace(
            netloc=_at(parts.netloc, address),
            path=f"/{token}",
            query=urlencode(list(query.values())),
        )
        return urlunsplit(told)

    def clear(self, token: str) -> None:
        """Drops the database."""
        import pymongo

        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            self.url_of(token), serverSelectionTimeoutMS=_PATIENCE_MS
        )
        with client:
            client.drop_database(token)

    def prepare(self) -> None:
        """There is nothing to tell."""


class Kind(NamedTuple):
    """What the tests know of one kind of server: its process, its programs, the variable."""

    shared: type[SharedServer]
    process: Callable[[], RedisServer | MongoServer]
    flavours: tuple[Flavour, ...]
    variable: str

    def missing(self, given: str | None) -> str:
        """Tells what is not installed and how to get it; nothing where the server is there."""
        if self._url(given):
            return ""
        try:
            find(self.flavours)
        except ServerMissing as missing:
            return str(missing)
        return ""

    @contextmanager
    def run(self, given: str | None) -> Iterator[SharedServer]:
        """Gives the server at that URL, or in the variable, or one that runs for the while.

        Raises:
            ServerMissing: There is none.
        """
        if url := self._url(given):
            yield self.shared(url)
            return
        with self.process() as process:
            yield self.shared(None, process)

    def _url(self, given: str | None) -> str | None:
        return given or os.environ.get(self.variable)


KINDS: Final = {
    "redis": Kind(SharedRedis, RedisServer, redis_servers.FLAVOURS, redis_servers.ENVIRONMENT),
    "mongo": Kind(
        SharedMongo,
        lambda: MongoServer(replica_set=True),
        mongo_servers.FLAVOURS,
        mongo_servers.ENVIRONMENT,
    ),
}


def _at(netloc: str, address: tuple[str, int] | None) -> str:
    if address is None:
        return netloc
    login, at, _ = netloc.rpartition("@")
    return f"{login}{at}{address[0]}:{address[1]}"


def _no_proxy(url: str) -> FaultNotPossible:
    return FaultNotPossible(
        "a fault of the network",
        f"the server is reached by {urlsplit(url).scheme}:// in a way that no proxy can stand in",
        "give the URL of one server with a TCP port and without TLS, or none",
    )
