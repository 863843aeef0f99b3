"""Losses that `extend` finds or prevents, and keep-alive without threads."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from ojobchannels.testing.clock import ManualClock
    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage


def test_on_lost_is_called_without_keep_alive_too(storage: Storage) -> None:
    """A holder without renewals is still informed before the lease expires."""
    channel = storage.open()
    losses: SimpleQueue[oc.Lease] = SimpleQueue()
    lease = channel.lock("nightly", ttl=0.2, on_lost=losses.put)
    assert losses.get(timeout=20) is lease
    assert lease.lost


def test_on_lost_is_called_before_the_deadline_that_extend_set(
    storage: Storage, clock: ManualClock
) -> None:
    """A watched lease that is shortened ends for its owner as it does for others."""
    channel = storage.open(clock=clock)
    losses: SimpleQueue[oc.Lease] = SimpleQueue()
    lease = channel.lock("nightly", ttl=60, on_lost=losses.put)
    lease.extend(0.3)
    clock.advance(lease.remaining() - 0.01)
    assert losses.get(timeout=20) is lease
    assert clock.now() < lease.deadline


def test_extend_of_a_lease_whose_loss_was_reported_meanwhile_is_refused(
    storage: Storage, clock: ManualClock
) -> None:
    """Nobody would renew it, although the request of its owner has set a new deadline."""
    reported = threading.Event()

    class Late:
        """The reply comes when the lease has expired for its holder."""

        @oc.hookimpl(wrapper=True)
        def extend(self) -> Iterator[None]:
            results = yield
            clock.advance(lease.remaining())
            assert reported.wait(20)
            return results

    channel = storage.open(clock=clock, extensions=[Late()])
    lease = channel.lock("nightly", ttl=1, on_lost=lambda _: reported.set())
    with pytest.raises(oc.LockLost, match="not renewed in time"):
        lease.extend(60)
    with pytest.raises(oc.LockLost):
        lease.release()
    assert channel.lock_info("nightly") is None


@pytest.mark.parametrize("ttl", [10, 300], ids=["shorter", "longer"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_extend_during_a_renewal_never_gives_a_deadline_that_is_too_late(
    storage: Storage,
    clock: ManualClock,
    in_background: Callable[..., Future[Any]],
    ttl: float,
    late: bool,
) -> None:
    """The holder's deadline is never later than the stored one, whichever request is first."""
    extending: list[Future[Any]] = []
    begun = threading.Event()

    class Meanwhile:
        """Before the backend renews, or after, the holder extends."""

        @oc.hookimpl(wrapper=True)
        def extend_all(self) -> Iterator[None]:
            if late:
                results = yield
            if not extending:
                extending.append(in_background(lease.extend, ttl))
                wait(extending, 0.1)
                begun.set()
            return results if late else (yield)

    channel = storage.open(clock=clock, extensions=[Meanwhile()])
    other = storage.open(clock=clock)
    with channel.lock("nightly", ttl=20, keep_alive=True) as lease:
        clock.advance(7)
        assert begun.wait(20)
        extending[0].result(20)
        info = other.lock_info("nightly")
        assert info is not None
        assert lease.remaining() <= info.until / 1000 - clock.wall() / 1e6
        assert lease.ttl == ttl


# Threads are limited by user, and root has no limit: the script becomes another user first.
NO_THREADS = """
import logging, os, resource, threading
with channel.lock("warm up", ttl=60, keep_alive=True):
    pass
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join()
logging.getLogger("ojobchannels").addHandler(logging.NullHandler())
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]

def allow_threads(allowed):
    resource.setrlimit(resource.RLIMIT_NPROC, (hard if allowed else 1, hard))
"""


REFUSED = """
allow_threads(False)
for call in (
    lambda: channel.lock("nightly", ttl=60, keep_alive=True),
    lambda: channel.lock("nightly", ttl=60, on_lost=print),
):
    try:
        call()
    except oc.ChannelUnavailable as error:
        send(str(error))
    assert channel.lock_info("nightly") is None
allow_threads(True)
with channel.lock("nightly", ttl=60, keep_alive=True):
    send("passed")
"""


SHORTAGE = """
renewed = threading.Semaphore(0)
class Renewals:
    @oc.hookimpl(wrapper=True)
    def extend_all(self):
        results = yield
        renewed.release()
        return results
oc.add_extension(Renewals())
channel = oc.open_channel("renewed")
lost = threading.Event()
lease = channel.lock("nightly", ttl=9, keep_alive=True, on_lost=lambda _: lost.set())
allow_threads(False)
assert renewed.acquire(timeout=20)
lease.check()
allow_threads(True)
while not any(thread.name == "ojobchannels-renewals" for thread in threading.enumerate()):
    assert renewed.acquire(timeout=20)
allow_threads(False)
# The renewal worker is running by now: only the thread that calls `on_lost` cannot be started.
channel.force_unlock("nightly")
assert lost.wait(20)
allow_threads(True)
while renewed.acquire(blocking=False):
    pass
with channel.lock("after", ttl=6, keep_alive=True) as lease:
    assert renewed.acquire(timeout=20)
    lease.check()
send("passed")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts threads of a user")
def test_a_watched_lock_is_refused_if_no_thread_can_be_started(
    simple_storage: Storage, start_worker: Callable[..., Child]
) -> None:
    """One clear error, the lock is free, and the next attempt succeeds once there are threads."""
    worker = start_worker(NO_THREADS + REFUSED, simple_storage)
    for _ in range(2):
        message = worker.receive()
        assert "no thread can be started to keep lock 'nightly' alive" in message
        assert "raise the limit" in message
    assert worker.receive() == "passed"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts threads of a user")
def test_keep_alive_survives_a_shortage_of_threads(
    simple_storage: Storage, start_worker: Callable[..., Child]
) -> None:
    """What a thread cannot be started for is done by the scheduler: a renewal, and `on_lost`."""
    worker = start_worker(NO_THREADS + SHORTAGE, simple_storage)
    assert worker.receive() == "passed"
