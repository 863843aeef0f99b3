"""Real servers for tests, started on free ports of the loopback address and ended with the tests.

Tests that work with any server use `redis_url()`, `mongo_url()`, `postgres_url()` or
`ignite_url()`: the server of the environment variable OJOBCHANNELS_TEST_REDIS (_MONGO, _POSTGRES,
_IGNITE), or else a new one. Tests that break servers start their own: `RedisServer`,
`RedisSentinel`, `RedisCluster`, `MongoServer`, `PostgresServer`, `IgniteServer`, `IgniteCluster`.
Programs are searched in installed wheels, then on PATH.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ojobchannels.testing.servers.certificates import Certificates
from ojobchannels.testing.servers.ignite import FLAVOURS as IGNITE_FLAVOURS
from ojobchannels.testing.servers.ignite import IgniteCluster, IgniteServer, ignite_url
from ojobchannels.testing.servers.mongo import FLAVOURS as MONGO_FLAVOURS
from ojobchannels.testing.servers.mongo import MongoServer, mongo_url
from ojobchannels.testing.servers.postgres import FLAVOURS as POSTGRES_FLAVOURS
from ojobchannels.testing.servers.postgres import PgBouncer, PostgresServer, postgres_url
from ojobchannels.testing.servers.process import Server, ServerFailed, ServerGroup
from ojobchannels.testing.servers.programs import Flavour, ServerMissing, installed
from ojobchannels.testing.servers.redis import FLAVOURS as REDIS_FLAVOURS
from ojobchannels.testing.servers.redis import RedisServer, redis_url
from ojobchannels.testing.servers.redis_groups import RedisCluster, RedisGroup, RedisSentinel
from ojobchannels.testing.servers.sharing import share_servers

__all__ = [
    "IGNITE_FLAVOURS",
    "MONGO_FLAVOURS",
    "POSTGRES_FLAVOURS",
    "REDIS_FLAVOURS",
    "REQUIRE",
    "Certificates",
    "Flavour",
    "IgniteCluster",
    "IgniteServer",
    "MongoServer",
    "PgBouncer",
    "PostgresServer",
    "RedisCluster",
    "RedisGroup",
    "RedisSentinel",
    "RedisServer",
    "Server",
    "ServerFailed",
    "ServerGroup",
    "ServerMissing",
    "ignite_url",
    "installed",
    "mongo_url",
    "or_skip",
    "postgres_url",
    "redis_url",
    "share_servers",
]

REQUIRE: Final = "OJOBCHANNELS_REQUIRE_SERVERS"


@contextmanager
def or_skip() -> Iterator[None]:
    """Skip the test if a server is missing, with the command that installs it as the reason.

    With the environment variable OJOBCHANNELS_REQUIRE_SERVERS the test fails instead.
    """
    import pytest  # servers can be used without pytest

    try:
        yield
    except ServerMissing as missing:
        if os.environ.get(REQUIRE):
            raise
        pytest.skip(str(missing))
