"""Waiting for locks: woken by whoever unlocks, bounded, and leaving nothing behind."""

from __future__ import annotations

import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from ojobchannels.testing.kit.subject import Subject
    from ojobchannels.testing.servers import RedisServer

    WaitObserver = Any
    Background = Callable[..., Future[Any]]


def wakers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "ojobchannels-redis-subscriber"]


def sits(channel: oc.Channel, waiters: int = 1) -> None:
    """Returns when so many wait on the handle, and had a moment to look at the lock."""
    backend = next(
        one.plugin for one in channel.hook.wait.get_hookimpls() if hasattr(one.plugin, "_waiters")
    )
    deadline = time.monotonic() + 20
    while len(backend._waiters) < waiters:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(0.03)


def subscribers(server: RedisServer) -> int:
    return str(server.command("CLIENT", "LIST", "TYPE", "pubsub")).count("id=")


def test_all_waiters_of_a_process_share_one_connection_and_thread(
    server: RedisServer, in_background: Background, observer: WaitObserver
) -> None:
    """Whatever lock and channel they wait for; it begins with the first and ends with the last."""
    assert wakers() == []
    channels = [oc.open_channel(f"orders {n}", server.url, extensions=[observer]) for n in range(3)]
    held = [channel.lock(f"lock {n}", ttl=60) for channel in channels for n in range(2)]

    def work(lease: oc.Lease) -> None:
        with lease.channel.lock(lease.name, ttl=30, wait=30):
            pass

    waiting = [in_background(work, lease) for lease in held for _ in range(2)]
    for _ in waiting:
        observer.await_waiters()
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
    server: RedisServer, in_background: Background, observer: WaitObserver
) -> None:
    """Whoever waits is told."""
    holder = oc.open_channel("orders", server.url)
    channel = oc.open_channel("orders", server.url, extensions=[observer])
    lease = holder.lock("nightly", ttl=60)
    waiting = in_background(channel.lock, "nightly", ttl=30, wait=None)
    observer.await_waiters()
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
    server: RedisServer, in_background: Background, observer: WaitObserver
) -> None:
    """The subscription is made anew, and a release after it is heard."""
    options: dict[str, Any] = {"timeout": 20, "extensions": [observer]}
    with oc.open_channel("orders", server.url, **options) as channel:
        lease = channel.lock("nightly", ttl=60)
        waiting = in_background(channel.lock, "nightly", ttl=30, wait=30)
        observer.await_waiters()
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


LOCK = "ojob:{orders:nightly}:lock"
QUEUE = "ojob:{orders:nightly}:queue"


@pytest.fixture
def ear(server: RedisServer) -> Iterator[Any]:
    """Listens like a process that waits, on the channel `ear`."""
    with (
        redis.Redis.from_url(server.url, decode_responses=True) as client,
        client.pubsub() as listener,
    ):
        listener.subscribe("ear")
        assert listener.get_message(timeout=10)["type"] == "subscribe"
        yield listener


def stand(server: RedisServer, *waiters: str) -> None:
    """Puts waiters into the queue of the lock "nightly", each a token and an ear."""
    for number, waiter in enumerate(waiters):
        server.command("ZADD", QUEUE, str(number), waiter)


def record(server: RedisServer) -> list[str]:
    """Returns the words of the lock's record."""
    return str(server.command("GET", LOCK)).split()


def hears(ear: Any) -> str:
    message = None
    while message is None:
        message = ear.get_message(timeout=10)
    return str(message["data"])


def test_a_release_calls_the_longest_waiting_that_lives(server: RedisServer, ear: Any) -> None:
    """It alone is told; one whose process is gone is passed over."""
    with oc.open_channel("orders", server.url) as channel:
        lease = channel.lock("nightly", ttl=60)
        stand(server, "dead nobody", "first ear", "second ear")
        lease.release()
        assert record(server)[:3] == ["-", str(lease.fence), "first"]
        assert hears(ear) == "first"
        assert channel.hook.unlock(name="nightly", token="first") is False
        assert record(server)[2] == "second", "the call was not passed on"
        assert hears(ear) == "second"
        channel.hook.unlock(name="nightly", token="second")
        assert record(server) == ["-", str(lease.fence)]


@pytest.mark.usefixtures("ear")
def test_a_lock_is_kept_for_the_one_who_was_called(server: RedisServer) -> None:
    """Nobody else gets it before its time is over, and somebody does then."""
    with oc.open_channel("orders", server.url) as channel:
        for _ in range(5):
            lease = channel.lock("nightly", ttl=60)
            stand(server, "stopped ear")
            lease.release()
            until = int(record(server)[3])
            with channel.lock("nightly", ttl=60, wait=30) as other:
                assert other.fence >= until  # a fence is the server's time


@pytest.mark.usefixtures("ear")
def test_the_one_who_was_called_gets_the_lock(server: RedisServer) -> None:
    """At once, also if it comes late."""
    with oc.open_channel("orders", server.url) as channel:
        lease = channel.lock("nightly", ttl=60)
        stand(server, "first ear")
        lease.release()
        asked = {"name": "nightly", "token": "first", "ttl": 60_000, "holder": {}, "waits": True}
        answer = channel.hook.lock(**asked)
        assert isinstance(answer, oc.hookspecs.Granted)
        assert answer.fence > lease.fence
        assert channel.hook.unlock(name="nightly", token="first")


def test_a_handle_that_closes_passes_on_the_call_that_it_got(
    server: RedisServer, in_background: Background
) -> None:
    """Between the call and the asking for the lock, too: others get it at once."""
    with oc.open_channel("orders", server.url) as other:
        lease = other.lock("nightly", ttl=60)
        handle = oc.open_channel("orders", server.url)
        asked = {"name": "nightly", "seen_fence": lease.fence, "token": "waits", "timeout": 20_000}
        waiting = in_background(handle.hook.wait, **asked)
        server.wait_until(lambda: server.command("EXISTS", QUEUE) == 1, "had nobody waiting")
        lease.release()
        assert waiting.result(20) is True
        handle.close()
        following = other.try_lock("nightly", ttl=60)
        assert following is not None
        following.release()


@pytest.fixture
def listening(server: RedisServer, in_background: Background) -> Iterator[oc.Channel]:
    """A handle of a process that listens, since somebody in it waits for another lock."""
    with oc.open_channel("orders", server.url) as holder, holder.lock("other", ttl=600):
        channel = oc.open_channel("orders", server.url)
        waiting = in_background(channel.lock, "other", ttl=30, wait=None)
        other = QUEUE.replace("nightly", "other")
        server.wait_until(lambda: server.command("EXISTS", other) == 1, "had nobody waiting")
        yield channel
        channel.close()
        with pytest.raises(oc.ChannelClosed):
            waiting.result(10)


def refuse(channel: oc.Channel, token: str, waits: bool = True) -> int:
    """Asks for the lock, which somebody holds; returns the fence of that one."""
    asked = {"name": "nightly", "token": token, "ttl": 60_000, "holder": {}}
    answer = channel.hook.lock(**asked, waits=waits)
    assert isinstance(answer, oc.hookspecs.Busy)
    return answer.fence


def queue(server: RedisServer) -> list[str]:
    """Returns the tokens in the queue of the lock "nightly", in their order."""
    told = server.command("ZRANGE", QUEUE, "0", "-1")
    assert isinstance(told, list)
    return [str(entry).split()[0] for entry in told]


def test_who_will_wait_has_its_place_from_the_refusal(
    server: RedisServer, listening: oc.Channel
) -> None:
    """In the order of asking; who asked before does not fall back, and who will not has none."""
    lease = listening.lock("nightly", ttl=60)
    refuse(listening, "first")
    refuse(listening, "passes-by", waits=False)
    refuse(listening, "second")
    refuse(listening, "first")
    assert queue(server) == ["first", "second"]
    assert listening.hook.unlock(name="nightly", token="first") is False
    assert queue(server) == ["second"]
    lease.release()
    assert record(server)[2] == "second"


def test_a_call_between_the_refusal_and_the_wait_is_heard(listening: oc.Channel) -> None:
    """The wait returns at once, and the lock is kept for who was called."""
    lags = []
    for turn in range(5):
        lease = listening.lock("nightly", ttl=60)
        asked = {"name": "nightly", "token": f"waits-{turn}"}
        fence = refuse(listening, asked["token"])
        lease.release()
        began = time.monotonic()
        listening.hook.wait(**asked, seen_fence=fence, timeout=30_000)
        lags.append(time.monotonic() - began)
        answer = listening.hook.lock(**asked, ttl=60_000, holder={}, waits=True)
        assert isinstance(answer, oc.hookspecs.Granted)
        listening.hook.unlock(**asked)
    assert min(lags) < 0.4, lags  # who was not woken looks after half a second


def test_a_handle_that_closes_gives_up_the_places_of_those_refused(
    server: RedisServer, listening: oc.Channel
) -> None:
    """Of those, too, who had no time to wait; and what they were called for goes to the next."""
    with oc.open_channel("orders", server.url) as holder:
        lease = holder.lock("nightly", ttl=60)
        refuse(listening, "called")
        refuse(listening, "placed")
        lease.release()
        assert record(server)[2] == "called"
        listening.close()
        assert queue(server) == []
        following = holder.try_lock("nightly", ttl=60)
        assert following is not None
        following.release()


def test_who_gives_up_leaves_no_place_in_the_queue(
    server: RedisServer, in_background: Background
) -> None:
    """Neither when its time is over, nor when its channel is closed."""
    with oc.open_channel("orders", server.url) as holder:
        holder.lock("nightly", ttl=60)
        channel = oc.open_channel("orders", server.url)
        with pytest.raises(oc.LockBusy):
            channel.lock("nightly", ttl=30, wait=0.5)
        assert server.command("EXISTS", QUEUE) == 0
        waiting = in_background(channel.lock, "nightly", ttl=30, wait=None)
        server.wait_until(lambda: server.command("EXISTS", QUEUE) == 1, "had nobody waiting")
        channel.close()
        with pytest.raises(oc.ChannelClosed):
            waiting.result(10)
        assert server.command("EXISTS", QUEUE) == 0
