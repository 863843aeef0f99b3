"""The server's clock decides, and not that of a client."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Final, Protocol

import pytest

from ojobchannels.errors import LockBusy
from ojobchannels.testing.contracts.base import timed
from ojobchannels.testing.contracts.remote.base import NetworkContract
from ojobchannels.testing.kit.subject import Subject

HOUR: Final = 3600


class WrongClock:
    """The clock of a client that is wrong by some seconds, and runs."""

    def __init__(self, off: float) -> None:
        self.epoch = f"off by {off}"
        self._off = round(off * 1e6)

    def now(self) -> int:
        """Return the microseconds since some moment."""
        return time.monotonic_ns() // 1000 + max(self._off, 0)

    def wall(self) -> int:
        """Return the microseconds since 1970, wrong."""
        return time.time_ns() // 1000 + self._off


class ServerClock:
    """A clock that only the test moves; a plugin's fixture makes the server use it, too."""

    epoch = "the server's"

    def __init__(self, moved: Callable[[int], object] = int) -> None:
        self._now = 1_900_000_000_000_000
        self._moved = moved
        moved(self._now)

    def now(self) -> int:
        """Return the microseconds since 1970."""
        return self._now

    wall = now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += round(seconds * 1e6)
        self._moved(self._now)


class _Turns(Protocol):
    def advance(self, seconds: float) -> None: ...


@timed
class ServerClockContract(NetworkContract):
    """The clock of leases; a subclass gives `ojob_server_clock`, a `ServerClock`.

    Attributes:
        tick: The resolution of the server's clock in seconds.
    """

    tick: ClassVar[float] = 1e-3

    @pytest.mark.parametrize("off", [HOUR, -HOUR], ids=["ahead", "behind"])
    def test_a_client_whose_clock_is_an_hour_off_neither_steals_nor_loses(
        self, subject: Subject, off: int
    ) -> None:
        """It sees what others see, and its leases last as long as theirs."""
        right, wrong = subject.open(), subject.open(clock=WrongClock(off))
        held = right.lock("nightly", ttl=30)
        assert wrong.try_lock("nightly", ttl=30) is None
        with pytest.raises(LockBusy) as busy:
            wrong.lock("nightly", ttl=30)
        assert 20 < busy.value.remaining <= 30
        assert wrong.lock_info("nightly") == right.lock_info("nightly")
        held.release()
        with wrong.lock("nightly", ttl=30) as lease:
            assert 20 < lease.remaining() <= 30
            assert lease.fence > held.fence
            assert right.try_lock("nightly", ttl=30) is None
            lease.extend()
        with right.lock("nightly", ttl=30) as later:
            assert later.fence > lease.fence

    def test_a_lease_includes_its_last_tick_and_not_the_next_one(
        self, subject: Subject, ojob_server_clock: _Turns
    ) -> None:
        """`now >= until` is expired: for lock, extend, unlock, adopt and lock_info."""
        channel, clock = subject.open(clock=ojob_server_clock), ojob_server_clock
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
                clock.advance(10 - early * self.tick)
                assert bool(attempt()) is bool(early)
                clock.advance(20)
        fence = channel.hook.lock(**held, ttl=10_000, holder={}, waits=False).fence
        clock.advance(10 - self.tick)
        assert channel.try_lock("nightly", ttl=1) is None
        clock.advance(self.tick)
        assert channel.lock("nightly", ttl=1).fence > fence

    def test_fences_grow_when_the_servers_clock_steps_back(
        self, subject: Subject, ojob_server_clock: _Turns
    ) -> None:
        """The last fence is kept until the clock has passed it."""
        channel = subject.open(clock=ojob_server_clock)
        fences = []
        for _ in range(5):
            with channel.lock("nightly", ttl=60) as lease:
                fences.append(lease.fence)
            ojob_server_clock.advance(-HOUR)
        assert fences == sorted(set(fences))
