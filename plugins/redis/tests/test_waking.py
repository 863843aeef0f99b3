"""Waiting for locks: woken by whoever unlocks, bounded, and leaving nothing behind."""

from __future__ import annotations

import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from ojobchannels.testing.servers import RedisServer
    from ojobchannels.testing.subject import Subject

    Announcer = Any
    Background = Callable[..., Future[Any]]


def wakers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "ojobchannels-redis-waking"]


def sits(channel: oc.Channel, waiters: int = 1) -> None:
    """Returns when so many wait on the handle, and had a moment to look at the lock."""
    backend = next(
        one.plugin for one in channel.hook.wait.get_hookimpls() if hasattr(one.plugin, "_seats")
    )
    deadline = time.monotonic() + 20
    while len(backend._seats) < waiters:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(0.03)


def subscribers(server: RedisServer) -> int:
    return str(server.command("CLIENT", "LIST", "TYPE", "pubsub")).count("id=")


def test_all_waiters_of_a_process_share_one_connection_and_thread(
    server: RedisServer, in_background: Background, announcer: Announcer
) -> None:
    """Whatever lock and channel they wait for; it begins with the first and ends with the last."""
    assert wakers() == []
    channels = [
        oc.open_channel(f"orders {n}", server.url, extensions=[announcer]) for n in range(3)
    ]
    held = [channel.lock(f"lock {n}", ttl=60) for channel in channels for n in range(2)]

    def work(lease: oc.Lease) -> None:
        with lease.channel.lock(lease.name, ttl=30, wait=30):
            pass

    waiting = [in_background(work, lease) for lease in held for _ in range(2)]
    for _ in waiting:
        announcer.await_waiter()
    server.wait_until(lambda: subscribers(server) == 1, "had no subscriber")
    assert len(wakers()) == 1
    for lease in held:
        lease.release()
    for future in waiting:
        future.result(30)
    for waker in wakers():
        waker.join(10)
    assert wakers() == []
    server.wait_until(lambda: subscribers(server) == 0, "kept a subscriber")
    for channel in channels:
        channel.close()


def test_closing_the_last_channel_ends_the_thread(
    server: RedisServer, in_background: Background, announcer: Announcer
) -> None:
    """Whoever waits is told."""
    holder = oc.open_channel("orders", server.url)
    channel = oc.open_channel("orders", server.url, extensions=[announcer])
    lease = holder.lock("nightly", ttl=60)
    waiting = in_background(channel.lock, "nightly", ttl=30, wait=None)
    announcer.await_waiter()
    channel.close()
    with pytest.raises(oc.ChannelClosed):
        waiting.result(10)
    lease.release()
    holder.close()
    for waker in wakers():
        waker.join(10)
    assert wakers() == []


def test_a_release_is_heard_within_some_milliseconds(
    storage: Subject, in_background: Background
) -> None:
    """Woken, not polled: the median of thirty."""
    holder, waiter = storage.open(), storage.open()
    lags = []
    lease = holder.lock("nightly", ttl=60)
    for _ in range(30):
        waiting = in_background(acquire_and_tell, waiter)
        sits(waiter)
        released = time.monotonic()
        lease.release()
        got, lease = waiting.result(10)
        lags.append(got - released)
    lease.release()
    assert statistics.median(lags) < 0.1, lags  # by looking alone it would be half a second


def acquire_and_tell(channel: oc.Channel) -> tuple[float, oc.Lease]:
    lease = channel.lock("nightly", ttl=60, wait=30)
    return time.monotonic(), lease


def test_a_release_wakes_one_waiter_of_a_process_and_each_gets_its_turn(
    storage: Subject, in_background: Background
) -> None:
    """Twelve waiters and one lock: few requests are in vain, and nobody is forgotten."""
    lost: list[int] = []

    class Counting:
        @oc.hookimpl(wrapper=True)
        def lock(self) -> Any:
            answer = yield
            if isinstance(answer, oc.hookspecs.Busy):
                lost.append(1)
            return answer

    holder = storage.open()
    waiter = storage.open(extensions=[Counting()])
    lease = holder.lock("nightly", ttl=60)

    def work() -> None:
        with waiter.lock("nightly", ttl=30, wait=30):
            pass

    workers = [in_background(work) for _ in range(12)]
    sits(waiter, 12)
    began = time.monotonic()
    lease.release()
    for worker in workers:
        worker.result(30)
    assert time.monotonic() - began < 15
    # Each was refused once, and few again. If each release woke them all, there would be 78.
    assert len(lost) < 2 * 12


def test_a_waiter_that_was_woken_and_gives_up_wakes_the_next(
    storage: Subject, in_background: Background
) -> None:
    """A message that reached the one who left is not lost on the others."""

    class LeavesWhenWoken:
        @oc.hookimpl(wrapper=True)
        def wait(self) -> Any:
            yield
            raise KeyboardInterrupt

    holder = storage.open()
    leaver = storage.open(extensions=[LeavesWhenWoken()])
    stayer = storage.open()
    lags = []
    for turn in range(5):
        lease = holder.lock(f"lock {turn}", ttl=60)
        leaving = in_background(leaver.lock, lease.name, ttl=30, wait=30)
        sits(leaver)
        staying = in_background(stayer.lock, lease.name, ttl=30, wait=30)
        sits(stayer)
        released = time.monotonic()
        lease.release()
        with pytest.raises(KeyboardInterrupt):
            leaving.result(10)
        staying.result(10).release()
        lags.append(time.monotonic() - released)
    assert min(lags) < 0.7, lags  # who was not woken looks after a second


def test_a_lease_that_is_shortened_wakes_its_waiters(
    storage: Subject, in_background: Background
) -> None:
    """They do not sleep until the end that they knew."""
    holder, waiter = storage.open(), storage.open()
    lags = []
    for turn in range(5):
        lease = holder.lock(f"lock {turn}", ttl=60)
        waiting = in_background(waiter.lock, lease.name, ttl=30, wait=30)
        sits(waiter)
        began = time.monotonic()
        lease.extend(0.1)
        waiting.result(10).release()
        lags.append(time.monotonic() - began)
    assert min(lags) < 0.7, lags  # who was not woken looks after a second


def test_waiters_go_on_when_the_server_was_restarted(
    server: RedisServer, in_background: Background, announcer: Announcer
) -> None:
    """The subscription is made anew, and a release after it is heard."""
    options: dict[str, Any] = {"timeout": 20, "extensions": [announcer]}
    with oc.open_channel("orders", server.url, **options) as channel:
        lease = channel.lock("nightly", ttl=60)
        waiting = in_background(channel.lock, "nightly", ttl=30, wait=30)
        announcer.await_waiter()
        server.restart()
        server.wait_until(lambda: subscribers(server) == 1, "got no new subscriber")
        released = time.monotonic()
        lease.release()
        waiting.result(10).release()
        assert time.monotonic() - released < 10


def test_wait_zero_costs_no_subscription(server: RedisServer) -> None:
    """Nobody waits, so nobody listens."""
    with oc.open_channel("orders", server.url) as channel, channel.lock("nightly", ttl=30):
        assert channel.try_lock("nightly", ttl=30) is None
        assert wakers() == []
        assert subscribers(server) == 0
