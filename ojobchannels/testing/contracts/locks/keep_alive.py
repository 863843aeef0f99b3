"""Keep-alive: a lease lives while it is held, and a loss is told once, in time (rule 6)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import ChannelUnavailable, LockLost
from ojobchannels.hookspecs import hookimpl
from ojobchannels.testing.contracts.base import Contract
from ojobchannels.testing.kit.background import PATIENCE
from ojobchannels.testing.kit.subject import Subject

TTL = 0.6

_T = TypeVar("_T")


class Renewals:
    """An extension that tells of renewals, fails them, or holds them up."""

    def __init__(self) -> None:
        self.done: SimpleQueue[int] = SimpleQueue()
        self.failures: list[Exception] = []
        self.may_go = threading.Event()
        self.may_go.set()

    @hookimpl(wrapper=True)
    def extend_all(self, leases: list[Any]) -> Iterator[None]:
        self.may_go.wait(PATIENCE)
        if self.failures:
            raise self.failures.pop()
        answers = yield
        self.done.put(len(leases))
        return answers


class KeepAliveContract(Contract):
    """Real time: the keep-alive wakes by the host's clock."""

    @pytest.fixture
    def renewals(self) -> Iterator[Renewals]:
        """Renewals that are let go in the end, whatever held them up."""
        extension = Renewals()
        yield extension
        extension.may_go.set()

    def test_a_kept_lease_lives_beyond_its_ttl(self, subject: Subject, renewals: Renewals) -> None:
        """For as long as it is held; after the release nobody renews it."""
        channel, other = subject.open(extensions=[renewals]), subject.open()
        with channel.lock("nightly", ttl=TTL, keep_alive=True) as lease:
            for _ in range(4):
                _next(renewals.done)
            lease.check()
            assert other.try_lock("nightly", ttl=1) is None
        assert other.lock_info("nightly") is None

    def test_many_leases_are_renewed_together(self, subject: Subject, renewals: Renewals) -> None:
        """In one request, so far as they are due at once; each lives."""
        channel, other = subject.open(extensions=[renewals]), subject.open()
        leases = [channel.lock(f"lock {n}", ttl=0.9, keep_alive=True) for n in range(10)]
        renewed = 0
        while renewed < 20:
            renewed += _next(renewals.done)
        for lease in leases:
            lease.check()
            assert other.try_lock(lease.name, ttl=1) is None
            lease.release()

    def test_without_keep_alive_a_lease_ends_with_its_ttl(self, subject: Subject) -> None:
        """Nothing renews it."""
        channel, other = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=0.1)
        with other.lock("nightly", ttl=60, wait=5):
            assert lease.lost
            with pytest.raises(LockLost):
                lease.extend()

    def test_one_that_was_put_out_hears_of_it_once(
        self, subject: Subject, renewals: Renewals
    ) -> None:
        """At the next renewal, by `on_lost`, with the lease; other leases live on."""
        channel = subject.open(extensions=[renewals])
        told: SimpleQueue[Lease] = SimpleQueue()
        kept = channel.lock("kept", ttl=TTL, keep_alive=True, on_lost=told.put)
        lease = channel.lock("nightly", ttl=TTL, keep_alive=True, on_lost=told.put)
        subject.open().force_unlock("nightly")
        assert _next(told) is lease
        assert lease.lost
        _next(renewals.done)
        kept.release()
        assert told.empty()

    def test_a_loss_is_told_before_the_lease_is_over(
        self, subject: Subject, renewals: Renewals
    ) -> None:
        """When renewals hang, the holder hears of it while nobody else can have the lock."""
        channel, other = subject.open(extensions=[renewals]), subject.open()
        told: SimpleQueue[bool] = SimpleQueue()

        def tell(lease: Lease) -> None:
            info = other.lock_info(lease.name)
            told.put(info is not None and info.fence == lease.fence)

        renewals.may_go.clear()
        for turn, ttl in enumerate((0.8, 0.8, 1.6, 3.2)):  # a busy machine may be late at first
            channel.lock(f"nightly {turn}", ttl=ttl, keep_alive=True, on_lost=tell)
            if _next(told):
                return
        pytest.fail("it was told when the lock was already free")

    def test_on_lost_is_told_without_keep_alive_too(self, channel: Channel) -> None:
        """Who does not renew still hears that the time is nearly over."""
        told: SimpleQueue[Lease] = SimpleQueue()
        lease = channel.lock("nightly", ttl=0.2, on_lost=told.put)
        assert _next(told) is lease
        assert lease.lost

    def test_on_lost_is_not_told_of_an_end_in_order(
        self, subject: Subject, renewals: Renewals
    ) -> None:
        """Not of a release, nor of a hand-over, nor of a close."""
        channel = subject.open(extensions=[renewals])
        told: SimpleQueue[Lease] = SimpleQueue()
        released, given, _ = (
            channel.lock(name, ttl=TTL, keep_alive=True, on_lost=told.put) for name in "abc"
        )
        _next(renewals.done)
        released.release()
        given.to_document()
        channel.close()
        time.sleep(TTL)
        assert told.empty()

    def test_a_renewal_that_failed_is_tried_again(
        self, subject: Subject, renewals: Renewals
    ) -> None:
        """Three failures in a row do not cost the lease, while there is time."""
        channel, other = subject.open(extensions=[renewals]), subject.open()
        renewals.failures = [ChannelUnavailable("test", "gone", "wait") for _ in range(3)]
        with channel.lock("nightly", ttl=1, keep_alive=True) as lease:
            _next(renewals.done)
            lease.check()
            assert other.try_lock("nightly", ttl=1) is None
        assert renewals.failures == []

    def test_a_renewal_keeps_fence_and_holder(self, subject: Subject, renewals: Renewals) -> None:
        """What people are told stays, but `until`."""
        channel, other = subject.open(extensions=[renewals]), subject.open()
        with channel.lock("nightly", ttl=TTL, keep_alive=True, holder={"job": "report"}):
            before = other.lock_info("nightly")
            _next(renewals.done)
            after = other.lock_info("nightly")
        assert before is not None
        assert after is not None
        assert before[:4] == after[:4]
        assert after.until > before.until


def _next(queue: SimpleQueue[_T]) -> _T:
    __tracebackhide__ = True
    try:
        return queue.get(timeout=PATIENCE)
    except Empty:
        pytest.fail(f"nothing was told within {PATIENCE:g} s")
