"""Fixtures that the tests share: real servers, storages on them, and a server clock to move."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
import redis

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
from ojobchannels.testing.proxy import Proxy
from ojobchannels.testing.servers import RedisServer, or_skip, redis_url
from ojobchannels_redis import scripts
from ojobchannels_redis.scripts import Script
from ojobchannels_redis.testing import SharedRedis

__all__ = [
    "ServerClock",
    "channel",
    "in_background",
    "nothing_is_left_running",
    "observer",
    "shared_storage",
    "start_worker",
]


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """A server that any number of tests use at once, each on channels of its own."""
    with or_skip(), redis_url() as url:
        yield url


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of the test's own, which it may stop."""
    with or_skip(), RedisServer() as running:
        yield running


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    """A proxy before the server, which lets everything pass until a fault is injected."""
    with Proxy(SharedRedis(url).address) as running:
        yield running


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    """The driver's own client, to look at what is stored."""
    with redis.Redis.from_url(url) as client:
        yield client


@pytest.fixture
def storage(url: str) -> Iterator[Subject]:
    """A channel on the server that no other test uses."""
    yield from closing(Subject("redis", {"url": url}))


@pytest.fixture
def ojob_server_clock(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServerClock]:
    """The clock of a server whose scripts read a key in place of TIME; only the test moves it."""
    key = f"clock-{secrets.token_hex(6)}"
    ours = f"{{0, tonumber(redis.call('GET', '{key}'))}}"
    for name in "LOCK UNLOCK EXTEND ADOPT LOOK FORCE_UNLOCK".split():
        text = getattr(scripts, name).text
        assert "redis.call('TIME')" in text
        monkeypatch.setattr(scripts, name, Script(text.replace("redis.call('TIME')", ours)))
    yield ServerClock(lambda now: client.set(key, now))
    client.delete(key)
