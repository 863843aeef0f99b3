"""The queue of waiters at the server: its order, its calls, and waiters that leave it."""

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

LOCK = "ojob:{orders:nightly}:lock"
QUEUE = "ojob:{orders:nightly}:queue"


@pytest.fixture
def listener(server: RedisServer) -> Iterator[Any]:
    """A client that is subscribed to `wake`, like a process with waiters."""
    with (
        redis.Redis.from_url(server.url, decode_responses=True) as client,
        client.pubsub() as pubsub,
    ):
        pubsub.subscribe("wake")
        assert pubsub.get_message(timeout=10)["type"] == "subscribe"
        yield pubsub


def enqueue(server: RedisServer, *waiters: str) -> None:
    """Put waiters into the queue of the lock "nightly", each a token and a wake channel."""
    for number, waiter in enumerate(waiters):
        server.command("ZADD", QUEUE, str(number), waiter)


def record(server: RedisServer) -> list[str]:
    """Return the words of the lock's record."""
    return str(server.command("GET", LOCK)).split()


def next_message(listener: Any) -> str:
    message = None
    while message is None:
        message = listener.get_message(timeout=10)
    return str(message["data"])


def test_a_release_calls_the_first_live_waiter(server: RedisServer, listener: Any) -> None:
    """Only this one is called; a waiter whose process is gone is skipped."""
    with oc.open_channel("orders", server.url) as channel:
        lease = channel.lock("nightly", ttl=60)
        enqueue(server, "dead gone", "first wake", "second wake")
        lease.release()
        assert record(server)[:3] == ["-", str(lease.fence), "first"]
        assert next_message(listener) == "first"
        assert channel.hook.unlock(name="nightly", token="first") is False
        assert record(server)[2] == "second", "the call was not passed on"
        assert next_message(listener) == "second"
        channel.hook.unlock(name="nightly", token="second")
        assert record(server) == ["-", str(lease.fence)]


@pytest.mark.usefixtures("listener")
def test_a_lock_is_reserved_for_the_waiter_that_was_called(server: RedisServer) -> None:
    """No other client gets it before the reservation expires; then one does."""
    with oc.open_channel("orders", server.url) as channel:
        for _ in range(5):
            lease = channel.lock("nightly", ttl=60)
            enqueue(server, "stopped wake")
            lease.release()
            until = int(record(server)[3])
            with channel.lock("nightly", ttl=60, wait=30) as other:
                assert other.fence >= until  # a fence is the server's time


@pytest.mark.usefixtures("listener")
def test_the_waiter_that_was_called_gets_the_lock(server: RedisServer) -> None:
    """At once."""
    with oc.open_channel("orders", server.url) as channel:
        lease = channel.lock("nightly", ttl=60)
        enqueue(server, "first wake")
        lease.release()
        request = {"name": "nightly", "token": "first", "ttl": 60_000, "holder": {}, "waits": True}
        granted = channel.hook.lock(**request)
        assert isinstance(granted, oc.hookspecs.Granted)
        assert granted.fence > lease.fence
        assert channel.hook.unlock(name="nightly", token="first")


def test_a_handle_that_closes_passes_on_the_call_that_it_got(
    server: RedisServer, in_background: Background
) -> None:
    """Also between the call and the request for the lock: others get it at once."""
    with oc.open_channel("orders", server.url) as other:
        lease = other.lock("nightly", ttl=60)
        handle = oc.open_channel("orders", server.url)
        request = {
            "name": "nightly",
            "seen_fence": lease.fence,
            "token": "waits",
            "timeout": 20_000,
        }
        waiting = in_background(handle.hook.wait, **request)
        server.wait_until(lambda: server.command("EXISTS", QUEUE) == 1, "had no waiter")
        lease.release()
        assert waiting.result(20) is True
        handle.close()
        following = other.try_lock("nightly", ttl=60)
        assert following is not None
        following.release()


@pytest.fixture
def subscribed(server: RedisServer, in_background: Background) -> Iterator[oc.Channel]:
    """A handle of a process that is subscribed, since it waits for another lock."""
    with oc.open_channel("orders", server.url) as holder, holder.lock("other", ttl=600):
        channel = oc.open_channel("orders", server.url)
        waiting = in_background(channel.lock, "other", ttl=30, wait=None)
        other = QUEUE.replace("nightly", "other")
        server.wait_until(lambda: server.command("EXISTS", other) == 1, "had no waiter")
        yield channel
        channel.close()
        with pytest.raises(oc.ChannelClosed):
            waiting.result(10)


def refuse(channel: oc.Channel, token: str, waits: bool = True) -> int:
    """Request the lock, which is held; return the fence of the holder."""
    request = {"name": "nightly", "token": token, "ttl": 60_000, "holder": {}}
    granted = channel.hook.lock(**request, waits=waits)
    assert isinstance(granted, oc.hookspecs.Busy)
    return granted.fence


def queue(server: RedisServer) -> list[str]:
    """Return the tokens in the queue of the lock "nightly", in their order."""
    entries = server.command("ZRANGE", QUEUE, "0", "-1")
    assert isinstance(entries, list)
    return [str(entry).split()[0] for entry in entries]


def test_a_refused_request_joins_the_queue(server: RedisServer, subscribed: oc.Channel) -> None:
    """In the order of the requests; a repeated one keeps its position; `waits=False` joins none."""
    lease = subscribed.lock("nightly", ttl=60)
    refuse(subscribed, "first")
    refuse(subscribed, "passes-by", waits=False)
    refuse(subscribed, "second")
    refuse(subscribed, "first")
    assert queue(server) == ["first", "second"]
    assert subscribed.hook.unlock(name="nightly", token="first") is False
    assert queue(server) == ["second"]
    lease.release()
    assert record(server)[2] == "second"


def test_a_call_between_the_refusal_and_the_wait_is_received(subscribed: oc.Channel) -> None:
    """The wait returns at once, and the lock is reserved for the waiter."""
    lags = []
    for turn in range(5):
        lease = subscribed.lock("nightly", ttl=60)
        request = {"name": "nightly", "token": f"waits-{turn}"}
        fence = refuse(subscribed, request["token"])
        lease.release()
        began = time.monotonic()
        subscribed.hook.wait(**request, seen_fence=fence, timeout=30_000)
        lags.append(time.monotonic() - began)
        granted = subscribed.hook.lock(**request, ttl=60_000, holder={}, waits=True)
        assert isinstance(granted, oc.hookspecs.Granted)
        subscribed.hook.unlock(**request)
    assert min(lags) < 0.4, lags  # a waiter that is not woken looks after half a second


def test_a_handle_that_closes_leaves_the_queue(server: RedisServer, subscribed: oc.Channel) -> None:
    """Also with requests that did not wait; a call is passed on to the next waiter."""
    with oc.open_channel("orders", server.url) as holder:
        lease = holder.lock("nightly", ttl=60)
        refuse(subscribed, "called")
        refuse(subscribed, "queued")
        lease.release()
        assert record(server)[2] == "called"
        subscribed.close()
        assert queue(server) == []
        following = holder.try_lock("nightly", ttl=60)
        assert following is not None
        following.release()


def test_a_wait_that_ends_leaves_the_queue(server: RedisServer, in_background: Background) -> None:
    """At its timeout, and when its channel is closed."""
    with oc.open_channel("orders", server.url) as holder:
        holder.lock("nightly", ttl=60)
        channel = oc.open_channel("orders", server.url)
        with pytest.raises(oc.LockBusy):
            channel.lock("nightly", ttl=30, wait=0.5)
        assert server.command("EXISTS", QUEUE) == 0
        waiting = in_background(channel.lock, "nightly", ttl=30, wait=None)
        server.wait_until(lambda: server.command("EXISTS", QUEUE) == 1, "had no waiter")
        channel.close()
        with pytest.raises(oc.ChannelClosed):
            waiting.result(10)
        assert server.command("EXISTS", QUEUE) == 0
