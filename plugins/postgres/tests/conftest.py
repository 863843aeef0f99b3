"""Fixtures that the tests share: servers, and storages on them."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import psycopg
import pytest

import ojobchannels as oc
from ojobchannels.steps import Steps
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
from ojobchannels.testing.servers import (
    PgBouncer,
    PostgresServer,
    or_skip,
    postgres_url,
    share_servers,
)
from ojobchannels_postgres.session import Parameter, Row, Session
from ojobchannels_postgres.testing import SharedPostgres

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

# With the URL of the server of all test processes.
SHARED = "OJOBCHANNELS_TESTS_POSTGRES"
SCHEMA = f"ojobtest-{os.getpid()}-{secrets.token_hex(4)}"


class Storage(Subject):
    """A channel on a server, on which a test opens any number of handles."""

    def __init__(self, url: str, **options: str) -> None:
        super().__init__("postgres", {"url": url, "schema": SCHEMA, **options})

    @property
    def url(self) -> str:
        """The URL of the server."""
        return str(self.options["url"])

    @staticmethod
    def until(is_so: Callable[[], bool]) -> None:
        """Wait for at most ten seconds."""
        deadline = time.monotonic() + 10
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    @staticmethod
    def server_of(channel: Any) -> Any:
        """Return the server of an open channel."""
        return channel.hook.get.get_hookimpls()[0].plugin._connection.server

    def has_notice(self, table: str, column: str, channel: oc.Channel) -> bool:
        """Return whether a waiter or a subscription of the channel asks for notifications."""
        condition = f"{column} > clock_timestamp() AND position(%s IN channel) > 0"
        with self.client() as client:
            found = client.execute(
                f'SELECT count(*) FROM "{self.schema}".{table} WHERE {condition}', [channel.name]
            )
            return found.fetchone() != (0,)

    @property
    def schema(self) -> str:
        """The schema."""
        return str(self.options["schema"])

    def client(self) -> psycopg.Connection[Any]:
        """Return a connection of the driver, to see what is stored."""
        return SharedPostgres(self.url).client(self.url)


def pytest_configure(config: pytest.Config) -> None:
    """Let all test processes use one server."""
    share_servers(config, {SHARED: postgres_url}, unless="torture")


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The server that all tests share."""
    shared = os.environ.get(SHARED)
    with or_skip(), nullcontext(shared) if shared else postgres_url() as url:
        yield url
        SharedPostgres(url).clear(SCHEMA)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of the test module's own."""
    with or_skip(), PostgresServer() as server:
        yield server


@pytest.fixture
def admin(server: PostgresServer) -> Any:
    """A connection of the superuser to the module's own server."""
    with psycopg.connect(server.url, autocommit=True) as client:
        yield client


@pytest.fixture(scope="module")
def pooler(server: PostgresServer) -> Iterator[PgBouncer]:
    """PgBouncer in transaction mode before it, with four connections."""
    with or_skip(), PgBouncer(server, size=4) as pooler:
        yield pooler


@pytest.fixture
def pooled(server: PostgresServer, pooler: PgBouncer) -> Iterator[Storage]:
    """A storage through the pooler; notifications come from the server itself."""
    yield from closing(Storage(pooler.url, listen_url=server.url))


@pytest.fixture
def pooled_only(pooler: PgBouncer) -> Iterator[Storage]:
    """A storage through the pooler, by which no notifications arrive."""
    yield from closing(Storage(pooler.url))


@pytest.fixture
def storage(url: str) -> Iterator[Storage]:
    """A storage on the server."""
    yield from closing(Storage(url))


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    with or_skip(), PostgresServer() as server:
        yield server


@pytest.fixture
def ojob_server_clock(monkeypatch: pytest.MonkeyPatch) -> ServerClock:
    """The clock of a server; only the test moves it."""
    clock, running = ServerClock(), Session.running

    def running_at_that_time(
        session: Session, statement: str, parameters: Sequence[Parameter], limit: float
    ) -> Steps[list[Row]]:
        now = f"to_timestamp({clock.now()}::numeric / 1000000)"
        return running(session, statement.replace("clock_timestamp()", now), parameters, limit)

    monkeypatch.setattr(Session, "running", running_at_that_time)
    return clock
