"""Leases: what a holder has in hand tells the truth, and ends in order."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import InvalidOption, LockLost
from ojobchannels.hookspecs import Granted, hookimpl
from ojobchannels.testing.contracts.base import Contract
from ojobchannels.testing.kit.background import PATIENCE, Background
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl


class LeaseContract(Contract):
    """`held`, `lost`, `remaining`, `check`, `extend`, `release`, and `with`."""

    def test_a_lease_is_held_from_the_grant_to_the_release(self, channel: Channel) -> None:
        """And is never lost in between, nor after."""
        lease = channel.lock("nightly", ttl=60)
        lease.check()
        assert (lease.held, lease.lost) == (True, False)
        lease.release()
        assert (lease.held, lease.lost) == (False, False)

    def test_a_lease_tells_its_name_fence_and_ttl(self, channel: Channel) -> None:
        """As the backend has them."""
        with channel.lock("nightly", ttl=timedelta(minutes=1)) as lease:
            info = channel.lock_info("nightly")
            assert info is not None
            assert (lease.name, lease.fence, lease.ttl) == (info.name, info.fence, 60)

    def test_remaining_is_the_ttl_less_a_hundredth_at_most(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """It is never more than others leave the holder, and runs down."""
        lease = channel.lock("nightly", ttl=60)
        assert 60 * 0.99 - timing.slack <= lease.remaining() <= 60 * 0.99
        timing.advance(0.1)
        assert lease.remaining() <= 60 * 0.99 - 0.1

    def test_a_lease_is_lost_when_its_time_is_over(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """By the holder's own clock, without asking anyone."""
        lease = channel.lock("nightly", ttl=timing.short)
        timing.expire(lease)
        assert (lease.held, lease.lost, lease.remaining()) == (False, True, 0)
        for attempt in (lease.check, lease.extend, lease.release):
            with pytest.raises(LockLost) as lost:
                attempt()
            assert (lost.value.name, lost.value.fence) == ("nightly", lease.fence)

    def test_extend_renews_by_the_leases_own_ttl(
        self, subject: Subject, timing: TimeControl
    ) -> None:
        """By default; what others see is renewed with it."""
        channel, other = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=timing.short * 2)
        for _ in range(3):
            timing.advance(timing.short)
            lease.extend()
        lease.check()
        assert other.try_lock("nightly", ttl=60) is None

    def test_extend_takes_another_ttl(self, channel: Channel, timing: TimeControl) -> None:
        """Longer or shorter, as seconds or as a timedelta; it is the lease's own from then on."""
        lease = channel.lock("nightly", ttl=60)
        ttls: list[tuple[Any, float]] = [(600, 600), (timedelta(seconds=90), 90), (None, 90)]
        for ttl, seconds in ttls:
            lease.extend(ttl)
            assert lease.ttl == seconds
            assert lease.remaining() == pytest.approx(seconds * 0.99, abs=timing.slack)

    def test_a_holder_that_was_put_out_learns_it_by_extend(self, subject: Subject) -> None:
        """And its lease is lost from then on."""
        channel, admin = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=60)
        admin.force_unlock("nightly")
        with pytest.raises(LockLost):
            lease.extend()
        assert lease.lost
        with pytest.raises(LockLost):
            lease.check()

    def test_a_holder_that_was_put_out_learns_it_by_release(self, subject: Subject) -> None:
        """And puts nobody else out."""
        channel, admin = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=60)
        admin.force_unlock("nightly")
        with admin.lock("nightly", ttl=60) as current:
            with pytest.raises(LockLost):
                lease.release()
            current.extend()

    def test_release_twice_is_nothing(self, channel: Channel) -> None:
        """Nor is a release within `with`; the lease then says that it was released."""
        with channel.lock("nightly", ttl=60) as lease:
            lease.release()
            lease.release()
        assert (lease.held, lease.lost, lease.remaining()) == (False, False, 0)
        with pytest.raises(LockLost, match="it was released"):
            lease.check()
        with channel.lock("nightly", ttl=60) as other:
            lease.release()
            other.extend()

    def test_release_by_two_threads_at_once_is_one_release(
        self, subject: Subject, background: Background
    ) -> None:
        """As when a channel is closed while another thread leaves its `with`: no loss is told."""
        unlocked, go_on = threading.Event(), threading.Event()

        class SlowAnswer:
            @hookimpl(wrapper=True)
            def unlock(self) -> Iterator[None]:
                answer = yield
                unlocked.set()
                go_on.wait(PATIENCE)
                return answer

        channel = subject.open(extensions=[SlowAnswer()])
        lease = channel.lock("nightly", ttl=60)
        first = background(lease.release)
        assert unlocked.wait(PATIENCE)
        second = background(lease.release)
        time.sleep(0.02)
        go_on.set()
        first.result()
        second.result()
        assert not lease.lost

    def test_with_never_runs_its_body_unheld(self, channel: Channel, timing: TimeControl) -> None:
        """A lease that was lost, released or handed over before `with` raises at its door."""
        lost = channel.lock("lost", ttl=timing.short)
        released, given = (channel.lock(name, ttl=60) for name in ("released", "given"))
        released.release()
        given.to_document()
        timing.expire(lost)
        for lease in (lost, released, given):
            ran = False
            with pytest.raises(LockLost), lease:
                ran = True
            assert not ran, f"the body ran under {lease}"

    def test_with_tells_a_loss_at_its_end(self, channel: Channel) -> None:
        """Provided that the body went well."""
        with pytest.raises(LockLost), channel.lock("nightly", ttl=60):
            channel.force_unlock("nightly")

    def test_the_bodys_own_error_stands(self, channel: Channel) -> None:
        """A loss is noted on it; the lock is free after an error as after none."""
        with pytest.raises(ZeroDivisionError) as failed, channel.lock("nightly", ttl=60):
            _fail(after=lambda: channel.force_unlock("nightly"))
        assert any("lost the lock 'nightly'" in note for note in failed.value.__notes__)
        with pytest.raises(ZeroDivisionError) as failed, channel.lock("nightly", ttl=60):
            _fail(after=lambda: None)
        assert not hasattr(failed.value, "__notes__")
        assert channel.lock_info("nightly") is None

    def test_ttls_from_10_ms_to_a_hundred_years_are_taken(self, channel: Channel) -> None:
        """As seconds or as a timedelta, kept to the millisecond."""
        century = timedelta(days=36500)
        ttls: list[tuple[Any, float]] = [(10, 10), (12.3456, 12.346), (century, 36500 * 86400)]
        for number, (ttl, seconds) in enumerate(ttls):
            assert channel.lock(f"{number}", ttl=ttl).ttl == seconds
        asked = {"name": "nightly", "token": "c" * 32, "ttl": 10, "holder": {}, "waits": False}
        answer = channel.hook.lock(**asked)
        assert isinstance(answer, Granted)

    @pytest.mark.parametrize(
        "ttl", [0, 0.009, -1, float("nan"), float("inf"), "5", True, [1]], ids=repr
    )
    def test_a_ttl_that_is_none_is_refused(self, channel: Channel, ttl: Any) -> None:
        """By `lock`, `try_lock` and `extend`; nothing is taken."""
        with channel.lock("held", ttl=60) as held:
            attempts: list[Callable[[], object]] = [
                lambda: channel.lock("nightly", ttl=ttl),
                lambda: channel.try_lock("nightly", ttl=ttl),
                lambda: held.extend(ttl),
            ]
            for attempt in attempts:
                with pytest.raises(InvalidOption, match="ttl"):
                    attempt()
            assert channel.lock_info("nightly") is None

    def test_a_ttl_is_required(self, channel: Channel) -> None:
        """There is no lock without an end."""
        with pytest.raises(TypeError, match="ttl"):
            channel.lock("nightly")  # type: ignore[call-arg]  # what is promised

    @pytest.mark.parametrize("wait", [-1, float("nan"), "5", True], ids=repr)
    def test_a_wait_that_is_none_is_refused(self, channel: Channel, wait: Any) -> None:
        """It is a duration, or None for ever."""
        with pytest.raises(InvalidOption, match="wait"):
            channel.lock("nightly", ttl=60, wait=wait)
        assert channel.lock_info("nightly") is None

    def test_a_lease_cannot_be_pickled(self, channel: Channel) -> None:
        """Nor a channel; the errors say what to do instead."""
        with (
            channel.lock("nightly", ttl=60) as lease,
            pytest.raises(TypeError, match="to_document and lease_from"),
        ):
            pickle.dumps(lease)
        with pytest.raises(TypeError, match="open it again"):
            pickle.dumps(channel)


def _fail(after: Callable[[], object]) -> None:
    after()
    raise ZeroDivisionError
