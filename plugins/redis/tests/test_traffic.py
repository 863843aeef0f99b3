"""What is sent: how many requests each operation costs, told by the server itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from ojobchannels.testing.servers import RedisServer

    Background = Callable[..., Future[Any]]

BLOCKING = {"keys", "flushall", "flushdb", "hgetall", "smembers", "sort", "debug", "save"}


class Monitor:
    """Everything that clients ask of a server; what scripts ask is told apart."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._client = redis.Redis.from_url(server.url)
        self._monitor = self._client.monitor().__enter__()  # type: ignore[no-untyped-call]
        self._turn = 0

    def requests(self, call: Callable[[], Any]) -> list[str]:
        """Returns the commands that a call sent, as far as clients did."""
        heard, _ = self.heard(call)
        return heard

    def heard(self, call: Callable[[], Any], about: str = "") -> tuple[list[str], list[str]]:
        """Returns what clients sent, and what scripts did, where the text `about` stands in it."""
        self._turn += 1
        self._server.command("ECHO", f"begin {self._turn}")
        call()
        self._server.command("ECHO", f"end {self._turn}")
        clients: list[str] = []
        scripts: list[str] = []
        while True:
            told = self._monitor.next_command()
            if told["command"] == f"ECHO begin {self._turn}":
                clients, scripts = [], []
            elif told["command"] == f"ECHO end {self._turn}":
                return clients, scripts
            elif about in told["command"]:
                by_script = told["client_type"] == "lua"
                (scripts if by_script else clients).append(told["command"].split()[0].lower())

    def wait_for(self, key: str) -> None:
        """Returns when the server has the key."""
        self._server.wait_until(
            lambda: self._server.command("EXISTS", key) == 1, f"never had {key!r}"
        )

    def close(self) -> None:
        self._monitor.__exit__(None, None, None)
        self._client.close()


@pytest.fixture
def monitor(server: RedisServer) -> Iterator[Monitor]:
    """Listens to the test's own server."""
    found = Monitor(server)
    yield found
    found.close()


@pytest.fixture
def busy(server: RedisServer) -> Iterator[oc.Channel]:
    """A channel on it that has been used: it is connected, and its scripts are known."""
    with oc.open_channel("orders", server.url) as channel:
        for _ in range(2):
            channel.set("key", 1)
            channel.set("key", 1, fence=1)
            channel.set_all({"a": 1, "b": 2, "c": 3})
            channel.get_all()
            channel.get_set(1, "key", 1)
            channel.pop()
            channel.shift()
            channel.unset("key")
            channel.unset_all(["a"])
            channel.destroy()
            lease = channel.lock("nightly", ttl=30)
            lease.extend()
            channel.lock_info("nightly")
            channel.lease_from(lease.to_document()).release()
            channel.force_unlock("nightly")
        yield channel


def test_each_operation_costs_one_request(busy: oc.Channel, monitor: Monitor) -> None:
    """Two for a compare-and-set with a match; and those that list page by page."""
    leases: list[oc.Lease] = []
    script, once = (
        ["evalsha"],
        {
            "set": lambda: busy.set("key", 1),
            "fenced set": lambda: busy.set("key", 1, fence=5),
            "set_all": lambda: busy.set_all({"a": 1, "b": 2, "c": 3}),
            "get_all": lambda: busy.get_all(),
            "get_keys": lambda: busy.get_keys(),
            "items": lambda: list(busy.items(limit=2)),
            "add": lambda: busy.add("new", 1),
            "pop": lambda: busy.pop(),
            "shift": lambda: busy.shift(),
            "unset": lambda: busy.unset("key"),
            "unset_all": lambda: busy.unset_all(["a", "b"]),
            "destroy": lambda: busy.destroy(),
            "lock": lambda: leases.append(busy.lock("nightly", ttl=30)),
            "refused lock": lambda: busy.try_lock("nightly", ttl=30),
            "extend": lambda: leases[0].extend(),
            "lock_info": lambda: busy.lock_info("nightly"),
            "unlock": lambda: leases[0].release(),
        },
    )
    asked = {name: monitor.requests(call) for name, call in once.items()}
    assert asked == dict.fromkeys(once, script)
    assert monitor.requests(lambda: busy.get("key")) == ["hget"]
    assert monitor.requests(lambda: busy.size()) == ["hlen"]
    busy.set("key", 1)
    assert monitor.requests(lambda: busy.get_set(1, "key", 2)) == ["hget", "evalsha"]


def test_a_lock_that_is_waited_for_costs_one_request_more(
    busy: oc.Channel, monitor: Monitor, in_background: Background
) -> None:
    """The refused one gives the place in the queue; so it is once the process listens."""
    kept = busy.lock("kept", ttl=60)
    listening = in_background(busy.lock, "kept", ttl=30, wait=None)
    monitor.wait_for("ojob:{orders:kept}:queue")

    def pass_on() -> None:
        lease = busy.lock("nightly", ttl=30)
        waiting = in_background(busy.lock, "nightly", ttl=30, wait=None)
        monitor.wait_for("ojob:{orders:nightly}:queue")
        lease.release()
        waiting.result(30).release()

    costs: list[int] = []
    while 5 not in costs:  # who waits for half a second looks once more
        assert len(costs) < 10
        clients, _ = monitor.heard(pass_on, "orders:nightly")
        costs.append(clients.count("evalsha"))
    assert min(costs) == 5
    kept.release()
    listening.result(30).release()


def test_many_leases_are_extended_in_one_go(busy: oc.Channel, monitor: Monitor) -> None:
    """One round trip of one request each; the proxy of the fault tests sees a single burst."""
    leases = [busy.lock(f"lock {n}", ttl=30) for n in range(50)]
    requests = [oc.hookspecs.LeaseRequest(one.name, one.token, 60_000) for one in leases]
    began = time.monotonic()
    sent = monitor.requests(lambda: busy.hook.extend_all(leases=requests, timeout=5000))
    assert sent == ["evalsha"] * 50
    assert time.monotonic() - began < 5
    sent = monitor.requests(busy.locks)
    assert sent == ["scan"] + ["evalsha"] * 51  # "nightly" is free, and its fence is kept


def test_no_command_is_used_that_blocks_a_server(busy: oc.Channel, monitor: Monitor) -> None:
    """Neither by us nor within a script."""

    def use_all() -> None:
        busy.set_all((n, n) for n in range(3000))
        busy.get_all()
        list(busy.items())
        busy.get_keys()
        with busy.lock("nightly", ttl=30):
            busy.locks()
        busy.destroy()

    clients, scripts = monitor.heard(use_all)
    assert not BLOCKING & {*clients, *scripts}


def test_a_waiter_asks_little_while_nothing_happens(busy: oc.Channel, monitor: Monitor) -> None:
    """It subscribes, looks, and then listens: a look a second, for what may have been missed."""
    with busy.lock("nightly", ttl=30):

        def wait() -> None:
            with pytest.raises(oc.LockBusy):
                busy.lock("nightly", ttl=30, wait=2.5)

        sent = monitor.requests(wait)
    assert sent.count("subscribe") == 1
    assert sent.count("evalsha") <= 9
