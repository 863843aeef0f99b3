"""What the tests share: a real server, storages on it, and a clock of the server to turn.

The fixtures that start processes and threads are those of the core's own tests, in this checkout.
"""

from __future__ import annotations

import importlib.util
import json
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import redis

import ojobchannels as oc
from ojobchannels.plugins import checked_options, registry
from ojobchannels.testing.proxy import Proxy
from ojobchannels.testing.servers import RedisServer, or_skip, redis_url
from ojobchannels_redis import scripts
from ojobchannels_redis.options import settle
from ojobchannels_redis.scripts import Script

CORE_TESTS = Path(__file__).parents[3] / "tests"


def load_core(name: str) -> ModuleType:
    """Imports a module of the core's tests."""
    known = sys.modules.get(f"core_{name}")
    if known is not None:
        return known
    specification = importlib.util.spec_from_file_location(
        f"core_{name}", CORE_TESTS / f"{name}.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[f"core_{name}"] = module
    specification.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    Storage = Any
else:
    _core = load_core("conftest")
    Storage = _core.Storage
    announcer = _core.announcer
    in_background = _core.in_background
    nothing_is_left_running = _core.nothing_is_left_running
    start_worker = _core.start_worker


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
def storage(url: str) -> Iterator[Storage]:
    """A channel on the server that no other test uses."""
    yield from lend({"url": url})


@pytest.fixture
def shared_storage(storage: Storage) -> Storage:
    """The same: processes can share it."""
    return storage


@pytest.fixture
def channel(storage: Storage) -> oc.Channel:
    """An open, empty channel."""
    opened: oc.Channel = storage.open()
    return opened


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


def lend(args: dict[str, Any]) -> Iterator[Storage]:
    """Lends a storage of these options; what is opened on it is closed in the end."""
    lent = Storage("redis", f"test-{secrets.token_hex(6)}", args)
    yield lent
    for opened in lent.opened:
        opened.close()


def address_of(url: str) -> tuple[str, int]:
    """Returns host and port of a URL."""
    settings, _ = settle(checked_options(registry().find("redis"), {"url": url}))
    return settings.addresses[0]
