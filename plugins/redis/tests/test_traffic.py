"""The requests that waiters, a keep-alive, idle workers and large operations send."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

import ojobchannels as oc
from ojobchannels.manager.durable_launches.rests import Rests
from ojobchannels_redis.testing import SharedRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from ojobchannels.testing.kit.subject import Subject
    from ojobchannels.testing.servers import RedisServer

    Background = Callable[..., Future[Any]]

SHORTEST = 1.0
LONG_ENOUGH = 60.0
BLOCKING = {"keys", "flushall", "flushdb", "hgetall", "smembers", "sort", "debug", "save"}


class Monitor:
    """All commands that a server receives; those of scripts are kept apart."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._client = redis.Redis.from_url(server.url)
        self._monitor = self._client.monitor().__enter__()  # type: ignore[no-untyped-call]  # no types here
        self._turn = 0

    def requests(self, call: Callable[[], Any]) -> list[str]:
        """Return the commands that clients sent during a call."""
        return self.during(call)[0]

    def during(self, call: Callable[[], Any], about: str = "") -> tuple[list[str], list[str]]:
        """Return the commands of clients and those of scripts that contain the text `about`."""
        self._turn += 1
        self._server.command("ECHO", f"begin {self._turn}")
        call()
        self._server.command("ECHO", f"end {self._turn}")
        clients: list[str] = []
        scripts: list[str] = []
        while True:
            entry = self._monitor.next_command()
            if entry["command"] == f"ECHO begin {self._turn}":
                clients, scripts = [], []
            elif entry["command"] == f"ECHO end {self._turn}":
                return clients, scripts
            elif about in entry["command"]:
                by_script = entry["client_type"] == "lua"
                (scripts if by_script else clients).append(entry["command"].split()[0].lower())

    def wait_for(self, key: str) -> None:
        """Wait until the server has the key."""
        self._server.wait_until(
            lambda: self._server.command("EXISTS", key) == 1, f"never had {key!r}"
        )

    def close(self) -> None:
        self._monitor.__exit__(None, None, None)
        self._client.close()


@pytest.fixture
def monitor(server: RedisServer) -> Iterator[Monitor]:
    """The commands of the test's own server."""
    monitor = Monitor(server)
    yield monitor
    monitor.close()


@pytest.fixture
def busy(server: RedisServer) -> Iterator[oc.Channel]:
    """A channel on it that has been used: it is connected, and its scripts are known."""
    SharedRedis(None, server).prepare()
    with oc.open_channel("orders", server.url) as channel:
        channel.lock("nightly", ttl=30).release()
        yield channel


def test_a_lock_that_is_waited_for_costs_one_request_more(
    busy: oc.Channel, monitor: Monitor, in_background: Background
) -> None:
    """The refused request joins the queue, once the process is subscribed."""
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
    while 5 not in costs:  # a waiter looks again after half a second
        assert len(costs) < 10
        clients, _ = monitor.during(pass_on, "orders:nightly")
        costs.append(clients.count("evalsha"))
    assert min(costs) == 5
    kept.release()
    listening.result(30).release()


def test_many_leases_are_extended_at_once(busy: oc.Channel, monitor: Monitor) -> None:
    """In one round trip, with one request each."""
    leases = [busy.lock(f"lock {n}", ttl=30) for n in range(50)]
    requests = [oc.hookspecs.LeaseRequest(lease.name, lease.token, 60_000) for lease in leases]
    began = time.monotonic()
    sent = monitor.requests(lambda: busy.hook.extend_all(leases=requests, timeout=5000))
    assert sent == ["evalsha"] * 50
    assert time.monotonic() - began < 15
    sent = monitor.requests(busy.locks)
    assert sent == ["scan"] + ["evalsha"] * 51  # a free lock whose fence is kept


def test_no_command_is_used_that_blocks_a_server(busy: oc.Channel, monitor: Monitor) -> None:
    """Neither by a client nor within a script."""

    def use_all() -> None:
        busy.set_all((n, n) for n in range(3000))
        busy.get_all()
        list(busy.items())
        busy.get_keys()
        with busy.lock("nightly", ttl=30):
            busy.locks()
        busy.destroy()

    clients, scripts = monitor.during(use_all)
    assert not BLOCKING & {*clients, *scripts}


def test_a_waiter_sends_few_requests_while_nothing_happens(
    busy: oc.Channel, monitor: Monitor
) -> None:
    """It subscribes once, then looks at intervals, in case a message was lost."""
    with busy.lock("nightly", ttl=30):

        def wait() -> None:
            with pytest.raises(oc.LockBusy):
                busy.lock("nightly", ttl=30, wait=2.5)

        sent = monitor.requests(wait)
    assert sent.count("subscribe") == 1
    assert sent.count("evalsha") <= 9


def test_a_worker_rests_until_a_launch_is_stored(storage: Subject) -> None:
    """Once it listens, for longer than a second; what is stored ends the rest at once."""
    woken = threading.Event()
    with storage.open() as channel, storage.open() as other:
        rests = Rests(woken.set)

        def look() -> float:
            rests.before_look(channel)
            return rests.after_look(SHORTEST, found_nothing=channel.size() == 0)

        until(lambda: look() > SHORTEST)
        woken.clear()
        other.set("launch", 1)
        assert woken.wait(LONG_ENOUGH)
        assert look() == SHORTEST
        channel.unset("launch")
        assert look() == SHORTEST
        until(lambda: look() > SHORTEST)
        rests.close()


def test_a_change_during_the_look_is_not_missed(storage: Subject) -> None:
    """The next look follows after a second, though this one has found nothing."""
    woken = threading.Event()
    with storage.open() as channel:
        rests = Rests(woken.set)

        def look(change: Callable[[], object] = lambda: None) -> float:
            rests.before_look(channel)
            change()
            return rests.after_look(SHORTEST, found_nothing=True)

        until(lambda: look() > SHORTEST)
        woken.clear()
        rest = look(lambda: channel.set("launch", 1))
        assert rest == SHORTEST or woken.wait(LONG_ENOUGH)
        rests.close()


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + LONG_ENOUGH
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)
