"""FIFO: waiters get a lock in order, with the capability `fifo`."""

from __future__ import annotations

import time

import pytest

from ojobchannels.errors import LockBusy
from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.kit.background import SOON, Background, WaitObserver
from ojobchannels.testing.kit.subject import Subject


@requires("fifo")
class FifoContract(Contract):
    """First come, first served."""

    def test_waiters_get_the_lock_in_order(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """The waiter that asked first gets the lock first."""
        channel = subject.open(extensions=[observer])
        first = channel.lock("nightly", ttl=60)
        order: list[int] = []

        def work(number: int) -> None:
            with channel.lock("nightly", ttl=60, wait=30):
                order.append(number)

        workers = []
        for number in range(6):
            workers.append(background(work, number))
            observer.await_waiters()
        first.release()
        for worker in workers:
            worker.result()
        assert order == list(range(6))

    def test_a_newcomer_does_not_pass_the_queue(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """Also at the moment at which the lock has just been released."""
        channel, newcomer = subject.open(extensions=[observer]), subject.open()
        for _ in range(10):
            first = channel.lock("nightly", ttl=60)
            waiting = background(channel.lock, "nightly", ttl=60, wait=30)
            observer.await_waiters()
            first.release()
            assert newcomer.try_lock("nightly", ttl=60) is None, "a newcomer passed the queue"
            waiting.result().release()

    def test_a_waiter_that_times_out_leaves_the_queue(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """The waiters behind it are not delayed."""
        channel = subject.open(extensions=[observer])
        first = channel.lock("nightly", ttl=60)
        gives_up = background(channel.lock, "nightly", ttl=60, wait=0.1)
        observer.await_waiters()
        stays = background(channel.lock, "nightly", ttl=60, wait=30)
        observer.await_waiters()
        with pytest.raises(LockBusy):
            gives_up.result()
        began = time.monotonic()
        first.release()
        stays.result().release()
        assert time.monotonic() - began < SOON
