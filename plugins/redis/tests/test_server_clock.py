"""The clock that counts is the server's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis
    from conftest import ServerClock

    from ojobchannels.testing.kit.subject import Subject
    from ojobchannels.testing.servers import RedisServer

HOUR = 3600
DAY = 24 * HOUR


class WrongClock:
    """The clock of a client that is wrong by some seconds, and runs."""

    def __init__(self, off: float) -> None:
        self.epoch = f"off by {off}"
        self._off = round(off * 1e6)

    def now(self) -> int:
        return time.monotonic_ns() // 1000 + max(self._off, 0)

    def wall(self) -> int:
        return time.time_ns() // 1000 + self._off


@pytest.mark.parametrize("off", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_a_client_whose_clock_is_an_hour_off_neither_steals_nor_loses(
    storage: Subject, off: int
) -> None:
    """It sees what others see, and its own leases are worth what others' are."""
    right, wrong = storage.open(), storage.open(clock=WrongClock(off))
    held = right.lock("nightly", ttl=30)
    assert wrong.try_lock("nightly", ttl=30) is None
    with pytest.raises(oc.LockBusy) as busy:
        wrong.lock("nightly", ttl=30)
    assert 29 < busy.value.remaining <= 30
    assert wrong.lock_info("nightly") == right.lock_info("nightly")
    held.release()
    with wrong.lock("nightly", ttl=30) as lease:
        assert 29 < lease.remaining() <= 30
        assert lease.fence > held.fence
        assert right.try_lock("nightly", ttl=30) is None
        lease.extend()
    with right.lock("nightly", ttl=30) as later:
        assert later.fence > lease.fence


def test_fences_are_the_servers_time_whoever_asks(storage: Subject, client: redis.Redis) -> None:
    """A fence is microseconds of the server's clock."""
    seconds, micros = client.time()
    with storage.open(clock=WrongClock(HOUR)).lock("nightly", ttl=30) as lease:
        assert 0 < lease.fence - (seconds * 1_000_000 + micros) < 10_000_000


def test_the_last_microsecond_belongs_to_the_holder_and_the_next_to_nobody(
    storage: Subject, clock: ServerClock
) -> None:
    """`now >= until` is expired, for whoever locks, extends, unlocks, adopts or looks."""
    channel = storage.open(clock=clock)
    held = {"name": "nightly", "token": "a" * 32}
    attempts: list[Callable[[], object]] = [
        lambda: channel.hook.extend(**held, ttl=10_000),
        lambda: channel.hook.adopt(**held, holder={}),
        lambda: channel.lock_info("nightly"),
        lambda: channel.force_unlock("nightly"),
        lambda: channel.hook.unlock(**held),
    ]
    for attempt in attempts:
        for early in (0, 1):
            channel.hook.lock(**held, ttl=10_000, holder={}, waits=False)
            clock.advance(10 - early * 1e-6)
            assert bool(attempt()) is bool(early)
            clock.advance(20)
    fence = channel.hook.lock(**held, ttl=10_000, holder={}, waits=False).fence
    clock.advance(10 - 1e-6)
    assert channel.try_lock("nightly", ttl=1) is None
    clock.advance(1e-6)
    assert channel.lock("nightly", ttl=1).fence > fence


def test_fences_grow_when_the_servers_clock_steps_back(
    storage: Subject, clock: ServerClock
) -> None:
    """The last one is remembered until the clock has passed it."""
    channel = storage.open(clock=clock)
    fences = []
    for _ in range(5):
        with channel.lock("nightly", ttl=60) as lease:
            fences.append(lease.fence)
        clock.advance(-HOUR)
    assert fences == sorted(set(fences))


@pytest.mark.parametrize("end", ["unlocked", "forced", "expired"])
def test_a_fence_is_kept_until_a_day_after_the_clock_passed_it(
    storage: Subject, clock: ServerClock, client: redis.Redis, end: str
) -> None:
    """Also one that is ahead of a clock that stepped back; and no lock is kept for ever."""
    channel = storage.open(clock=clock)
    key = f"ojob:{{{channel.name}:nightly}}:lock"
    ahead = channel.lock("nightly", ttl=60)
    ahead.release()
    clock.advance(-30 * DAY)
    lease = channel.lock("nightly", ttl=60)
    assert lease.fence == ahead.fence + 1
    if end == "unlocked":
        lease.release()
    elif end == "forced":
        channel.force_unlock("nightly")
    kept = client.ttl(key)
    expected = 31 if end == "unlocked" else 60
    assert expected * DAY - HOUR < kept < expected * DAY + HOUR


def test_fences_grow_over_flushall(server: RedisServer) -> None:
    """With all that is stored gone, the clock takes them on, and old holders are told."""
    with oc.open_channel("orders", server.url) as channel:
        for _ in range(3):
            lease = channel.lock("nightly", ttl=30)
            server.command("FLUSHALL")
            with channel.lock("nightly", ttl=30) as later:
                assert later.fence > lease.fence
                with pytest.raises(oc.LockLost):
                    lease.extend()


def test_what_a_holder_left_is_kept_for_a_month(storage: Subject, clock: ServerClock) -> None:
    """A weekly job finds what its predecessor left when it died."""
    channel = storage.open(clock=clock)
    dead = channel.lock("weekly", ttl=60, holder={"job": "report"})
    clock.advance(20 * DAY)
    with channel.lock("weekly", ttl=60) as lease:
        assert lease.previous is not None
        assert (lease.previous["job"], lease.previous["fence"]) == ("report", dead.fence)
