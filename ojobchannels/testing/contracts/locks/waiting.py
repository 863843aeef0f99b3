"""Waiting: it ends at its timeout, and leaves nothing behind (rule 7)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from ojobchannels.errors import ChannelClosed, LockBusy
from ojobchannels.hookspecs import hookimpl
from ojobchannels.testing.contracts.base import Contract, timed
from ojobchannels.testing.kit.background import SOON, Background, WaitObserver
from ojobchannels.testing.kit.subject import Subject


@timed
class WaitContract(Contract):
    """A waiter that gives up has no claim to the lock any more."""

    def test_without_wait_the_hook_is_not_called(self, subject: Subject) -> None:
        """`wait=0`, the default, does not call the hook `wait`."""
        waits = []

        class NoWaiting:
            @hookimpl(wrapper=True)
            def wait(self) -> Iterator[None]:
                waits.append("waited")
                return (yield)

        channel = subject.open(extensions=[NoWaiting()])
        with channel.lock("nightly", ttl=60):
            assert channel.try_lock("nightly", ttl=60) is None
            for wait in (0, 0.0, timedelta(0)):
                with pytest.raises(LockBusy) as busy:
                    channel.lock("nightly", ttl=60, wait=wait)
                assert busy.value.waited == 0
        assert waits == [], "the hook was called"

    def test_waiting_is_not_needed_for_a_free_lock(
        self, subject: Subject, observer: WaitObserver
    ) -> None:
        """With any timeout."""
        channel = subject.open(extensions=[observer])
        began = time.monotonic()
        for wait in (0.5, 30, None):
            channel.lock("nightly", ttl=60, wait=wait).release()
        assert time.monotonic() - began < SOON

    def test_a_wait_ends_at_its_timeout(self, subject: Subject, background: Background) -> None:
        """Not before, and not much later."""
        seconds = 0.15
        channel, other = subject.open(), subject.open()
        with channel.lock("nightly", ttl=60):
            began = time.monotonic()
            with pytest.raises(LockBusy) as busy:
                background(other.lock, "nightly", ttl=60, wait=seconds).result()
            took = time.monotonic() - began
        assert seconds <= took + 0.002, f"it gave up after {took:.3f} s"
        assert took < seconds + SOON, f"it took {took:.3f} s"
        assert busy.value.waited >= seconds - 0.002

    def test_a_waiter_does_not_spin(self, subject: Subject, background: Background) -> None:
        """It sends only a few requests while the lock is held."""
        asked = []

        class Counting:
            @hookimpl(wrapper=True)
            def lock(self) -> Iterator[None]:
                asked.append(time.monotonic())
                return (yield)

        channel, other = subject.open(), subject.open(extensions=[Counting()])
        with channel.lock("nightly", ttl=60), pytest.raises(LockBusy):
            background(other.lock, "nightly", ttl=60, wait=0.3).result()
        assert len(asked) <= 20, f"it asked {len(asked)} times within 0.3 s"

    def test_a_waiter_that_timed_out_does_not_get_the_lock_later(
        self, subject: Subject, background: Background
    ) -> None:
        """It does not delay others either."""
        holder, other = subject.open(), subject.open()
        lease = holder.lock("nightly", ttl=60)
        with pytest.raises(LockBusy):
            background(other.lock, "nightly", ttl=60, wait=0.05).result()
        lease.release()
        assert holder.lock_info("nightly") is None
        newcomer = holder.try_lock("nightly", ttl=60)
        assert newcomer is not None, "a waiter that timed out still blocks the lock"

    def test_an_interrupted_waiter_does_not_get_the_lock_later(
        self, subject: Subject, background: Background
    ) -> None:
        """As by Ctrl-C."""

        class Interrupted:
            @hookimpl(wrapper=True)
            def wait(self) -> Iterator[None]:
                yield
                raise KeyboardInterrupt

        holder, other = subject.open(), subject.open(extensions=[Interrupted()])
        lease = holder.lock("nightly", ttl=60)
        with pytest.raises(KeyboardInterrupt):
            background(other.lock, "nightly", ttl=60, wait=0.05).result()
        lease.release()
        assert holder.lock_info("nightly") is None
        assert holder.try_lock("nightly", ttl=60) is not None

    def test_close_wakes_the_waiters_of_the_handle(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """They get ChannelClosed; waiters on other handles continue to wait."""
        holder = subject.open()
        closing, staying = (subject.open(extensions=[observer]) for _ in range(2))
        lease = holder.lock("nightly", ttl=60)
        waiting = [background(closing.lock, "nightly", ttl=60, wait=None) for _ in range(3)]
        other = background(staying.lock, "nightly", ttl=60, wait=30)
        observer.await_waiters(4)
        began = time.monotonic()
        closing.close()
        for one in waiting:
            with pytest.raises(ChannelClosed):
                one.result()
        assert time.monotonic() - began < SOON
        assert not other.done()
        lease.release()
        other.result().release()

    def test_close_never_leaves_a_lock_behind(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """The lock is free, even if a waiter of the handle was about to get it."""
        other = subject.open()
        for turn in range(8):
            handle = subject.open(extensions=[observer])
            handle.lock("nightly", ttl=60)
            waiting = [background(handle.lock, "nightly", ttl=60, wait=20) for _ in range(2)]
            observer.await_waiters(2)
            handle.close()
            for one in waiting:
                with pytest.raises(ChannelClosed):
                    one.result()
            assert other.lock_info("nightly") is None, f"turn {turn} left the lock behind"
