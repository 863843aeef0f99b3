"""Fences and expiry follow the server's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.testing.contracts.remote.clock import HOUR, WrongClock

if TYPE_CHECKING:
    import redis

    from ojobchannels.testing.contracts.remote.clock import ServerClock
    from ojobchannels.testing.kit.subject import Subject
    from ojobchannels.testing.servers import RedisServer

DAY = 24 * HOUR


def test_fences_are_the_time_of_the_server(storage: Subject, client: redis.Redis) -> None:
    """In microseconds, whatever the clock of the client shows."""
    seconds, micros = client.time()
    with storage.open(clock=WrongClock(HOUR)).lock("nightly", ttl=30) as lease:
        assert 0 < lease.fence - (seconds * 1_000_000 + micros) < 10_000_000


@pytest.mark.parametrize("end", ["unlocked", "forced", "expired"])
def test_a_fence_is_kept_until_a_day_after_the_clock_passed_it(
    storage: Subject, ojob_server_clock: ServerClock, client: redis.Redis, end: str
) -> None:
    """Also a fence that is ahead of a clock that stepped back; no lock is kept forever."""
    channel = storage.open(clock=ojob_server_clock)
    key = f"ojob:{{{channel.name}:nightly}}:lock"
    ahead = channel.lock("nightly", ttl=60)
    ahead.release()
    ojob_server_clock.advance(-30 * DAY)
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
    """When everything stored is lost, the clock continues them, and old holders get LockLost."""
    with oc.open_channel("orders", server.url) as channel:
        for _ in range(3):
            lease = channel.lock("nightly", ttl=30)
            server.command("FLUSHALL")
            with channel.lock("nightly", ttl=30) as later:
                assert later.fence > lease.fence
                with pytest.raises(oc.LockLost):
                    lease.extend()


def test_the_info_of_a_dead_holder_is_kept_for_a_month(
    storage: Subject, ojob_server_clock: ServerClock
) -> None:
    """A weekly job receives that of its predecessor."""
    channel = storage.open(clock=ojob_server_clock)
    dead = channel.lock("weekly", ttl=60, holder={"job": "report"})
    ojob_server_clock.advance(20 * DAY)
    with channel.lock("weekly", ttl=60) as lease:
        assert lease.previous is not None
        assert (lease.previous["job"], lease.previous["fence"]) == ("report", dead.fence)
