"""Clocks: which clock decides when a lease expires, and which do not (rules 4 and 6)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import LockBusy, LockLost
from ojobchannels.hookspecs import hookimpl
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.contracts.base import Contract, requires, timed
from ojobchannels.testing.contracts.locks.requests import TOKEN, ask
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl

_HOUR = 3600
_STEPS = pytest.mark.parametrize("step", [_HOUR, -_HOUR], ids=["forward", "back"])
_MICROSECOND = 1e-6


@timed
class ClockContract(Contract):
    """Leases expire by one clock; with the capability `clock`, to the microsecond."""

    @_STEPS
    def test_a_client_with_a_wrong_clock_steals_no_lock(
        self, subject: Subject, monkeypatch: pytest.MonkeyPatch, step: int
    ) -> None:
        """With a clock an hour ahead or behind, it sees the holder like other clients."""
        one = subject.open()
        lease = one.lock("nightly", ttl=60)
        _set_wall_clock(monkeypatch, step)
        for other in (subject.open(), one):
            assert other.try_lock("nightly", ttl=60) is None
            assert [info.fence for info in other.locks()] == [lease.fence]
            with pytest.raises(LockBusy) as busy:
                other.lock("nightly", ttl=60)
            assert busy.value.remaining == pytest.approx(60, abs=2)
        monkeypatch.undo()
        lease.release()

    @_STEPS
    def test_a_client_with_a_wrong_clock_loses_no_lock(
        self, subject: Subject, monkeypatch: pytest.MonkeyPatch, step: int
    ) -> None:
        """With a clock an hour ahead or behind, it holds, extends and releases normally."""
        other = subject.open()
        _set_wall_clock(monkeypatch, step)
        one = subject.open()
        lease = one.lock("nightly", ttl=60)
        short = one.lock("short", ttl=0.3)
        monkeypatch.undo()
        assert other.try_lock("nightly", ttl=60) is None
        with pytest.raises(LockBusy) as busy:
            other.lock("nightly", ttl=60)
        assert busy.value.remaining == pytest.approx(60, abs=2)
        time.sleep(0.32)
        other.lock("short", ttl=60).release()
        _set_wall_clock(monkeypatch, step)
        assert short.lost
        lease.check()
        lease.extend(90)
        lease.release()
        assert other.lock_info("nightly") is None

    def test_the_ttl_starts_in_the_storage(self, subject: Subject) -> None:
        """The time before the request arrives does not shorten the lease for others."""

        class Delayed:
            @hookimpl(wrapper=True)
            def lock(self) -> Iterator[None]:
                time.sleep(0.3)
                return (yield)

        channel, other = subject.open(extensions=[Delayed()]), subject.open()
        ask(channel, ttl=0.25)
        assert other.try_lock("nightly", ttl=60) is None

    def test_the_deadline_counts_from_before_the_request(self, subject: Subject) -> None:
        """The holder's deadline excludes the time of the request and 1 % of the ttl."""

        class Slow:
            @hookimpl(wrapper=True)
            def lock(self) -> Iterator[None]:
                result = yield
                time.sleep(0.2)
                return result

            @hookimpl(wrapper=True)
            def extend(self) -> Iterator[None]:
                result = yield
                time.sleep(0.2)
                return result

        channel = subject.open(extensions=[Slow()])
        lease = channel.lock("nightly", ttl=60)
        assert 58 < lease.remaining() <= 60 * 0.99 - 0.2
        lease.extend(100)
        assert 97 < lease.remaining() <= 100 * 0.99 - 0.2

    def test_a_grant_that_arrives_too_late_is_released(self, subject: Subject) -> None:
        """A holder does not start with a lease that has already expired."""

        class Slow:
            @hookimpl(wrapper=True)
            def lock(self) -> Iterator[None]:
                result = yield
                time.sleep(0.15)
                return result

        slow, other = subject.open(extensions=[Slow()]), subject.open()
        with pytest.raises(LockLost, match="took longer than its ttl"):
            slow.lock("nightly", ttl=0.1)
        assert other.lock_info("nightly") is None

    def test_a_ttl_is_kept_to_the_millisecond(self, channel: Channel, timing: TimeControl) -> None:
        """It is not rounded, and its unit is milliseconds."""
        for milliseconds in (10_000, 12_345, 86_400_000, 3_153_600_000_000):
            lease = channel.lock("nightly", ttl=milliseconds / 1000)
            info = channel.lock_info("nightly")
            assert info is not None
            assert info.until - info.since == pytest.approx(milliseconds, abs=timing.slack * 1000)
            lease.release()

    @requires("clock")
    def test_extend_keeps_its_ttl_to_the_millisecond(
        self, channel: Channel, clock: ManualClock
    ) -> None:
        """Also a ttl below one second."""
        lease, granted = channel.lock("nightly", ttl=60), clock.wall() // 1000
        for milliseconds in (100, 12_345, 10):
            lease.extend(milliseconds / 1000)
            info = channel.lock_info("nightly")
            assert info is not None
            assert info.until - granted == milliseconds

    def test_a_ttl_of_50_ms_ends_after_50_ms(self, subject: Subject) -> None:
        """Expiry does not wait for a periodic clean-up."""
        one, other = subject.open(), subject.open()
        for _ in range(3):
            ask(one, ttl=0.05)
            time.sleep(0.055)
            with other.lock("nightly", ttl=60):
                assert one.hook.unlock(name="nightly", token=TOKEN) is False

    @requires("clock")
    def test_a_lease_expires_exactly_at_its_end(self, subject: Subject, clock: ManualClock) -> None:
        """One microsecond before the end it is valid, at the end it is expired."""
        one, other = subject.open(), subject.open()
        for operation in ("lock", "extend", "unlock", "adopt", "info"):
            ask(one, ttl=10)
            clock.advance(10 - _MICROSECOND)
            assert other.try_lock("nightly", ttl=1) is None, "the lease expired too early"
            assert one.lock_info("nightly") is not None
            assert len(other.locks()) == 1
            clock.advance(_MICROSECOND)
            if operation == "lock":
                other.lock("nightly", ttl=1).release()
            elif operation == "extend":
                assert one.hook.extend(name="nightly", token=TOKEN, ttl=10_000) is False
            elif operation == "unlock":
                assert one.hook.unlock(name="nightly", token=TOKEN) is False
            elif operation == "adopt":
                assert one.hook.adopt(name="nightly", token=TOKEN, holder={}) is False
            else:
                assert one.lock_info("nightly") is None
                assert other.locks() == []
                assert one.force_unlock("nightly") is None

    @requires("clock")
    def test_the_last_microsecond_belongs_to_the_holder(
        self, subject: Subject, clock: ManualClock
    ) -> None:
        """Just before the end, the token still extends, adopts and unlocks."""
        channel = subject.open()
        ask(channel, ttl=10)
        for _ in range(2):
            clock.advance(10 - _MICROSECOND)
            assert channel.hook.extend(name="nightly", token=TOKEN, ttl=10_000) is True
        clock.advance(10 - _MICROSECOND)
        assert channel.hook.adopt(name="nightly", token=TOKEN, holder={}) is not False
        assert channel.hook.unlock(name="nightly", token=TOKEN) is True

    @requires("clock")
    @_STEPS
    def test_a_step_of_the_wall_clock_does_not_affect_leases(
        self, subject: Subject, clock: ManualClock, step: int
    ) -> None:
        """A lease keeps its duration for its holder and for others."""
        one, other = subject.open(), subject.open()
        lease = one.lock("nightly", ttl=60)
        clock.advance(20)
        left = lease.remaining()
        clock.step_wall(step)
        assert lease.remaining() == left
        with pytest.raises(LockBusy) as busy:
            other.lock("nightly", ttl=60)
        assert busy.value.remaining == 40
        clock.advance(39.9)
        assert other.try_lock("nightly", ttl=60) is None
        clock.advance(0.1)
        assert other.lock_info("nightly") is None
        with other.lock("nightly", ttl=60) as next_lease:
            assert next_lease.fence > lease.fence

    @requires("clock")
    @_STEPS
    def test_extend_and_adopt_ignore_the_wall_clock(
        self, subject: Subject, clock: ManualClock, step: int
    ) -> None:
        """Also after steps of the wall clock in both directions."""
        one, other = subject.open(), subject.open()
        lease = one.lock("nightly", ttl=60)
        for _ in range(5):
            clock.step_wall(step)
            clock.advance(50)
            lease.extend()
            assert other.try_lock("nightly", ttl=60) is None
        document = lease.to_document()
        clock.step_wall(step)
        adopted = other.lease_from(document)
        assert adopted.remaining() == pytest.approx(60 * 0.99)
        adopted.release()
        assert one.lock_info("nightly") is None

    @requires("clock")
    def test_a_lease_of_an_earlier_boot_ends_by_the_wall_clock(
        self, subject: Subject, clock: ManualClock
    ) -> None:
        """After a reboot, the wall clock decides when older leases expire."""
        before = subject.open()
        lease = before.lock("nightly", ttl=60)
        clock.advance(20)
        clock.reboot()
        after = subject.open()
        clock.advance(5)
        with pytest.raises(LockBusy) as busy:
            after.lock("nightly", ttl=60)
        assert busy.value.remaining == 35
        clock.advance(35 - _MICROSECOND)
        assert after.try_lock("nightly", ttl=60) is None
        clock.advance(_MICROSECOND)
        with after.lock("nightly", ttl=60) as next_lease:
            assert next_lease.fence > lease.fence
            assert next_lease.previous is not None


def _set_wall_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Move the wall clock of this process; its monotonic clocks are not affected."""
    wall, wall_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: wall() + seconds)
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + round(seconds * 1e9))
