"""How many round trips an operation takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import LockBusy
from ojobchannels.testing.contracts.base import timed
from ojobchannels.testing.contracts.remote.base import NetworkContract
from ojobchannels.testing.fixtures.shared_servers import SharedServer
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.proxy import Proxy

ROUND_TRIPS: Final[Mapping[str, tuple[Callable[[Channel], Any], int]]] = {
    "get": (lambda channel: channel.get("key"), 1),
    "set": (lambda channel: channel.set("key", 1), 1),
    "fenced set": (lambda channel: channel.set("key", 1, fence=1), 1),
    "unset": (lambda channel: channel.unset("key"), 1),
    "fenced unset": (lambda channel: channel.unset("key", fence=1), 1),
    "add": (lambda channel: channel.add("new", 1), 1),
    "get_set": (lambda channel: channel.get_set(1, "key", 2), 2),
    "pop": (lambda channel: channel.pop(), 1),
    "shift": (lambda channel: channel.shift(), 1),
    "size": (lambda channel: channel.size(), 1),
    "get_keys": (lambda channel: channel.get_keys(), 1),
    "lock and unlock": (lambda channel: channel.lock("nightly", ttl=30).release(), 2),
    "refused lock": (lambda channel: channel.try_lock("held", ttl=30), 1),
    "lock_info": (lambda channel: channel.lock_info("held"), 1),
    "force_unlock": (lambda channel: channel.force_unlock("held"), 1),
}


@timed
class TrafficContract(NetworkContract):
    """What operations and waiters cost.

    Attributes:
        waiter_requests: Upper bound of the requests of a waiter within two seconds.
        round_trips: How many an operation takes, where it is not as many as in `ROUND_TRIPS`.
    """

    waiter_requests: ClassVar[int] = 35
    round_trips: ClassVar[Mapping[str, int]] = {}

    @pytest.fixture
    def counted(self, ojob_server: SharedServer, subject: Subject, behind: Subject) -> Channel:
        """A channel through the proxy, connected, on which only calls send requests."""
        direct = subject.open()
        direct.set("key", 1)
        direct.lock("held", ttl=60)
        direct.size()  # the first one of all may create what later ones read
        behind.options["url"] = ojob_server.quiet(behind.options["url"])
        channel = behind.open()
        channel.get("key")
        return channel

    @pytest.mark.parametrize("name", ROUND_TRIPS)
    def test_an_operation_takes_one_round_trip(
        self, counted: Channel, proxy: Proxy, name: str
    ) -> None:
        """Lock takes one and unlock another; compare and set with a match reads first."""
        operation, round_trips = ROUND_TRIPS[name]
        before = proxy.counters.requests
        operation(counted)
        taken = proxy.counters.requests - before
        assert taken == self.round_trips.get(name, round_trips)

    def test_an_extend_takes_one_round_trip(self, counted: Channel, proxy: Proxy) -> None:
        """As often as a keep-alive sends it."""
        with counted.lock("nightly", ttl=30) as lease:
            before = proxy.counters.requests
            lease.extend()
            assert proxy.counters.requests - before == self.round_trips.get("extend", 1)

    def test_a_waiter_sends_few_requests_while_nothing_happens(
        self, counted: Channel, subject: Subject, proxy: Proxy
    ) -> None:
        """It is woken, or looks at the lock at intervals."""
        with subject.open().lock("nightly", ttl=30):
            before = proxy.counters.requests
            with pytest.raises(LockBusy):
                counted.lock("nightly", ttl=30, wait=2)
            assert proxy.counters.requests - before < self.waiter_requests
