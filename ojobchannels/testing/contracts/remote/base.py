"""The fixtures of the contracts for backends on a server."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Final

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import StaleFence
from ojobchannels.hookspecs import LeaseRequest
from ojobchannels.testing.contracts.base import Contract
from ojobchannels.testing.fixtures.shared_servers import SharedServer
from ojobchannels.testing.fixtures.storage import STEM
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.proxy import Proxy

PATIENT: Final = 30.0
"""Timeout in seconds of a channel whose calls are to outlive a fault."""
IMPATIENT: Final = 0.6
"""Timeout in seconds of a channel whose calls are to end during a fault."""
SLACK: Final = 5.0
"""Seconds that a busy machine may take longer."""

_PARTS: Final = pytest.StashKey[dict[str, str]]()

Operation = Callable[[Channel], Any]

READS: Final[Mapping[str, Operation]] = {
    "get": lambda channel: channel.get("key"),
    "get_all": lambda channel: channel.get_all(),
    "items": lambda channel: list(channel.items()),
    "get_keys": lambda channel: channel.get_keys(),
    "size": lambda channel: channel.size(),
    "lock_info": lambda channel: channel.lock_info("nightly"),
    "locks": lambda channel: channel.locks(),
}
REPEATABLE: Final[dict[str, Operation]] = {
    **READS,
    "set": lambda channel: channel.set("key", 2),
    "fenced set": lambda channel: channel.set("key", 2, fence=7),
    "destroy": lambda channel: channel.destroy(),
    "lock": lambda channel: channel.lock("nightly", ttl=30).release(),
}
ONCE: Final[Mapping[str, Operation]] = {
    "pop": lambda channel: channel.pop(),
    "shift": lambda channel: channel.shift(),
    "add": lambda channel: channel.add("new", 1),
    "get_set": lambda channel: channel.get_set(1, "key", 2),
}


def put_two(channel: Channel) -> Channel:
    """Store the two entries that the operations expect, and lock "held"; return the channel."""
    channel.set("key", 1)
    channel.set("end", "last")
    channel.lock("held", ttl=60)
    return channel


def use_everything(channel: Channel) -> None:
    """Call every operation once or more, and check its result."""
    channel.set({"id": 1}, {"n": 1})
    channel.set_all({"a": 1, "b": 2})
    assert channel.get({"id": 1.0}) == {"n": 1}
    assert channel.get_all() == [{"n": 1}, 1, 2]
    assert channel.get_keys() == [{"id": 1}, "a", "b"]
    assert [key for key, _ in channel.items(newest_first=True)] == ["b", "a", {"id": 1}]
    assert channel.get_set({"n": 1}, {"id": 1}, {"n": 2}) == {"n": 1}
    assert (channel.add("a", 5), channel.add("c", 5)) == (False, True)
    assert (channel.pop(), channel.shift(), channel.size()) == (5, 1, 2)
    assert (channel.unset("b"), channel.unset_all(["b", {"id": 1}])) == (True, 1)
    leases = [channel.lock(f"lock {n}", ttl=30) for n in range(8)]
    assert sorted(info.name for info in channel.locks()) == [lease.name for lease in leases]
    assert channel.lock_info("lock 0") in channel.locks()
    requests = [LeaseRequest(lease.name, lease.token, 60_000) for lease in leases]
    assert channel.hook.extend_all(leases=requests, timeout=3000) == [True] * 8
    leases[0].extend(60)
    channel.set("guarded", 1, fence=leases[0].fence)
    with pytest.raises(StaleFence):
        channel.set("guarded", 2, fence=leases[0].fence - 1)
    adopted = channel.lease_from(leases[1].to_document())
    assert adopted.fence == leases[1].fence
    waiter = threading.Timer(0.1, leases[2].release)
    waiter.start()
    with channel.lock("lock 2", ttl=30, wait=10) as lease:
        assert lease.fence > leases[2].fence
    waiter.join()
    assert channel.force_unlock("lock 3") is not None
    adopted.release()
    for number in (0, 4, 5, 6, 7):
        leases[number].release()
    assert channel.locks() == []
    channel.destroy()
    assert channel.size() == 0


class NetworkContract(Contract):
    """Base of the contracts that put a proxy before a server; a subclass gives `ojob_server`.

    Attributes:
        repeatable: The operations that are repeated when their reply was lost.
    """

    repeatable: ClassVar[Mapping[str, Operation]] = REPEATABLE

    @pytest.fixture
    def server_part(self, request: pytest.FixtureRequest, ojob_server: SharedServer) -> str:
        """The token of a part of the server for this session, which is removed at its end."""
        parts = request.session.stash.setdefault(_PARTS, {})
        if ojob_server.url not in parts:
            parts[ojob_server.url] = STEM + secrets.token_hex(6)
            request.session.addfinalizer(partial(ojob_server.clear, parts[ojob_server.url]))
        return parts[ojob_server.url]

    @pytest.fixture
    def ojob_subject(self, ojob_server: SharedServer, server_part: str) -> Subject:
        """A channel of its own on the server."""
        return Subject(ojob_server.type, {"url": ojob_server.url_of(server_part)})

    @pytest.fixture
    def proxy(self, ojob_server: SharedServer) -> Iterator[Proxy]:
        """A proxy before the server, which lets everything pass until a fault is injected."""
        ojob_server.prepare()
        with Proxy(ojob_server.address) as proxy:
            yield proxy

    @pytest.fixture
    def behind(
        self, ojob_server: SharedServer, server_part: str, subject: Subject, proxy: Proxy
    ) -> Iterator[Subject]:
        """The same storage, reached through the proxy."""
        url = ojob_server.url_of(server_part, proxy.address)
        storage = type(subject)(subject.type, {"url": url}, name=subject.name)
        yield storage
        proxy.heal()
        for channel in storage.opened:
            channel.close()

    @pytest.fixture
    def through(self, subject: Subject, behind: Subject) -> Channel:
        """The channel with two entries through the proxy; its calls outlive faults."""
        put_two(subject.open())
        channel = behind.open(timeout=PATIENT)
        channel.size()
        return channel

    @pytest.fixture
    def impatient(self, through: Channel, behind: Subject) -> Channel:
        """The same; its calls end during faults."""
        channel = behind.open(through.name, timeout=IMPATIENT)
        channel.size()
        return channel

    @pytest.fixture
    def open_each(
        self, ojob_server: SharedServer, subject: Subject, behind: Subject
    ) -> Callable[[float], dict[str, Channel]]:
        """Opens a channel with two entries for each operation, each with connections of its own."""

        def open_with(timeout: float) -> dict[str, Channel]:
            opened = {}
            for number, operation in enumerate([*self.repeatable, *ONCE]):
                name = f"{subject.name}-{number:02}"
                put_two(subject.open(name)).force_unlock("held")
                url = ojob_server.own_client(behind.options["url"], number)
                own = timeout + number / 1000  # settings of its own, and so connections
                behind.open(name, url=url, timeout=PATIENT).size()
                opened[operation] = behind.open(name, url=url, timeout=own)
                opened[operation].size()
            return opened

        return open_with


class OwnServerContract(Contract):
    """Base of the contracts that stop a server; a subclass gives `ojob_own_server`."""

    @pytest.fixture
    def own(self, ojob_own_server: SharedServer) -> Iterator[Subject]:
        """A channel on a server of the test's own."""
        storage = Subject(ojob_own_server.type, {"url": ojob_own_server.url})
        yield storage
        ojob_own_server.restore()
        for channel in storage.opened:
            channel.close()
