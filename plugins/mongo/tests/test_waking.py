"""Waiters are woken, from other processes too, and one thread listens for all of them."""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import as_completed, wait
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

import ojobchannels as oc
from ojobchannels.testing.servers import MongoServer, or_skip

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from conftest import Storage

    from ojobchannels.testing.kit.pytest_fixtures import WaitObserver

    Background = Callable[..., Future[Any]]
    StartWorker = Callable[..., Any]


def listeners() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "ojobchannels-mongo-waiters"]


def has_stream(url: str) -> bool:
    """Whether a change stream is open, by what the server runs for its clients."""
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        running = client.admin.aggregate([{"$currentOp": {"allUsers": True, "idleCursors": True}}])
        return any("changeStream" in str(one) and "ojob" in str(one) for one in running)


def until(is_so: Callable[[], bool]) -> None:
    """Asks until it is so, for ten seconds."""
    tick, deadline = threading.Event(), time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        tick.wait(0.01)


def test_a_release_in_another_process_wakes_a_waiter(
    storage: Storage, observer: WaitObserver, start_worker: StartWorker, in_background: Background
) -> None:
    """Within 50 ms and a round trip; told by the median of eight."""
    waiter = storage.open(extensions=[observer])
    holder = start_worker(
        """
for turn in range(8):
    lease = channel.lock("nightly", ttl=60)
    send("held")
    receive()
    released = time.monotonic()
    lease.release()
    send(released)
    receive()
""",
        storage,
    )
    lags = []

    def wait_for_it() -> float:
        with waiter.lock("nightly", ttl=30, wait=None):
            return time.monotonic()

    for _ in range(8):
        assert holder.receive() == "held"
        waiting = in_background(wait_for_it)
        observer.await_waiters()
        if storage.replicated:
            until(lambda: has_stream(storage.url))
        holder.send()
        released = holder.receive()
        lags.append(waiting.result(20) - released)
        holder.send()
    assert statistics.median(lags) < 0.15


def test_one_thread_listens_for_all_waiters_and_ends_with_the_last(
    storage: Storage, observer: WaitObserver, in_background: Background
) -> None:
    """On a replica set; a server alone has none to listen to."""
    handles = [storage.open(name, extensions=[observer]) for name in ("one", "two", "three")]
    leases = [handle.lock("nightly", ttl=60) for handle in handles]
    assert listeners() == []

    def work(handle: oc.Channel) -> None:
        handle.lock("nightly", ttl=30, wait=30).release()

    waiting = [in_background(work, handle) for handle in handles for _ in "ab"]
    for _ in waiting:
        observer.await_waiters()
    if storage.replicated:
        until(lambda: len(listeners()) == 1)
        until(lambda: has_stream(storage.url))
    else:
        assert listeners() == []
    for lease in leases:
        lease.release()
    for future in waiting:
        future.result(20)
    for thread in listeners():
        thread.join(5)
    assert listeners() == []


def test_a_release_wakes_one_of_many_waiters_of_a_process(
    storage: Storage, observer: WaitObserver, in_background: Background
) -> None:
    """All get their turn, one after the other."""
    channel = storage.open(extensions=[observer])
    first = channel.lock("nightly", ttl=60)
    order: list[int] = []

    def work(number: int) -> None:
        with channel.lock("nightly", ttl=60, wait=60):
            order.append(number)

    workers = [in_background(work, number) for number in range(12)]
    for _ in workers:
        observer.await_waiters()
    first.release()
    for worker in workers:
        worker.result(30)
    assert sorted(order) == list(range(12))


def test_waiters_listen_on_after_the_collection_was_dropped(
    replicated_storage: Storage, observer: WaitObserver, in_background: Background
) -> None:
    """The lock is free at once; the stream ends, and another one is opened in its place."""
    storage = replicated_storage
    channel = storage.open(prefix="dropped", extensions=[observer])
    lease = channel.lock("nightly", ttl=60)
    waiting = [in_background(channel.lock, "nightly", ttl=60, wait=30) for _ in range(2)]
    for _ in waiting:
        observer.await_waiters()
    until(lambda: has_stream(storage.url))
    dropped = time.monotonic()
    with storage.client() as client:
        client[storage.config["args"]["database"]]["dropped_locks"].drop()
    first = next(as_completed(waiting, 10))
    assert time.monotonic() - dropped < 1.5
    assert first.result().fence > lease.fence
    assert wait(waiting, 1).not_done
    assert has_stream(storage.url)
    first.result().release()
    for future in waiting:
        future.result(10)
    channel.force_unlock("nightly")


def test_a_waiter_goes_on_when_it_may_not_listen(
    observer: WaitObserver, in_background: Background
) -> None:
    """A user without the right to change streams waits by looking."""
    with or_skip(), MongoServer(replica_set=True, user=("root", "word")) as server:
        with pymongo.MongoClient[dict[str, Any]](server.url) as client:
            rights = [
                {
                    "resource": {"db": "narrow", "collection": ""},
                    "actions": ["find", "insert", "update", "remove", "createIndex"],
                }
            ]
            client["narrow"].command("createRole", "narrow", privileges=rights, roles=[])
            client["narrow"].command("createUser", "me", pwd="me", roles=["narrow"])
        url = f"mongodb://me:me@127.0.0.1:{server.port}/narrow"
        with oc.open_channel("orders", url, extensions=[observer]) as channel:
            lease = channel.lock("nightly", ttl=60)
            waiting = in_background(channel.lock, "nightly", ttl=30, wait=30)
            observer.await_waiters()
            until(lambda: listeners() == [])
            with oc.open_channel("orders", f"{url}?appName=other") as other:
                other.force_unlock("nightly")
            waiting.result(10).release()
            with pytest.raises(oc.LockLost):
                lease.release()


def test_waiting_outlives_a_server_that_is_away_for_a_moment(
    own_server: MongoServer, observer: WaitObserver, in_background: Background
) -> None:
    """The lock is there after the restart, and so is its release."""
    with (
        oc.open_channel("orders", own_server.url) as holder,
        oc.open_channel(
            "orders",
            f"{own_server.url}{'&' if '?' in own_server.url else '?'}appName=waiter",
            extensions=[observer],
        ) as waiter,
    ):
        lease = holder.lock("nightly", ttl=60)
        waiting = in_background(waiter.lock, "nightly", ttl=30, wait=60)
        observer.await_waiters()
        own_server.kill()
        own_server.start()
        assert not waiting.done()
        info = holder.lock_info("nightly")
        assert info is not None
        assert info.fence == lease.fence
        lease.release()
        waiting.result(30).release()
