"""The kit in an event loop, on a service of Sentinels and in a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.testing import AsyncContract, Subject
from ojobchannels.testing.contracts.remote.cancelled import CancelledTaskContract
from ojobchannels.testing.contracts.remote.in_loop import LoopSubject, OperationContracts
from ojobchannels.testing.kit.pytest_fixtures import closing
from ojobchannels.testing.servers import RedisCluster, RedisGroup, RedisSentinel, or_skip
from ojobchannels_redis.testing import SharedRedis

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def service() -> Iterator[RedisSentinel]:
    """A primary and its replica, behind a Sentinel."""
    with or_skip(), RedisSentinel() as group:
        yield group


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """Three nodes."""
    with or_skip(), RedisCluster() as group:
        yield group


@pytest.fixture(scope="module", params=["service", "cluster"])
def group(request: pytest.FixtureRequest) -> RedisGroup:
    """Either of them."""
    group: RedisGroup = request.getfixturevalue(request.param)
    return group


class TestTasks(AsyncContract):
    """What tasks are promised."""

    @pytest.fixture
    def ojob_subject(self, group: RedisGroup) -> Subject:
        return Subject("redis", group.options)


class TestOperations(OperationContracts):
    """What the kit demands of documents and locks."""

    @pytest.fixture
    def ojob_subject(self, group: RedisGroup) -> Subject:
        return LoopSubject("redis", group.options)


class SharedService(SharedRedis):
    """A service whose primary clients reach through a proxy, if there is one.

    The Sentinel watches the address of the proxy as another service, which it never fails over.
    """

    def __init__(self, group: RedisSentinel) -> None:
        self._group = group
        super().__init__(self._url_of(group.service))

    @property
    def address(self) -> tuple[str, int]:
        return self._group.master.address

    def url_of(self, token: str, address: tuple[str, int] | None = None) -> str:
        service = self._group.service
        if address is not None:
            host, port = address[0], str(address[1])
            service = f"port-{port}"
            sentinel = self._group.sentinel
            sentinel.command("SENTINEL", "MONITOR", service, host, port, "1")
            sentinel.command("SENTINEL", "SET", service, "down-after-milliseconds", "3600000")
        return f"{self._url_of(service)}&prefix={token}"

    def clear(self, token: str) -> None:
        pass  # the servers are gone by then

    def prepare(self) -> None:
        SharedRedis(self._group.master.url).prepare()

    def _url_of(self, service: str) -> str:
        return f"redis://?sentinels=127.0.0.1:{self._group.sentinel.port}&service={service}"


class TestCancelledTasksOnService(CancelledTaskContract):
    """Cancelled tasks leave nothing on the primary, in the pool, or for another request."""

    @pytest.fixture
    def ojob_server(self, service: RedisSentinel) -> SharedRedis:
        return SharedService(service)


class TestCancelledTasksInCluster(CancelledTaskContract):
    """Likewise on the nodes; clients would bypass a proxy before one of them."""

    @pytest.fixture
    def ojob_subject(self, cluster: RedisCluster) -> Subject:
        return Subject("redis", cluster.options)

    @pytest.fixture
    def behind(self, subject: Subject) -> Iterator[Subject]:
        yield from closing(Subject("redis", subject.options, name=subject.name))

    @pytest.fixture
    def proxy(self) -> None:
        pytest.skip("its clients would bypass a proxy")
