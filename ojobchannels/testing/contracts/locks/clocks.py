"""Clocks: one judges, nobody else's steps count, and the holder is careful (rules 4 and 6)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import LockBusy, LockLost
from ojobchannels.hookspecs import hookimpl
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.contracts.locks.requests import TOKEN, ask
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl

_HOUR = 3600
_STEPS = pytest.mark.parametrize("step", [_HOUR, -_HOUR], ids=["forward", "back"])
_MICROSECOND = 1e-6


class ClockContract(Contract):
    """Whose clock counts; exactly, where a promise may turn it."""

    @_STEPS
    def test_a_client_whose_clock_is_an_hour_off_steals_nothing(
        self, subject: Subject, monkeypatch: pytest.MonkeyPatch, step: int
    ) -> None:
        """It does not take what another holds, nor see it otherwise."""
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
    def test_a_client_whose_clock_is_an_hour_off_loses_nothing(
        self, subject: Subject, monkeypatch: pytest.MonkeyPatch, step: int
    ) -> None:
        """It holds, extends and releases like others; they see it hold, and not for longer."""
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

    def test_the_clock_is_read_after_the_way_to_the_storage(self, subject: Subject) -> None:
        """Time that passes before the request arrives is not taken from the lease."""

        class Delayed:
            @hookimpl(wrapper=True)
            def lock(self) -> Iterator[None]:
                time.sleep(0.3)
                return (yield)

        channel, other = subject.open(extensions=[Delayed()]), subject.open()
        ask(channel, ttl=0.25)
        assert other.try_lock("nightly", ttl=60) is None

    def test_the_deadline_counts_from_before_the_request(self, subject: Subject) -> None:
        """What the request took is no time of the lease for its holder; nor a hundredth of it."""

        class Slow:
            @hookimpl(wrapper=True)
            def lock(self) -> Iterator[None]:
                answer = yield
                time.sleep(0.2)
                return answer

            @hookimpl(wrapper=True)
            def extend(self) -> Iterator[None]:
                answer = yield
                time.sleep(0.2)
                return answer

        channel = subject.open(extensions=[Slow()])
        lease = channel.lock("nightly", ttl=60)
        assert 58 < lease.remaining() <= 60 * 0.99 - 0.2
        lease.extend(100)
        assert 97 < lease.remaining() <= 100 * 0.99 - 0.2

    def test_a_grant_that_took_all_of_its_ttl_is_given_back(self, subject: Subject) -> None:
        """Nobody starts to work under a lease that is over on arrival."""

        class Slow:
            @hookimpl(wrapper=True)
            def lock(self) -> Iterator[None]:
                answer = yield
                time.sleep(0.15)
                return answer

        slow, other = subject.open(extensions=[Slow()]), subject.open()
        with pytest.raises(LockLost, match="took longer than its ttl"):
            slow.lock("nightly", ttl=0.1)
        assert other.lock_info("nightly") is None

    def test_a_ttl_is_kept_to_the_millisecond(self, channel: Channel, timing: TimeControl) -> None:
        """It is neither seconds taken for milliseconds nor rounded to whole ones."""
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
        """Also one that is shorter than a second."""
        lease, granted = channel.lock("nightly", ttl=60), clock.wall() // 1000
        for milliseconds in (100, 12_345, 10):
            lease.extend(milliseconds / 1000)
            info = channel.lock_info("nightly")
            assert info is not None
            assert info.until - granted == milliseconds

    def test_a_ttl_of_50_ms_is_over_after_50_ms(self, subject: Subject) -> None:
        """And not after a second, nor after a tick of some broom."""
        one, other = subject.open(), subject.open()
        for _ in range(3):
            ask(one, ttl=0.05)
            time.sleep(0.055)
            with other.lock("nightly", ttl=60):
                assert one.hook.unlock(name="nightly", token=TOKEN) is False

    @requires("clock")
    def test_now_at_or_after_until_is_expired(self, subject: Subject, clock: ManualClock) -> None:
        """To the microsecond: one before the end the lease lives, at the end it does not."""
        one, other = subject.open(), subject.open()
        for asked in ("lock", "extend", "unlock", "adopt", "info"):
            ask(one, ttl=10)
            clock.advance(10 - _MICROSECOND)
            assert other.try_lock("nightly", ttl=1) is None, "it ended before its end"
            assert one.lock_info("nightly") is not None
            assert len(other.locks()) == 1
            clock.advance(_MICROSECOND)
            if asked == "lock":
                other.lock("nightly", ttl=1).release()
            elif asked == "extend":
                assert one.hook.extend(name="nightly", token=TOKEN, ttl=10_000) is False
            elif asked == "unlock":
                assert one.hook.unlock(name="nightly", token=TOKEN) is False
            elif asked == "adopt":
                assert one.hook.adopt(name="nightly", token=TOKEN, holder={}) is False
            else:
                assert one.lock_info("nightly") is None
                assert other.locks() == []
                assert one.force_unlock("nightly") is None

    @requires("clock")
    def test_the_last_microsecond_belongs_to_the_holder(
        self, subject: Subject, clock: ManualClock
    ) -> None:
        """Just before the end its token still extends, is adopted, and unlocks."""
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
    def test_a_step_of_the_wall_clock_changes_nothing(
        self, subject: Subject, clock: ManualClock, step: int
    ) -> None:
        """A lease lives as long as before: for its holder, for others, and to the end."""
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
    def test_a_lease_is_renewed_and_handed_over_across_a_step(
        self, subject: Subject, clock: ManualClock, step: int
    ) -> None:
        """Extend, adopt and release do not look at the wall clock either."""
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
    def test_a_record_of_another_boot_counts_until_its_wall_deadline(
        self, subject: Subject, clock: ManualClock
    ) -> None:
        """After a reboot `now` starts anew and says nothing of older leases; the wall does."""
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
    """Has this process believe that it is so much later; what sleeps and counts is not moved."""
    wall, wall_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: wall() + seconds)
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + round(seconds * 1e9))
