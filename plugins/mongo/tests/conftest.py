"""Fixtures that the tests share: servers, standalone and replicated, and storages on them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson.datetime_ms import DatetimeMS

from ojobchannels.remote import Operation
from ojobchannels.testing.contracts.many import ManyContract
from ojobchannels.testing.contracts.remote.clock import ServerClock
from ojobchannels.testing.kit.pytest_fixtures import (
    channel,
    closing,
    in_background,
    nothing_is_left_running,
    observer,
    shared_storage,
    start_worker,
)
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.servers import MongoServer, mongo_url, or_skip, share_servers
from ojobchannels.testing.servers.mongo import ENVIRONMENT
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.servers import Collections

__all__ = [
    "ServerClock",
    "Storage",
    "channel",
    "in_background",
    "nothing_is_left_running",
    "observer",
    "shared_storage",
    "start_worker",
]

# By whether it is a replica set: the variable with the URL of the server of all test processes.
SHARED = {False: "OJOBCHANNELS_TESTS_STANDALONE", True: "OJOBCHANNELS_TESTS_REPLICATED"}
DATABASE = f"ojobtest_{os.getpid()}_{secrets.token_hex(4)}"


class Storage(Subject):
    """A channel on a server, on which a test opens any number of handles."""

    def __init__(self, url: str, replicated: bool, name: str | None = None) -> None:
        super().__init__("mongo", {"url": url, "database": DATABASE}, name=name)
        self.replicated = replicated

    @property
    def url(self) -> str:
        """The URL of the server."""
        return str(self.options["url"])

    def client(self) -> pymongo.MongoClient[dict[str, Any]]:
        """Return a client of the driver, to see what is stored."""
        return pymongo.MongoClient(self.url)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the promises of `ManyContract`, which take long on this server, to `thorough`."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.name in vars(ManyContract):
            item.add_marker(pytest.mark.thorough)


def pytest_configure(config: pytest.Config) -> None:
    """Let all test processes use one server of each kind."""
    servers = {SHARED[each]: partial(_url_of_one, each) for each in (False, True)}
    share_servers(config, servers, unless="torture")


@contextmanager
def _url_of_one(replica_set: bool) -> Iterator[str]:
    with ExitStack() as running:
        url = running.enter_context(mongo_url(replica_set=replica_set))
        if _is_replicated(url) != replica_set:  # the environment names a server of the other kind
            url = running.enter_context(MongoServer(replica_set=replica_set)).url
        yield url


def _url_for_this_process(replica_set: bool) -> Iterator[str]:
    with or_skip(), ExitStack() as running:
        shared = os.environ.get(SHARED[replica_set])
        url = shared or running.enter_context(_url_of_one(replica_set))
        yield url
        if ENVIRONMENT in os.environ:  # the server outlives the tests
            with pymongo.MongoClient[dict[str, Any]](url) as client:
                client.drop_database(DATABASE)


def _is_replicated(url: str) -> bool:
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        return "setName" in client.admin.command("hello")


@pytest.fixture(scope="session")
def url_alone() -> Iterator[str]:
    """A standalone server, on which this test process has a database of its own."""
    yield from _url_for_this_process(replica_set=False)


@pytest.fixture(scope="session")
def url_replicated() -> Iterator[str]:
    """A replica set, on which this test process has a database of its own."""
    yield from _url_for_this_process(replica_set=True)


@pytest.fixture(params=["standalone", "replicated"])
def storage(
    request: pytest.FixtureRequest, url_alone: str, url_replicated: str
) -> Iterator[Storage]:
    """A storage on a standalone server, then one on a replica set."""
    replicated = request.param == "replicated"
    url = url_replicated if replicated else url_alone
    yield from closing(Storage(url, replicated))


@pytest.fixture
def replicated_storage(url_replicated: str) -> Iterator[Storage]:
    """A storage on a replica set."""
    yield from closing(Storage(url_replicated, True))


@pytest.fixture
def storage_alone(url_alone: str) -> Iterator[Storage]:
    """A storage on a standalone server."""
    yield from closing(Storage(url_alone, False))


@pytest.fixture(params=["standalone", "replicated"])
def own_server(request: pytest.FixtureRequest) -> Iterator[MongoServer]:
    """A server of each kind, which the test may stop."""
    with or_skip(), MongoServer(replica_set=request.param == "replicated") as server:
        yield server


class _WithClock:
    """A database or collection in whose commands a clock replaces that of the server."""

    def __init__(self, original: object, clock: ServerClock) -> None:
        self._original = original
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        attribute, timed = getattr(self._original, name), self._timed
        if not callable(attribute):
            return attribute
        return lambda *args, **more: attribute(*timed(list(args)), **timed(more))

    def _timed(self, part: Any) -> Any:
        if part == "$$NOW":
            return {"$literal": DatetimeMS(self._clock.now() // 1000)}
        if isinstance(part, list):
            return [self._timed(each) for each in part]
        if type(part) is dict:
            return {name: self._timed(each) for name, each in part.items()}
        return part


@pytest.fixture
def ojob_server_clock(monkeypatch: pytest.MonkeyPatch) -> ServerClock:
    """The clock of a server, for locks; only the test moves it."""
    clock, calling = ServerClock(), Connection.calling

    def calling_at_that_time(
        connection: Connection, operation: Operation, work: Any, seconds: float | None = None
    ) -> Any:
        def timed(at: Collections, again: bool) -> Any:
            database: Any = _WithClock(at.database, clock)
            locks: Any = _WithClock(at.locks, clock)
            return work(at._replace(database=database, locks=locks), again)

        return calling(connection, operation, timed, seconds)

    monkeypatch.setattr(Connection, "calling", calling_at_that_time)
    return clock
