"""Crowds: with many waiters, each hand-over is as quick as with one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, Final

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import ChannelError, LockBusy
from ojobchannels.hookspecs import hookimpl
from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.contracts.promptness import assert_prompt
from ojobchannels.testing.kit.background import SOON, Background, WaitObserver
from ojobchannels.testing.kit.children import Child, Children, boot_time
from ojobchannels.testing.kit.subject import Subject

_CROWD: Final = 6
_LATEST: Final = 0.2
"""Seconds after which each waiter has the lock."""
_WAIT: Final = SOON
"""Seconds after which a waiter gives up, which is a defect."""

# Waits with two threads for each lock that the test names, and sends the times of both leases.
_WAITERS: Final = """
import threading
waiting = oc.open_channel(channel_name, channel_config, extensions=[WaitObserver()])
def work(name):
    lease = waiting.lock(name, ttl=60, wait=60)
    granted = boot_time()
    lease.release()
    send([granted, boot_time()])
with waiting:
    while name := receive():
        threads = [threading.Thread(target=work, args=[name]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
"""
_ENDS: Final[dict[str, Callable[[Lease, Channel], object]]] = {
    "release": lambda lease, _: lease.release(),
    "force_unlock": lambda lease, other: other.force_unlock(lease.name),
    "close": lambda lease, _: lease.channel.close(),
    "a shorter lease": lambda lease, _: lease.extend(0.01),
}


class CrowdContract(Contract):
    """In real time: a lock passes from one of many waiters to the next without a pause."""

    def test_each_waiter_of_a_crowd_is_woken_at_once(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """From the first to the last, on three handles."""
        holder = subject.open()
        handles = [subject.open(extensions=[observer]) for _ in range(3)]

        def work(handle: Channel, name: str) -> tuple[float, float]:
            lease = handle.lock(name, ttl=60, wait=_WAIT)
            granted = boot_time()
            lease.release()
            return granted, boot_time()

        def crowd(attempt: int) -> list[float]:
            lease = holder.lock(f"lock {attempt}", ttl=60)
            waiters = [background(work, handles[n % 3], lease.name) for n in range(_CROWD)]
            observer.await_waiters(_CROWD)
            released = boot_time()
            lease.release()
            return _lags([(0.0, released), *sorted(waiter.result(30) for waiter in waiters)])

        assert_prompt(subject, crowd, _LATEST)

    @requires("processes")
    def test_each_waiter_of_several_processes_is_woken_at_once(
        self, subject: Subject, children: Children
    ) -> None:
        """From the first to the last, two in each of two processes, by a release or an eviction."""
        workers = [children(_WAITERS, subject) for _ in range(2)]
        other = subject.open()

        def crowd(attempt: int, end: str) -> list[float]:
            lease = subject.open().lock(f"{end} {attempt}", ttl=60)
            for worker in workers:
                worker.send(lease.name)
                assert [worker.receive(), worker.receive()] == ["waiting"] * 2
            ended = boot_time()
            _ENDS[end](lease, other)
            times = [tuple(_times(worker)) for worker in workers for _ in range(2)]
            return _lags([(0.0, ended), *sorted(times)])

        for end in ("release", "force_unlock"):
            assert_prompt(subject, partial(crowd, end=end), _LATEST)

    def test_a_crowd_does_not_spin(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """Its waiters send only a few requests while the lock is held."""
        requests = []

        class Counting:
            @hookimpl(wrapper=True)
            def lock(self) -> Iterator[None]:
                requests.append(1)
                return (yield)

        waiting = subject.open(extensions=[observer, Counting()])
        lease = subject.open().lock("nightly", ttl=60)

        def work() -> None:
            waiting.lock(lease.name, ttl=60, wait=60).release()

        waiters = [background(work) for _ in range(_CROWD)]
        observer.await_waiters(_CROWD)
        with pytest.raises(LockBusy):
            subject.open().lock(lease.name, ttl=60, wait=0.3)
        asked = len(requests)
        lease.release()
        for waiter in waiters:
            waiter.result(30)
        assert asked <= 20 * _CROWD, f"they asked {asked} times within 0.3 s"

    @pytest.mark.parametrize("end", _ENDS.values(), ids=_ENDS)
    def test_a_crowd_is_woken_by_every_end_of_a_lease(
        self,
        subject: Subject,
        observer: WaitObserver,
        background: Background,
        end: Callable[[Lease, Channel], object],
    ) -> None:
        """One of the waiters gets the lock at once."""
        other, waiting = subject.open(), subject.open(extensions=[observer])

        def crowd(attempt: int) -> list[float]:
            lease = subject.open().lock(f"lock {attempt}", ttl=60)

            def work() -> float:
                with waiting.lock(lease.name, ttl=60, wait=_WAIT):
                    return boot_time()

            waiters = [background(work) for _ in range(3)]
            observer.await_waiters(3)
            ended = boot_time()
            end(lease, other)
            return [min(waiter.result(30) for waiter in waiters) - ended]

        assert_prompt(subject, crowd, _LATEST)

    def test_waiters_that_give_up_do_not_delay_the_others(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """Also if they give up at the moment at which the lock is released."""
        holder, waiting = subject.open(), subject.open(extensions=[observer])

        def wait(name: str, seconds: float) -> bool:
            try:
                waiting.lock(name, ttl=60, wait=seconds).release()
            except LockBusy:
                return False
            return True

        for turn in range(3):
            lease = holder.lock(f"lock {turn}", ttl=60)
            began = time.monotonic()
            timeouts = [0.2, 0.22, 30, 0.24, 30, 0.2]
            waiters = [background(wait, lease.name, seconds) for seconds in timeouts]
            observer.await_waiters(len(timeouts))
            time.sleep(max(began + 0.2 + turn * 0.02 - time.monotonic(), 0))
            lease.release()
            results = [waiter.result(20) for waiter in waiters]
            assert (results[2], results[4]) == (True, True), "a patient waiter got no lock"
            assert time.monotonic() - began < SOON
            assert holder.lock_info(lease.name) is None

    def test_a_closed_handle_does_not_delay_waiters_of_others(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """Its waiters end, those of another handle get the lock in turn."""
        holder = subject.open()
        staying = subject.open(extensions=[observer])

        def work(channel: Channel) -> Any:
            try:
                channel.lock("nightly", ttl=60, wait=1.5 * SOON).release()
            except ChannelError as error:
                return type(error).__name__
            return "locked"

        lease = holder.lock("nightly", ttl=60)
        closing = subject.open(extensions=[observer])
        waiters = [background(work, handle) for handle in (closing, staying) * 3]
        observer.await_waiters(6)
        closing.close()
        began = time.monotonic()
        lease.release()
        results = [waiter.result(20) for waiter in waiters]
        assert results == ["ChannelClosed", "locked"] * 3
        assert time.monotonic() - began < SOON


def _lags(times: list[tuple[float, float]]) -> list[float]:
    """Return the seconds between the end of each lease and the next grant."""
    return [then[0] - last[1] for last, then in pairwise(times)]


def _times(worker: Child) -> Any:
    """Return when the next waiter of a process got and released the lock."""
    while (message := worker.receive()) == "waiting":
        pass  # it waits once more
    return message
