"""Leases: the object of a holder shows the real state, and ends properly."""

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
        """It is not lost in between or afterwards."""
        lease = channel.lock("nightly", ttl=60)
        lease.check()
        assert (lease.held, lease.lost) == (True, False)
        lease.release()
        assert (lease.held, lease.lost) == (False, False)

    def test_a_lease_has_name_fence_and_ttl(self, channel: Channel) -> None:
        """They are the same as in `lock_info`."""
        with channel.lock("nightly", ttl=timedelta(minutes=1)) as lease:
            info = channel.lock_info("nightly")
            assert info is not None
            assert (lease.name, lease.fence, lease.ttl) == (info.name, info.fence, 60)

    def test_remaining_is_at_most_99_percent_of_the_ttl(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """It decreases, and never exceeds the real remaining time."""
        lease = channel.lock("nightly", ttl=60)
        assert 60 * 0.99 - timing.slack <= lease.remaining() <= 60 * 0.99
        timing.advance(0.1)
        assert lease.remaining() <= 60 * 0.99 - 0.1

    def test_an_expired_lease_is_lost(self, channel: Channel, timing: TimeControl) -> None:
        """By the holder's own clock, without a request to the storage."""
        lease = channel.lock("nightly", ttl=timing.short)
        timing.expire(lease)
        assert (lease.held, lease.lost, lease.remaining()) == (False, True, 0)
        for attempt in (lease.check, lease.extend, lease.release):
            with pytest.raises(LockLost) as lost:
                attempt()
            assert (lost.value.name, lost.value.fence) == ("nightly", lease.fence)

    def test_extend_uses_the_ttl_of_the_lease_by_default(
        self, subject: Subject, timing: TimeControl
    ) -> None:
        """Other clients see the new end as well."""
        channel, other = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=timing.short * 2)
        for _ in range(3):
            timing.advance(timing.short)
            lease.extend()
        lease.check()
        assert other.try_lock("nightly", ttl=60) is None

    def test_extend_accepts_another_ttl(self, channel: Channel, timing: TimeControl) -> None:
        """Longer or shorter, in seconds or as timedelta; later extends use it too."""
        lease = channel.lock("nightly", ttl=60)
        ttls: list[tuple[Any, float]] = [(600, 600), (timedelta(seconds=90), 90), (None, 90)]
        for ttl, seconds in ttls:
            lease.extend(ttl)
            assert lease.ttl == seconds
            assert lease.remaining() == pytest.approx(seconds * 0.99, abs=timing.slack)

    def test_extend_of_an_evicted_lease_raises(self, subject: Subject) -> None:
        """The lease is lost from then on."""
        channel, admin = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=60)
        admin.force_unlock("nightly")
        with pytest.raises(LockLost):
            lease.extend()
        assert lease.lost
        with pytest.raises(LockLost):
            lease.check()

    def test_release_of_an_evicted_lease_raises(self, subject: Subject) -> None:
        """It does not release the lock of the next holder."""
        channel, admin = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=60)
        admin.force_unlock("nightly")
        with admin.lock("nightly", ttl=60) as current:
            with pytest.raises(LockLost):
                lease.release()
            current.extend()

    def test_a_second_release_does_nothing(self, channel: Channel) -> None:
        """Also within a `with` block."""
        with channel.lock("nightly", ttl=60) as lease:
            lease.release()
            lease.release()
        assert (lease.held, lease.lost, lease.remaining()) == (False, False, 0)
        with pytest.raises(LockLost, match="it was released"):
            lease.check()
        with channel.lock("nightly", ttl=60) as other:
            lease.release()
            other.extend()

    def test_concurrent_releases_are_one_release(
        self, subject: Subject, background: Background
    ) -> None:
        """As when one thread closes the channel and another leaves its `with` block."""
        unlocked, resume = threading.Event(), threading.Event()

        class SlowReply:
            @hookimpl(wrapper=True)
            def unlock(self) -> Iterator[None]:
                result = yield
                unlocked.set()
                resume.wait(PATIENCE)
                return result

        channel = subject.open(extensions=[SlowReply()])
        lease = channel.lock("nightly", ttl=60)
        first = background(lease.release)
        assert unlocked.wait(PATIENCE)
        second = background(lease.release)
        time.sleep(0.02)
        resume.set()
        first.result()
        second.result()
        assert not lease.lost

    def test_with_requires_a_valid_lease(self, channel: Channel, timing: TimeControl) -> None:
        """It raises LockLost for a lost, released or detached lease."""
        lost = channel.lock("lost", ttl=timing.short)
        released, detached = (channel.lock(name, ttl=60) for name in ("released", "detached"))
        released.release()
        detached.to_document()
        timing.expire(lost)
        for lease in (lost, released, detached):
            ran = False
            with pytest.raises(LockLost), lease:
                ran = True
            assert not ran, f"the body ran under {lease}"

    def test_with_raises_a_loss_at_its_end(self, channel: Channel) -> None:
        """If the body succeeded."""
        with pytest.raises(LockLost), channel.lock("nightly", ttl=60):
            channel.force_unlock("nightly")

    def test_with_keeps_the_error_of_its_body(self, channel: Channel) -> None:
        """A loss is added as a note, and the lock is released."""
        with pytest.raises(ZeroDivisionError) as failed, channel.lock("nightly", ttl=60):
            _fail(after=lambda: channel.force_unlock("nightly"))
        assert any("lost the lock 'nightly'" in note for note in failed.value.__notes__)
        with pytest.raises(ZeroDivisionError) as failed, channel.lock("nightly", ttl=60):
            _fail(after=lambda: None)
        assert not hasattr(failed.value, "__notes__")
        assert channel.lock_info("nightly") is None

    def test_ttls_from_10_ms_to_a_hundred_years_are_accepted(self, channel: Channel) -> None:
        """In seconds or as timedelta, kept to the millisecond."""
        century = timedelta(days=36500)
        ttls: list[tuple[Any, float]] = [(10, 10), (12.3456, 12.346), (century, 36500 * 86400)]
        for number, (ttl, seconds) in enumerate(ttls):
            assert channel.lock(f"{number}", ttl=ttl).ttl == seconds
        request = {"name": "nightly", "token": "c" * 32, "ttl": 10, "holder": {}, "waits": False}
        result = channel.hook.lock(**request)
        assert isinstance(result, Granted)

    @pytest.mark.parametrize(
        "ttl", [0, 0.009, -1, float("nan"), float("inf"), "5", True, [1]], ids=repr
    )
    def test_an_invalid_ttl_is_refused(self, channel: Channel, ttl: Any) -> None:
        """`lock`, `try_lock` and `extend` raise InvalidOption, and take nothing."""
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
        """No lock is without an end."""
        with pytest.raises(TypeError, match="ttl"):
            channel.lock("nightly")  # type: ignore[call-arg]  # what is promised

    @pytest.mark.parametrize("wait", [-1, float("nan"), "5", True], ids=repr)
    def test_an_invalid_wait_is_refused(self, channel: Channel, wait: Any) -> None:
        """It must be a duration, or None to wait without a timeout."""
        with pytest.raises(InvalidOption, match="wait"):
            channel.lock("nightly", ttl=60, wait=wait)
        assert channel.lock_info("nightly") is None

    def test_leases_and_channels_cannot_be_pickled(self, channel: Channel) -> None:
        """The errors say what to do instead."""
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
