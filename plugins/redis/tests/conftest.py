"""What the tests share: a real server, storages on it, and a clock of the server to turn."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import redis

import ojobchannels as oc
from ojobchannels.plugins import checked_options, registry
from ojobchannels.testing.kit.pytest_fixtures import (
    closing,
    in_background,
    nothing_is_left_running,
    observer,
    start_worker,
)
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.proxy import Proxy
from ojobchannels.testing.servers import RedisServer, or_skip, redis_url
from ojobchannels_redis import scripts
from ojobchannels_redis.options import settings_of
from ojobchannels_redis.scripts import Script

__all__ = [
    "ServerClock",
    "in_background",
    "nothing_is_left_running",
    "observer",
    "start_worker",
]


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """A server that any number of tests may use at once, each on channels of its own."""
    with or_skip(), redis_url() as found:
        yield found


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of the test's own, to break."""
    with or_skip(), RedisServer() as running:
        yield running


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    """Stands before the server, and lets everything pass until it is told otherwise."""
    with Proxy(address_of(url)) as running:
        yield running


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    """The driver's own client, to look at what is stored."""
    with redis.Redis.from_url(url) as found:
        yield found


@pytest.fixture
def storage(url: str) -> Iterator[Subject]:
    """A channel on the server that no other test uses."""
    yield from lend({"url": url})


@pytest.fixture
def shared_storage(storage: Subject) -> Subject:
    """The same: processes can share it."""
    return storage


@pytest.fixture
def channel(storage: Subject) -> oc.Channel:
    """An open, empty channel."""
    return storage.open()


class ServerClock:
    """The clock of the server and of the clients, which only the test moves.

    The scripts read it from a key in the place of TIME.
    """

    epoch = "the server's"

    def __init__(self, client: redis.Redis, key: str) -> None:
        self._client = client
        self._key = key
        self._now = 1_900_000_000_000_000
        self.advance(0)

    def now(self) -> int:
        return self._now

    wall = now

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += round(seconds * 1e6)
        self._client.set(self._key, json.dumps(self._now))


@pytest.fixture
def clock(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerClock]:
    """A server whose time stands still until the test moves it."""
    key = f"clock-{secrets.token_hex(6)}"
    ours = f"{{0, tonumber(redis.call('GET', '{key}'))}}"
    for name in "LOCK UNLOCK EXTEND ADOPT LOOK FORCE_UNLOCK".split():
        text = getattr(scripts, name).text
        assert "redis.call('TIME')" in text
        monkeypatch.setattr(scripts, name, Script(text.replace("redis.call('TIME')", ours)))
    yield ServerClock(client, key)
    client.delete(key)


def lend(args: dict[str, Any]) -> Iterator[Subject]:
    """Lends a storage of these options; what is opened on it is closed in the end."""
    yield from closing(Subject("redis", args))


def address_of(url: str) -> tuple[str, int]:
    """Returns host and port of a URL."""
    settings, _ = settings_of(checked_options(registry().find("redis"), {"url": url}))
    return settings.addresses[0]
