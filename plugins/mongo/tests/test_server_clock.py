"""The rules of locks in real time, by the server's clock."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.hookspecs import Granted
from ojobchannels.testing.contracts.remote.clock import HOUR, WrongClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Storage

DAY = 86_400_000
SHORT = 0.3  # not shorter, for a busy machine


def until_free(channel: oc.Channel, name: str = "nightly") -> None:
    """Wait until the lease has expired by the server's clock."""
    info = channel.lock_info(name)
    if info is not None:
        channel.hook.wait(name=name, seen_fence=info.fence, token="0" * 32, timeout=20_000)
    assert channel.lock_info(name) is None


def test_a_late_unlock_or_extend_changes_nothing_and_is_reported(storage: Storage) -> None:
    """After expiry a holder can neither evict the next one nor revive its lease."""
    one, other = storage.open(), storage.open()
    late = one.lock("nightly", ttl=SHORT)
    until_free(other)
    assert one.hook.extend(name="nightly", token=late.token, ttl=60_000) is False
    assert one.lock_info("nightly") is None
    current = other.lock("nightly", ttl=30)
    assert one.hook.extend(name="nightly", token=late.token, ttl=60_000) is False
    with pytest.raises(oc.LockLost):
        late.release()
    info = one.lock_info("nightly")
    assert info is not None
    assert info.fence == current.fence > late.fence
    current.release()


def test_a_late_unlock_of_a_free_lock_is_reported(
    storage: Storage,
) -> None:
    """The next holder still receives the info of the previous one."""
    channel = storage.open()
    late = channel.lock("nightly", ttl=SHORT, holder={"job": "report"})
    until_free(channel)
    assert channel.hook.unlock(name="nightly", token=late.token) is False
    with channel.lock("nightly", ttl=30) as lease:
        assert lease.previous is not None
        assert (lease.previous["job"], lease.previous["fence"]) == ("report", late.fence)
    with channel.lock("nightly", ttl=30) as lease:
        assert lease.previous is None


def test_many_leases_are_extended_at_once_independently(storage: Storage) -> None:
    """An expired one, an evicted one and one of another token affect no other."""
    channel = storage.open()
    leases = [channel.lock(f"lock {n}", ttl=30) for n in range(5)]
    leases[1].release()
    channel.force_unlock("lock 3")
    requests = [oc.hookspecs.LeaseRequest(lease.name, lease.token, 60_000) for lease in leases]
    results = channel.hook.extend_all(leases=requests, timeout=5000)
    assert results == [True, False, True, False, True]
    assert {info.name for info in channel.locks()} == {"lock 0", "lock 2", "lock 4"}
    assert all(info.until - info.since > 40_000 for info in channel.locks())
    assert channel.hook.extend_all(leases=requests[::2], timeout=5000) == [True] * 3


def test_the_same_token_gets_the_same_lease_and_no_more_time(storage: Storage) -> None:
    """And a new one with a higher fence when that has expired."""
    channel, other = storage.open(), storage.open()
    request = {"name": "nightly", "token": "a" * 32, "ttl": 1000, "holder": {}, "waits": False}
    first = channel.hook.lock(**request)
    info = channel.lock_info("nightly")
    again = other.hook.lock(**request | {"ttl": 60_000})
    assert isinstance(first, Granted)
    assert isinstance(again, Granted)
    assert again.fence == first.fence
    assert channel.lock_info("nightly") == info
    until_free(channel)
    new = channel.hook.lock(**request)
    assert new.fence > first.fence


@pytest.mark.parametrize(
    ("ttl", "end"),
    [
        (30, lambda channel, lease: lease.release()),
        (SHORT, lambda channel, lease: until_free(channel)),
        (30, lambda channel, lease: channel.force_unlock("nightly")),
        (30, lambda channel, lease: (channel.destroy(), lease.release())),
        (30, lambda channel, lease: lease.channel.close()),
    ],
    ids=["unlock", "expiry", "force_unlock", "destroy", "close"],
)
def test_fences_grow_over(storage: Storage, ttl: float, end: Callable[..., object]) -> None:
    """However a lease ended, the next one's fence is higher, within one millisecond too."""
    fences = []
    admin = storage.open()
    for _ in range(3):
        lease = storage.open().lock("nightly", ttl=ttl)
        fences.append(lease.fence)
        end(admin, lease)
    assert fences == sorted(set(fences))


def test_fences_are_the_servers_time_in_microseconds(storage: Storage) -> None:
    """The clock of the client does not matter."""
    with storage.client() as client:
        before = client.admin.command("hello")["localTime"].timestamp() * 1e6
    with storage.open(clock=WrongClock(HOUR)).lock("nightly", ttl=30) as lease:
        assert before - 1000 <= lease.fence < before + 60_000_000


def test_fences_grow_when_all_that_was_stored_is_gone(storage: Storage) -> None:
    """The clock continues them, and the old holder gets LockLost."""
    channel = storage.open(prefix="gone")
    lease = channel.lock("nightly", ttl=30)
    with storage.client() as client:
        client[storage.config["args"]["database"]]["gone_locks"].drop()
    with channel.lock("nightly", ttl=30) as later:
        assert later.fence > lease.fence
        with pytest.raises(oc.LockLost):
            lease.extend()


def test_a_fence_ahead_of_the_clock_still_grows_and_is_not_swept(storage: Storage) -> None:
    """As after a step of the server's clock, it is kept until the clock has passed it."""
    channel = storage.open(prefix="ahead")
    channel.lock("nightly", ttl=30).release()
    ahead = (time.time_ns() // 1000) + 40 * DAY * 1000
    with storage.client() as client:
        rows = client[storage.config["args"]["database"]]["ahead_locks"]
        rows.update_one({"n": "nightly", "c": storage.name}, {"$set": {"fence": ahead}})
        with channel.lock("nightly", ttl=30) as lease:
            assert lease.fence == ahead + 1
        row = rows.find_one({"n": "nightly", "c": storage.name})
        assert row is not None
        assert row["sweep"].timestamp() - time.time() > 39 * DAY / 1000


def test_a_lock_that_was_unlocked_is_swept_a_day_later(storage: Storage) -> None:
    """The info of a holder that never unlocked or was evicted, after a month."""
    channel = storage.open(prefix="swept")
    left = channel.lock("left", ttl=30)
    channel.lock("unlocked", ttl=30).release()
    channel.lock("evicted", ttl=30)
    channel.force_unlock("evicted")
    with storage.client() as client:
        rows = client[storage.config["args"]["database"]]["swept_locks"]
        sweep = {row["n"]: row["sweep"] for row in rows.find({"c": storage.name})}
        now = client.admin.command("hello")["localTime"]
        (broom,) = (index for index in rows.list_indexes() if index["name"] == "broom")
    assert broom["expireAfterSeconds"] == 86_400
    assert abs((sweep["unlocked"] - now).total_seconds()) < 60
    for name in ("left", "evicted"):
        assert 29 < (sweep[name] - now).total_seconds() / 86_400 < 31
    left.release()


def test_the_mark_of_a_removed_entry_is_swept_a_day_after_the_clock_has_passed_it(
    storage: Storage,
) -> None:
    """A mark that is not a fence of a lease is kept, and so is that of an entry that exists."""
    channel = storage.open(prefix="marks")
    with channel.lock("nightly", ttl=30) as lease:
        fences = {"now": lease.fence, "ahead": lease.fence + 40 * DAY * 1000, "own": 7}
    for key, fence in fences.items():
        channel.set(key, 1, fence=fence)
        channel.set(f"{key}, fenced", 1, fence=fence)
        channel.set(f"{key}, set again", 1, fence=fence)
        channel.unset(key)
        channel.unset(f"{key}, fenced", fence=fence)
        channel.unset(f"{key}, set again")
        channel.set(f"{key}, set again", 2)
    with storage.client() as client:
        rows = client[storage.config["args"]["database"]]["marks_documents"]
        gone = {
            row["_id"].split('"')[-2]: row.get("gone") for row in rows.find({"c": storage.name})
        }
        now = client.admin.command("hello")["localTime"]
    for key in ("own", "own, fenced", *(f"{key}, set again" for key in fences)):
        assert gone[key] is None
    for key, days in (("now", 1), ("ahead", 41)):
        for kind in (key, f"{key}, fenced"):
            assert gone[kind] is not None
            assert abs((gone[kind] - now).total_seconds() / 86_400 - days) < 0.5


def test_lock_busy_has_the_remaining_time_by_the_servers_clock(storage: Storage) -> None:
    """And the info of the holder, whatever it contains."""
    info_of_holder = {"$job": "$$NOW", "a.b": {"$literal": "$holder"}, "": [None, 2**60, "$ref"]}
    one, other = storage.open(), storage.open(clock=WrongClock(-HOUR))
    with one.lock("nightly", ttl=30, holder=info_of_holder):
        with pytest.raises(oc.LockBusy) as busy:
            other.lock("nightly", ttl=30)
        assert busy.value.holder.items() >= info_of_holder.items()
        info = other.lock_info("nightly")
        assert info is not None
        assert info.holder.items() >= info_of_holder.items()
        assert info.until - info.since == 30_000
        assert other.locks() == [info]


@pytest.mark.parametrize("name", ["$$NOW", "$token", "$", '"', "{", "a\u0001", "n" * 4096])
def test_names_are_not_evaluated_as_expressions(storage: Storage, name: str) -> None:
    """Of channels and of locks."""
    channel, other = storage.open(name), storage.open(f"{name}2"[-4096:])
    with channel.lock(name, ttl=30) as lease, other.lock(name, ttl=30):
        assert channel.try_lock(name, ttl=30) is None
        assert [info.name for info in channel.locks()] == [name]
        channel.set(name, name, fence=lease.fence)
        assert channel.get(name) == name
    channel.destroy()


def test_a_holder_that_was_overtaken_is_refused_on_what_the_next_one_wrote(
    storage: Storage,
) -> None:
    """Its set, unset, get_set and add, also where the next one removed the entry."""
    one, other = storage.open(), storage.open()
    slept = one.lock("nightly", ttl=SHORT)
    until_free(other)
    with other.lock("nightly", ttl=30) as current:
        other.set("kept", "new", fence=current.fence)
        other.unset("removed", fence=current.fence)
    for attempt in (
        lambda: one.set("kept", "old", fence=slept.fence),
        lambda: one.unset("kept", fence=slept.fence),
        lambda: one.get_set("new", "kept", "old", fence=slept.fence),
        lambda: one.set("removed", "old", fence=slept.fence),
        lambda: one.add("removed", "old", fence=slept.fence),
    ):
        with pytest.raises(oc.StaleFence) as stale:
            attempt()
        assert stale.value.mark == current.fence
    assert list(one.items()) == [("kept", "new")]


def test_a_lock_that_is_granted_while_the_handle_closes_is_released(storage: Storage) -> None:
    """No lease is left that only the ttl would end."""
    other = storage.open()
    granted, closing = threading.Event(), threading.Event()

    class Slow:
        @oc.hookimpl(wrapper=True)
        def lock(self) -> Iterator[None]:
            result = yield
            granted.set()
            closing.wait(10)
            return result

        @oc.hookimpl(wrapper=True)
        def close(self) -> Iterator[None]:
            closing.set()
            return (yield)

    handle = storage.open(extensions=[Slow()])
    failed: list[BaseException] = []

    def take() -> None:
        try:
            handle.lock("nightly", ttl=60)
        except oc.ChannelClosed as error:
            failed.append(error)

    taker = threading.Thread(target=take)
    taker.start()
    assert granted.wait(10)
    handle.close()
    taker.join(20)
    assert failed
    assert other.lock_info("nightly") is None
