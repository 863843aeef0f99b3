"""Waiters whose change stream ends, or is not permitted."""

from __future__ import annotations

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
    """Return whether a change stream is open, by the operations that the server runs."""
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        running = client.admin.aggregate([{"$currentOp": {"allUsers": True, "idleCursors": True}}])
        return any("changeStream" in str(entry) and "ojob" in str(entry) for entry in running)


def until(is_so: Callable[[], bool]) -> None:
    """Wait for at most ten seconds."""
    tick, deadline = threading.Event(), time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        tick.wait(0.01)


@pytest.mark.ojob_timed
def test_waiters_open_a_new_stream_after_the_collection_was_dropped(
    replicated_storage: Storage, observer: WaitObserver, in_background: Background
) -> None:
    """The lock is free at once; the stream ends, and another one replaces it."""
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


def test_a_waiter_without_permission_for_streams_looks(
    observer: WaitObserver, in_background: Background
) -> None:
    """A user that may not open change streams gets the lock after a release."""
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
