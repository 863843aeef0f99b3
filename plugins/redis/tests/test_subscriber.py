"""The subscriber: its connection, and the waiters and subscriptions that it wakes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.testing.contracts.documents.subscribing import ReceivedChanges

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from ojobchannels.testing.kit.pytest_fixtures import WaitObserver
    from ojobchannels.testing.kit.subject import Subject
    from ojobchannels.testing.servers import RedisServer

    Background = Callable[..., Future[Any]]


def subscribers(server: RedisServer) -> int:
    return str(server.command("CLIENT", "LIST", "TYPE", "pubsub")).count("id=")


def is_listening(channel: oc.Channel) -> bool:
    """Return whether a subscription of the handle has heard from the server that it is one."""
    return any(
        feed._listening
        for hook in channel.hook.wait.get_hookimpls()
        if hasattr(hook.plugin, "_subscriber")
        for feed in hook.plugin._subscriber._feeds
    )


def await_waiters(channel: oc.Channel, waiters: int = 1) -> None:
    """Wait until the handle has that many waiters, and they had a moment to look at the lock."""
    backend = next(
        hook.plugin for hook in channel.hook.wait.get_hookimpls() if hasattr(hook.plugin, "_held")
    )
    deadline = time.monotonic() + 20
    while len(backend._held.waiters) < waiters:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(0.03)


def test_all_waiters_of_a_process_share_one_connection(
    server: RedisServer, in_background: Background, observer: WaitObserver
) -> None:
    """It is opened for the first waiter, and closed after the last; `wait=0` opens none."""
    with oc.open_channel("orders", server.url, extensions=[observer]) as channel:
        held = [channel.lock(f"lock {n}", ttl=60) for n in range(3)]
        assert channel.try_lock("lock 0", ttl=30) is None
        assert subscribers(server) == 0
        waiting = [in_background(channel.lock, lease.name, ttl=30, wait=30) for lease in held]
        for _ in waiting:
            observer.await_waiters()
        server.wait_until(lambda: subscribers(server) == 1, "had no subscriber")
        for lease in held:
            lease.release()
        for future in waiting:
            future.result(30).release()
        server.wait_until(lambda: subscribers(server) == 0, "kept a subscriber")


def test_a_waiter_that_was_woken_and_gives_up_wakes_the_next(
    storage: Subject, in_background: Background
) -> None:
    """The message that reached a waiter that left is not lost for the others."""

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
        await_waiters(leaver)
        staying = in_background(stayer.lock, lease.name, ttl=30, wait=30)
        await_waiters(stayer)
        released = time.monotonic()
        lease.release()
        with pytest.raises(KeyboardInterrupt):
            leaving.result(10)
        staying.result(10).release()
        lags.append(time.monotonic() - released)
    assert min(lags) < 0.7, lags  # a waiter that is not woken looks after half a second


def test_waiters_subscribe_again_after_a_restart(
    server: RedisServer, in_background: Background, observer: WaitObserver
) -> None:
    """And a release after it wakes them."""
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


def test_all_subscriptions_of_a_process_share_one_connection(server: RedisServer) -> None:
    """It is closed after the last of them."""
    received = ReceivedChanges()
    with (
        oc.open_channel("orders", server.url) as orders,
        oc.open_channel("others", server.url) as others,
    ):
        with orders.subscribe(received), orders.subscribe(received), others.subscribe(received):
            server.wait_until(lambda: subscribers(server) == 1, "had no subscriber")
            orders.set("key", 1)
            others.set("key", 2)
            received.wait_for(lambda: sorted(received.values("key")) == [1, 1, 2])
            assert subscribers(server) == 1
        server.wait_until(lambda: subscribers(server) == 0, "kept a subscriber")


def test_after_a_lost_connection_a_resync_is_delivered(server: RedisServer) -> None:
    """And what changed meanwhile; later changes are delivered as before."""
    received = ReceivedChanges()
    with (
        oc.open_channel("orders", server.url, timeout=20) as listening,
        oc.open_channel("orders", server.url, timeout=20) as writing,
        listening.subscribe(received),
    ):
        writing.set("key", 1)
        received.wait_for_state_of(writing)
        server.wait_until(lambda: is_listening(listening), "had no subscriber")
        server.command("CLIENT", "KILL", "TYPE", "pubsub")
        writing.set("key", 2)
        received.wait_for(lambda: any(change.op == "resync" for change in received.changes))
        received.wait_for_state_of(writing)
        writing.set("key", 3)
        received.wait_for_state_of(writing)


def test_a_user_that_may_not_subscribe_looks(server: RedisServer) -> None:
    """Every second, since the server sends no messages to this user."""
    received = ReceivedChanges()
    server.command(
        "ACL", "SETUSER", "unsubscribed", "on", ">word", "resetchannels", "~ojob:*", "+@all"
    )
    address = server.url.partition("://")[2].rpartition("@")[2]
    with (
        oc.open_channel("orders", f"redis://unsubscribed:word@{address}") as channel,
        channel.subscribe(received),
    ):
        channel.set("key", 1)
        received.wait_for_state_of(channel)
        channel.unset("key")
        received.wait_for_state_of(channel)
