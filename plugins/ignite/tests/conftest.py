"""Fixtures that the tests share: real nodes, storages on them, and a clock to move."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

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
from ojobchannels.testing.servers import IgniteServer, ignite_url, or_skip, share_servers
from ojobchannels_ignite.testing import SharedIgnite

__all__ = [
    "ServerClock",
    "channel",
    "in_background",
    "nothing_is_left_running",
    "observer",
    "shared_storage",
    "start_worker",
]

# With the URL of the node of all test processes.
SHARED = "OJOBCHANNELS_TESTS_IGNITE"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the promises of `ManyContract`, which take long on this server, to `thorough`."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.name in vars(ManyContract):
            item.add_marker(pytest.mark.thorough)


def pytest_configure(config: pytest.Config) -> None:
    """Start a node once for all processes of pytest-xdist."""
    share_servers(config, {SHARED: ignite_url}, unless="torture")


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """A node that any number of tests use at once."""
    shared = os.environ.get(SHARED)
    with or_skip(), nullcontext(shared) if shared else ignite_url() as url:
        yield url


@pytest.fixture(scope="session")
def cache_url(url: str) -> Iterator[str]:
    """A cache of this session, in which each test has channels of its own."""
    token = f"ojobtest-{secrets.token_hex(6)}"
    server = SharedIgnite(url)
    yield server.url_of(token)
    server.clear(token)


@pytest.fixture
def storage(cache_url: str) -> Iterator[Subject]:
    """A channel of its own, on which a test opens any number of handles."""
    yield from closing(Subject("ignite", {"url": cache_url}))


@pytest.fixture
def server() -> Iterator[IgniteServer]:
    """A node of the test's own, which it may stop; its data survives."""
    with or_skip(), IgniteServer(persistent=True) as running:
        yield running
