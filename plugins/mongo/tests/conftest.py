"""What tests share: servers, alone and replicated, channels on them, processes to kill."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest
from bson.datetime_ms import DatetimeMS

import ojobchannels as oc
from ojobchannels.remote import Operation
from ojobchannels.testing.kit.pytest_fixtures import (
    closing,
    in_background,
    nothing_is_left_running,
    observer,
    start_worker,
)
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.proxy import Proxy
from ojobchannels.testing.servers import MongoServer, mongo_url, or_skip
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.servers import Collections

__all__ = [
    "ServerClock",
    "Storage",
    "in_background",
    "nothing_is_left_running",
    "observer",
    "start_worker",
]

DATABASE = f"ojobtest_{os.getpid()}_{secrets.token_hex(4)}"


class Storage(Subject):
    """One place on a server, on which a test opens any number of handles."""

    def __init__(self, url: str, replicated: bool, name: str | None = None) -> None:
        super().__init__("mongo", {"url": url, "database": DATABASE}, name=name)
        self.replicated = replicated

    @property
    def url(self) -> str:
        """Where the server is."""
        return str(self.options["url"])

    @url.setter
    def url(self, url: str) -> None:
        self.options["url"] = url

    def url_through(self, proxy: Proxy) -> str:
        """The URL by which a client reaches the server over the proxy, and stays there."""
        parts = urlsplit(self.url)
        login, at, _ = parts.netloc.rpartition("@")
        options = [one for one in parts.query.split("&") if one and "replicaSet=" not in one]
        query = "&".join([*options, "directConnection=true"])
        return f"mongodb://{login}{at}{proxy.address[0]}:{proxy.port}{parts.path or '/'}?{query}"

    def client(self) -> pymongo.MongoClient[dict[str, Any]]:
        """The driver's client, to look past the channels."""
        return pymongo.MongoClient(self.url)


def _url_of_one(replica_set: bool) -> Iterator[str]:
    with or_skip(), ExitStack() as running:
        url = running.enter_context(mongo_url(replica_set=replica_set))
        if _is_replicated(url) != replica_set:  # the environment names one of the other kind
            url = running.enter_context(MongoServer(replica_set=replica_set)).url
        yield url
        with pymongo.MongoClient[dict[str, Any]](url) as client:
            client.drop_database(DATABASE)


def _is_replicated(url: str) -> bool:
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        return "setName" in client.admin.command("hello")


@pytest.fixture(scope="session")
def url_alone() -> Iterator[str]:
    """A server alone, for this test process."""
    yield from _url_of_one(replica_set=False)


@pytest.fixture(scope="session")
def url_replicated() -> Iterator[str]:
    """A replica set, for this test process."""
    yield from _url_of_one(replica_set=True)


@pytest.fixture(params=["alone", "replicated"])
def storage(
    request: pytest.FixtureRequest, url_alone: str, url_replicated: str
) -> Iterator[Storage]:
    """A place on a server alone, then one on a replica set."""
    replicated = request.param == "replicated"
    url = url_replicated if replicated else url_alone
    yield from closing(Storage(url, replicated))


@pytest.fixture
def shared_storage(storage: Storage) -> Storage:
    """The same: processes always share it."""
    return storage


@pytest.fixture
def replicated_storage(url_replicated: str) -> Iterator[Storage]:
    """A place on a replica set."""
    yield from closing(Storage(url_replicated, True))


@pytest.fixture
def storage_alone(url_alone: str) -> Iterator[Storage]:
    """A place on a server alone."""
    yield from closing(Storage(url_alone, False))


@pytest.fixture
def channel(storage: Storage) -> oc.Channel:
    """An open, empty channel on each in turn."""
    return storage.open()


@pytest.fixture(params=["alone", "replicated"])
def own_server(request: pytest.FixtureRequest) -> Iterator[MongoServer]:
    """A server that the test may break."""
    with or_skip(), MongoServer(replica_set=request.param == "replicated") as server:
        yield server


@pytest.fixture
def proxy(storage: Storage) -> Iterator[Proxy]:
    """A proxy before the storage's server."""
    parts = urlsplit(storage.url)
    with Proxy((parts.hostname or "", parts.port or 0)) as proxy:
        yield proxy


@pytest.fixture
def behind(storage: Storage, proxy: Proxy) -> Iterator[Storage]:
    """The storage as it is reached through the proxy."""
    url = f"{storage.url_through(proxy)}&heartbeatFrequencyMS=500"
    yield from closing(Storage(url, storage.replicated, storage.name))


class ServerClock:
    """The clock of the server and of the clients, which only the test moves."""

    epoch = "the server's"

    def __init__(self) -> None:
        self._now = 1_900_000_000_000_000

    def now(self) -> int:
        return self._now

    wall = now

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += round(seconds * 1e6)

    def told(self, part: Any) -> Any:
        """The part of a command, with this time in the place of the server's."""
        if part == "$$NOW":
            return {"$literal": DatetimeMS(self._now // 1000)}
        if isinstance(part, list):
            return [self.told(each) for each in part]
        if type(part) is dict:
            return {name: self.told(each) for name, each in part.items()}
        return part


class Telling:
    """A database or collection whose commands tell a clock's time."""

    def __init__(self, thing: object, clock: ServerClock) -> None:
        self._thing = thing
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        found, told = getattr(self._thing, name), self._clock.told
        if not callable(found):
            return found
        return lambda *args, **more: found(*told(list(args)), **told(more))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ServerClock:
    """A server whose time stands still, for locks, until the test moves it."""
    clock, call = ServerClock(), Connection.call

    def call_at_that_time(
        connection: Connection, operation: Operation, work: Any, seconds: float | None = None
    ) -> Any:
        def work_at_that_time(at: Collections, again: bool) -> Any:
            database: Any = Telling(at.database, clock)
            locks: Any = Telling(at.locks, clock)
            return work(at._replace(database=database, locks=locks), again)

        return call(connection, operation, work_at_that_time, seconds)

    monkeypatch.setattr(Connection, "call", call_at_that_time)
    return clock
