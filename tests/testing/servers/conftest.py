"""A Redis server, for tests of servers and proxies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ojobchannels.testing import servers
from ojobchannels.testing.servers import RedisServer


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A running Redis server."""
    with servers.or_skip():
        started = RedisServer().start()
    yield started
    started.stop()
