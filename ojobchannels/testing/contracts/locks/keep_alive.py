"""Keep-alive: a lease is renewed while it is held, and a loss is reported in time (rule 6)."""

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
from ojobchannels.testing.contracts.base import Contract, timed
from ojobchannels.testing.kit.background import PATIENCE
from ojobchannels.testing.kit.subject import Subject

TTL = 0.6

_T = TypeVar("_T")


class Renewals:
    """An extension that records, delays or fails renewals."""

    def __init__(self) -> None:
        self.done: SimpleQueue[int] = SimpleQueue()
        self.failures: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()

    @hookimpl(wrapper=True)
    def extend_all(self, leases: list[Any]) -> Iterator[None]:
        self.gate.wait(PATIENCE)
        if self.failures:
            raise self.failures.pop()
        results = yield
        self.done.put(len(leases))
        return results


@timed
class KeepAliveContract(Contract):
    """In real time, since the keep-alive uses the clock of the host."""

    @pytest.fixture
    def renewals(self) -> Iterator[Renewals]:
        """An extension for renewals, which are released after the test."""
        extension = Renewals()
        yield extension
        extension.gate.set()

    def test_keep_alive_holds_a_lease(self, subject: Subject, renewals: Renewals) -> None:
        """Until the release; then it is not renewed any more."""
        channel, other = subject.open(extensions=[renewals]), subject.open()
        with channel.lock("nightly", ttl=TTL, keep_alive=True) as lease:
            for _ in range(4):
                _next(renewals.done)
            lease.check()
            assert other.try_lock("nightly", ttl=1) is None
        assert other.lock_info("nightly") is None

    def test_many_leases_are_renewed_together(self, subject: Subject, renewals: Renewals) -> None:
        """Leases that are due at the same time are renewed in one request."""
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

    def test_on_lost_is_called_once_for_an_evicted_lease(
        self, subject: Subject, renewals: Renewals
    ) -> None:
        """At the next renewal; other leases are still renewed."""
        channel = subject.open(extensions=[renewals])
        calls: SimpleQueue[Lease] = SimpleQueue()
        kept = channel.lock("kept", ttl=TTL, keep_alive=True, on_lost=calls.put)
        lease = channel.lock("nightly", ttl=TTL, keep_alive=True, on_lost=calls.put)
        subject.open().force_unlock("nightly")
        assert _next(calls) is lease
        assert lease.lost
        _next(renewals.done)
        kept.release()
        assert calls.empty()

    def test_on_lost_is_called_before_the_lease_expires(
        self, subject: Subject, renewals: Renewals
    ) -> None:
        """If renewals hang, while no other process can get the lock yet."""
        channel, other = subject.open(extensions=[renewals]), subject.open()
        calls: SimpleQueue[bool] = SimpleQueue()

        def on_lost(lease: Lease) -> None:
            info = other.lock_info(lease.name)
            calls.put(info is not None and info.fence == lease.fence)

        renewals.gate.clear()
        for turn, ttl in enumerate((0.8, 0.8, 1.6, 3.2)):  # a busy machine may be late at first
            channel.lock(f"nightly {turn}", ttl=ttl, keep_alive=True, on_lost=on_lost)
            if _next(calls):
                return
        pytest.fail("on_lost was called when the lock was already free")

    def test_on_lost_is_called_without_keep_alive(self, channel: Channel) -> None:
        """Shortly before the lease expires."""
        calls: SimpleQueue[Lease] = SimpleQueue()
        lease = channel.lock("nightly", ttl=0.2, on_lost=calls.put)
        assert _next(calls) is lease
        assert lease.lost

    def test_on_lost_is_not_called_for_a_regular_end(
        self, subject: Subject, renewals: Renewals
    ) -> None:
        """Not for a release, a hand-over or a close."""
        channel = subject.open(extensions=[renewals])
        calls: SimpleQueue[Lease] = SimpleQueue()
        released, detached, _ = (
            channel.lock(name, ttl=TTL, keep_alive=True, on_lost=calls.put) for name in "abc"
        )
        _next(renewals.done)
        released.release()
        detached.to_document()
        channel.close()
        time.sleep(TTL)
        assert calls.empty()

    def test_a_failed_renewal_is_retried(self, subject: Subject, renewals: Renewals) -> None:
        """Three failures in a row do not cost the lease, while there is time."""
        channel, other = subject.open(extensions=[renewals]), subject.open()
        renewals.failures = [ChannelUnavailable("test", "gone", "wait") for _ in range(3)]
        with channel.lock("nightly", ttl=1, keep_alive=True) as lease:
            _next(renewals.done)
            lease.check()
            assert other.try_lock("nightly", ttl=1) is None
        assert renewals.failures == []

    def test_a_renewal_keeps_fence_and_holder(self, subject: Subject, renewals: Renewals) -> None:
        """In `lock_info`, only `until` changes."""
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
        pytest.fail(f"no call within {PATIENCE:g} s")
