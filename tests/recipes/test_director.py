"""The director: each (name, uuid) is executed once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import ojobchannels as oc
from ojobchannels.recipes.director import Director


@pytest.fixture(params=["simple", "file", "sqlite"])
def director(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Director]:
    """One on each embedded type."""
    url = "simple:" if request.param == "simple" else f"{request.param}:///{tmp_path}/done"
    with oc.open_channel("done", url) as channel:
        yield Director(channel)
        channel.destroy()


def test_an_executed_task_is_not_started_again(director: Director) -> None:
    """Another uuid of the same name is another thing."""
    lease = director.check_in("load", "monday", ttl=60)
    assert lease is not None
    assert not director.executed("load", "monday")
    director.check_out(lease, "load", "monday")
    assert director.executed("load", "monday")
    assert director.check_in("load", "monday", ttl=60) is None
    assert not director.executed("load", "tuesday")
    entry = director.channel.get({"name": "load", "uuid": "monday"})
    assert [len(entry[part]) for part in ("start", "end")] == [1, 1]
    assert director.channel.locks() == []


def test_one_of_two_concurrent_check_ins_gets_the_lease(director: Director) -> None:
    """The other gets LockBusy with the holder; a waiting one finds the task executed."""
    lease = director.check_in("load", "monday", ttl=60)
    assert lease is not None
    with pytest.raises(oc.LockBusy):
        director.check_in("load", "monday", ttl=60)
    results: list[object] = []
    waiter = threading.Thread(
        target=lambda: results.append(director.check_in("load", "monday", ttl=60, wait=30))
    )
    waiter.start()
    director.check_out(lease, "load", "monday")
    waiter.join()
    assert results == [None]


def test_an_execution_that_died_is_started_again(director: Director) -> None:
    """It has a start without an end."""
    lease = director.check_in("load", "monday", ttl=60)
    assert lease is not None
    lease.release()
    again = director.check_in("load", "monday", ttl=60)
    assert again is not None
    director.check_out(again, "load", "monday")
    entry = director.channel.get({"name": "load", "uuid": "monday"})
    assert [len(entry[part]) for part in ("start", "end")] == [2, 1]


def test_a_check_out_with_a_lost_lease_stores_nothing(director: Director) -> None:
    """Another may be at it."""
    lease = director.check_in("load", "monday", ttl=60)
    assert lease is not None
    director.channel.force_unlock(lease.name)
    other = director.check_in("load", "monday", ttl=60)
    assert other is not None
    with pytest.raises((oc.LockLost, oc.StaleFence)):
        director.check_out(lease, "load", "monday")
    assert not director.executed("load", "monday")
    director.check_out(other, "load", "monday")


def test_wait_returns_when_the_task_was_executed(director: Director) -> None:
    """It also returns when the timeout has passed."""
    lease = director.check_in("load", "monday", ttl=60)
    assert lease is not None
    assert not director.wait("load", "monday", timeout=0.01)
    looked = threading.Event()

    def rest(_: float) -> None:
        looked.set()
        ended.wait(30)

    ended = threading.Event()
    results: list[bool] = []
    waiter = threading.Thread(
        target=lambda: results.append(director.wait("load", "monday", 60, rest))
    )
    waiter.start()
    assert looked.wait(30)
    director.check_out(lease, "load", "monday")
    ended.set()
    waiter.join()
    assert results == [True]


def test_directors_with_different_stamps_share_a_channel(director: Director) -> None:
    """Neither sees what the other has executed; fields that it needs itself are refused."""
    other = Director(director.channel, {"type": "other"})
    lease = director.check_in("load", "monday", ttl=60)
    second = other.check_in("load", "monday", ttl=60)
    assert lease is not None
    assert second is not None
    other.check_out(second, "load", "monday")
    assert not director.executed("load", "monday")
    lease.release()
    with pytest.raises(oc.InvalidOption, match="use other field names"):
        Director(director.channel, {"name": 1})
