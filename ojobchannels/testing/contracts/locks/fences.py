"""Lock fences: they increase with each lease of a name (rule 5)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.contracts.locks.requests import TOKEN, ask
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl

_DAY = 86_400


class FenceOrderContract(Contract):
    """The fence is the last one plus one, or the clock in µs, whichever is higher."""

    @pytest.mark.usefixtures("timing")
    def test_fences_increase_across_unlocks(self, channel: Channel) -> None:
        """For 200 leases in a row."""
        self._assert_growing(channel.lock, 200, Lease.release)

    def test_fences_increase_across_expiry(self, subject: Subject, timing: TimeControl) -> None:
        """A lease after an expired one has a higher fence."""
        channel = subject.open()
        fences = []
        for _ in range(20 if timing.clock else 3):
            fences.append(ask(channel, ttl=timing.short).fence)
            timing.advance(timing.short)
        assert fences == sorted(set(fences))

    @pytest.mark.usefixtures("timing")
    def test_fences_increase_across_force_unlock(self, channel: Channel) -> None:
        """A lease after an evicted one has a higher fence."""
        self._assert_growing(channel.lock, 20, lambda lease: channel.force_unlock(lease.name))

    @pytest.mark.usefixtures("timing")
    def test_fences_increase_across_destroy(self, channel: Channel) -> None:
        """`destroy` keeps the fences of held and of free locks."""

        def end(lease: Lease) -> None:
            channel.destroy()
            lease.release()
            channel.destroy()

        self._assert_growing(channel.lock, 20, end)

    @pytest.mark.usefixtures("timing")
    def test_fences_increase_across_closed_handles(self, subject: Subject) -> None:
        """Each lease is on a new handle, opened after the last one was closed."""
        fences = []
        for _ in range(10):
            with subject.open() as channel:
                fences.append(channel.lock("nightly", ttl=60).fence)
        assert fences == sorted(set(fences))

    @pytest.mark.usefixtures("timing")
    def test_fences_increase_between_handles(self, subject: Subject) -> None:
        """Whichever handle takes the lock."""
        handles = [subject.open() for _ in range(3)]
        fences = []
        for turn in range(30):
            with handles[turn % 3].lock("nightly", ttl=60) as lease:
                fences.append(lease.fence)
        assert fences == sorted(set(fences))

    @pytest.mark.usefixtures("timing")
    def test_a_refusal_has_the_fence_of_the_holder(self, channel: Channel) -> None:
        """It does not use up a fence."""
        first = ask(channel).fence
        for _ in range(5):
            assert ask(channel, token="b" * 32).fence == first
        channel.hook.unlock(name="nightly", token=TOKEN)
        assert ask(channel).fence > first

    @pytest.mark.usefixtures("timing")
    def test_extend_keeps_the_fence(self, channel: Channel) -> None:
        """An extended lease is not a new lease."""
        fence = ask(channel).fence
        for _ in range(3):
            channel.hook.extend(name="nightly", token=TOKEN, ttl=90_000)
        info = channel.lock_info("nightly")
        assert info is not None
        assert info.fence == fence == ask(channel).fence

    def test_a_fence_is_as_high_as_the_clock(self, channel: Channel, timing: TimeControl) -> None:
        """In µs since 1970, so that fences increase even if the storage is lost."""
        fence = ask(channel, name="never taken before").fence
        seconds = abs(fence / 1e6 - timing.wall())
        assert seconds < _DAY, f"fence {fence} is {seconds:.0f} s off the clock in µs"

    def test_fences_follow_the_clock(self, channel: Channel, timing: TimeControl) -> None:
        """Between two grants, fences increase by at least the µs that passed."""
        before = ask(channel, name="one").fence
        timing.advance(0.2)
        assert ask(channel, name="another").fence - before >= 200_000

    @requires("clock")
    def test_a_fence_is_the_clock_or_one_more(self, subject: Subject, timing: TimeControl) -> None:
        """The fence is exactly `max(last + 1, wall clock in µs)`."""
        channel, clock = subject.open(), timing.clock
        assert clock is not None
        with channel.lock("nightly", ttl=30) as first:
            assert first.fence == clock.wall()
        with channel.lock("nightly", ttl=30) as second:
            assert second.fence == first.fence + 1
        clock.advance(1)
        with channel.lock("nightly", ttl=30) as third:
            assert third.fence == clock.wall() > second.fence

    @requires("clock")
    @pytest.mark.parametrize("end", ["unlock", "expiry", "force_unlock"])
    def test_fences_of_one_token_increase_when_the_wall_clock_is_set_back(
        self, channel: Channel, clock: ManualClock, end: str
    ) -> None:
        """A request with the token of an ended lease gets a new lease."""
        fences = []
        for _ in range(3):
            fences.append(ask(channel).fence)
            if end == "unlock":
                channel.hook.unlock(name="nightly", token=TOKEN)
            elif end == "expiry":
                clock.advance(60)
            else:
                channel.force_unlock("nightly")
            clock.step_wall(-3600)
        assert fences == sorted(set(fences))

    @requires("clock")
    @pytest.mark.parametrize("end", ["unlock", "expiry", "force_unlock", "destroy", "close"])
    def test_fences_increase_when_the_wall_clock_is_set_back(
        self, subject: Subject, clock: ManualClock, end: str
    ) -> None:
        """The last fence is remembered."""
        fences = []
        for _ in range(10):
            channel = subject.open()
            lease = channel.lock("nightly", ttl=60)
            fences.append(lease.fence)
            if end == "unlock":
                lease.release()
            elif end == "expiry":
                clock.advance(60)
            elif end == "force_unlock":
                channel.force_unlock("nightly")
            elif end == "destroy":
                lease.release()
                channel.destroy()
            else:
                channel.close()
            clock.step_wall(-3600)
        assert fences == sorted(set(fences))

    @requires("clock")
    def test_a_fence_ahead_of_the_clock_is_kept_for_a_day_after_it(
        self, subject: Subject, clock: ManualClock
    ) -> None:
        """High fences from a clock that was ahead are not removed too early."""
        clock.step_wall(30 * _DAY)
        with subject.open() as channel:
            ahead = channel.lock("nightly", ttl=60)
            ahead.release()
        clock.step_wall(-30 * _DAY)
        for days in (1, 28, 1, 0.9):
            clock.advance(days * _DAY)
            with subject.open() as channel, channel.lock("nightly", ttl=60) as lease:
                assert lease.fence > ahead.fence

    def test_a_client_with_a_slow_clock_gets_a_higher_fence(
        self, subject: Subject, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The wall clock of the client does not matter."""
        fences = []
        real = time.time, time.time_ns
        for hours in (0, 1, -1, 0, -1):
            monkeypatch.setattr(time, "time", lambda h=hours: real[0]() + h * 3600)
            monkeypatch.setattr(time, "time_ns", lambda h=hours: real[1]() + h * 3600 * 10**9)
            with subject.open() as channel, channel.lock("nightly", ttl=60) as lease:
                fences.append(lease.fence)
        monkeypatch.undo()
        assert fences == sorted(set(fences))

    def _assert_growing(
        self, lock: Callable[..., Lease], count: int, end: Callable[[Lease], object]
    ) -> None:
        fences = []
        for _ in range(count):
            lease = lock("nightly", ttl=60)
            fences.append(lease.fence)
            end(lease)
        assert fences == sorted(set(fences)), "a fence was not higher than the one before"
