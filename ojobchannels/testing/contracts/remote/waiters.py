"""How waiters are woken by a server: across processes, with one thread for all of them."""

from __future__ import annotations

import statistics
import threading
import time
from typing import Any, ClassVar, Final

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import ChannelClosed
from ojobchannels.hookspecs import Busy, hookimpl
from ojobchannels.testing.contracts.base import timed
from ojobchannels.testing.contracts.remote.base import NetworkContract
from ojobchannels.testing.kit.background import Background, WaitObserver
from ojobchannels.testing.kit.children import Children
from ojobchannels.testing.kit.subject import Subject

TURNS: Final = 8
HOLDER: Final = f"""
for turn in range({TURNS}):
    lease = channel.lock("nightly", ttl=60)
    send("held")
    receive()
    released = time.monotonic()
    lease.release()
    send(released)
    receive()
"""


class Refusals:
    """An extension that counts the refusals of `lock`."""

    def __init__(self) -> None:
        self.count = 0

    @hookimpl(wrapper=True)
    def lock(self) -> Any:
        """Count."""
        result = yield
        self.count += isinstance(result, Busy)
        return result


@timed
class RemoteWaiterContract(NetworkContract):
    """Waiters and the thread that wakes them.

    Attributes:
        waiter_thread: The name of the thread that wakes the waiters; empty if there is none.
        refusals_of_twelve: Upper bound of the refusals while twelve waiters get a lock in turn.
    """

    waiter_thread: ClassVar[str] = ""
    refusals_of_twelve: ClassVar[int] = 4 * 12

    def threads(self) -> list[threading.Thread]:
        """Return the threads that wake waiters."""
        return [thread for thread in threading.enumerate() if thread.name == self.waiter_thread]

    def join(self) -> None:
        """Wait for the threads to end."""
        for thread in self.threads():
            thread.join(10)
        assert self.threads() == []

    def test_a_release_in_another_process_wakes_a_waiter(
        self, subject: Subject, observer: WaitObserver, children: Children, background: Background
    ) -> None:
        """Within 50 ms and a round trip, by the median of several."""
        waiter = subject.open(extensions=[observer])
        holder = children(HOLDER, subject)
        lags = []

        def acquire() -> float:
            with waiter.lock("nightly", ttl=30, wait=None):
                return time.monotonic()

        for _ in range(TURNS):
            assert holder.receive() == "held"
            waiting = background(acquire)
            observer.await_waiters()
            time.sleep(0.1)  # a stream or subscription is opened
            holder.send()
            released = holder.receive()
            lags.append(waiting.result(20) - released)
            holder.send()
        assert statistics.median(lags) < 0.15, lags
        assert holder.end() == 0

    def test_all_waiters_of_a_process_share_one_thread(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """It starts with the first waiter, whatever lock and channel, and ends after the last."""
        assert self.threads() == []
        names = [f"{subject.name} {n}" for n in range(3)]
        channels = [subject.open(name, extensions=[observer]) for name in names]
        held = [
            (channel, channel.lock(f"lock {n}", ttl=60)) for channel in channels for n in range(2)
        ]

        def work(channel: Channel, lease: Lease) -> None:
            channel.lock(lease.name, ttl=30, wait=30).release()

        waiting = [background(work, *pair) for pair in held for _ in range(2)]
        observer.await_waiters(len(waiting))
        assert len(self.threads()) == (1 if self.waiter_thread else 0)
        for _, lease in held:
            lease.release()
        for call in waiting:
            call.result(30)
        self.join()

    def test_closing_a_channel_ends_its_waiters_and_the_thread(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """A waiter gets ChannelClosed."""
        holder, channel = subject.open(), subject.open(extensions=[observer])
        lease = holder.lock("nightly", ttl=60)
        waiting = background(channel.lock, "nightly", ttl=30, wait=None)
        observer.await_waiters()
        channel.close()
        with pytest.raises(ChannelClosed):
            waiting.result(10)
        lease.release()
        holder.close()
        self.join()

    def test_a_lock_that_is_not_waited_for_starts_no_thread(self, channel: Channel) -> None:
        """`wait=0` costs no stream and no subscription."""
        with channel.lock("nightly", ttl=30):
            assert channel.try_lock("nightly", ttl=30) is None
            assert self.threads() == []

    def test_a_release_wakes_one_of_the_waiters_of_a_process(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """Each gets its turn, and few requests are refused."""
        refusals = Refusals()
        holder = subject.open()
        channel = subject.open(extensions=[observer, refusals])
        lease = holder.lock("nightly", ttl=60)
        order: list[int] = []

        def work(number: int) -> None:
            with channel.lock("nightly", ttl=60, wait=60):
                order.append(number)

        workers = [background(work, number) for number in range(12)]
        observer.await_waiters(12)
        time.sleep(0.1)  # the last one is added to the queue
        lease.release()
        for worker in workers:
            worker.result(30)
        assert sorted(order) == list(range(12))
        # Each was refused once, and some again; if a release woke all of them, it would be 78.
        assert refusals.count < self.refusals_of_twelve
