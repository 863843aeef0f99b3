"""Keep-alive: leases are renewed in time, losses are told once, and few threads do it."""

from __future__ import annotations

import fcntl
import logging
import sys
import threading
import time
from concurrent.futures import wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import ManualClock, Storage


TTL = 1.5


class Renewals:
    """An extension that tells of renewals, and holds them up or fails them."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.done = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.times: list[float] = []
        self.timeouts: list[int] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.failures: list[Exception] = []

    @oc.hookimpl(wrapper=True)
    def extend_all(self, leases: list[Any], timeout: int) -> Iterator[None]:
        self.sizes.append(len(leases))
        self.times.append(time.monotonic())
        self.timeouts.append(timeout)
        self.begun.release()
        assert self.may_go.wait(30)
        if self.failures:
            raise self.failures.pop()
        answers = yield
        self.done.release()
        return answers

    def wait_for(self, count: int) -> None:
        """Waits for renewals that the host's clock brings."""
        for _ in range(count):
            assert self.done.acquire(timeout=20)

    def bring(self, count: int, clock: ManualClock) -> None:
        """Lets a third of the TTL pass, and a renewal with it, so many times."""
        for _ in range(count):
            clock.advance(TTL / 3 + 0.01)
            assert self.done.acquire(timeout=20)


@pytest.fixture
def renewals() -> Iterator[Renewals]:
    """Renewals that are let go at the end of the test, whatever held them up."""
    extension = Renewals()
    yield extension
    extension.may_go.set()


def threads(kind: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == f"ojobchannels-{kind}"]


def gone(kind: str) -> bool:
    for thread in threads(kind):
        thread.join(5)
    return not threads(kind)


def test_a_lease_is_renewed_for_as_long_as_it_is_held(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """Beyond its ttl it is still held, and after the release nobody renews it."""
    channel = storage.open(clock=clock, extensions=[renewals])
    other = storage.open(clock=clock)
    with channel.lock("nightly", ttl=TTL, keep_alive=True) as lease:
        renewals.bring(4, clock)
        lease.check()
        assert not lease.lost
        assert other.try_lock("nightly", ttl=1) is None
    assert other.lock_info("nightly") is None
    assert gone("keep-alive")


def test_leases_in_quick_succession_share_one_thread(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread watches over all of them, and ends when the channel closes."""
    monkeypatch.setattr("ojobchannels.channels.keepalive._LONGEST_SLEEP", 3_600_000_000)
    channel = storage.open()
    watchers = set()
    for _ in range(20):
        with channel.lock("nightly", ttl=60, keep_alive=True):
            watchers.update(threads("keep-alive"))
    assert len(watchers) == 1
    channel.close()
    assert gone("keep-alive")


def test_a_lease_that_ends_soon_is_watched_though_others_have_time(
    storage: Storage, renewals: Renewals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short lease, and one that is cut short, are renewed in time beside a long one."""
    monkeypatch.setattr("ojobchannels.channels.keepalive._LONGEST_SLEEP", 3_600_000_000)
    channel = storage.open(extensions=[renewals])
    with channel.lock("weekly", ttl=9_000, keep_alive=True) as long:
        with channel.lock("nightly", ttl=3, keep_alive=True) as short:
            renewals.wait_for(1)
            short.check()
        long.extend(3)
        renewals.wait_for(1)
        long.check()


def test_renewals_come_at_thirds_of_the_ttl(storage: Storage, renewals: Renewals) -> None:
    """By the host's own clock: not before, and before the second third is over."""
    channel = storage.open(extensions=[renewals])
    began = time.monotonic()
    with channel.lock("nightly", ttl=2.4, keep_alive=True):
        renewals.wait_for(2)
    steps = [b - a for a, b in zip([began, *renewals.times], renewals.times, strict=False)]
    assert all(0.75 < step < 1.6 for step in steps), steps


def test_a_renewal_may_take_the_time_that_is_left_and_no_more(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """Its timeout ends with the lease."""
    channel = storage.open(clock=clock, extensions=[renewals])
    with channel.lock("nightly", ttl=TTL, keep_alive=True) as lease:
        clock.advance(TTL / 2)
        left = lease.remaining()
        assert renewals.begun.acquire(timeout=20)
    assert 0 < renewals.timeouts[0] / 1000 <= left


def test_without_keep_alive_a_lease_ends_with_its_ttl(channel: oc.Channel) -> None:
    """Nothing renews it, and no thread runs for it."""
    lease = channel.lock("nightly", ttl=0.05)
    assert threads("keep-alive") == []
    with channel.lock("nightly", ttl=30, wait=10):
        assert lease.lost
        with pytest.raises(oc.LockLost):
            lease.extend()


def test_on_lost_runs_once_when_somebody_put_the_holder_out(
    storage: Storage, renewals: Renewals
) -> None:
    """At the next renewal, on a thread of its own, with the lease; it stays lost."""
    channel = storage.open(extensions=[renewals])
    told: SimpleQueue[tuple[oc.Lease, str]] = SimpleQueue()
    lease = channel.lock(
        "nightly",
        ttl=0.9,
        keep_alive=True,
        on_lost=lambda it: told.put((it, threading.current_thread().name)),
    )
    channel.force_unlock("nightly")
    which, thread = told.get(timeout=20)
    assert which is lease
    assert thread not in ("ojobchannels-keep-alive", "ojobchannels-renewals", "MainThread")
    assert lease.lost
    assert gone("keep-alive")
    assert told.empty()
    for attempt in (lease.check, lease.extend, lease.release):
        with pytest.raises(oc.LockLost):
            attempt()
    assert told.empty()


def test_on_lost_comes_before_the_deadline_when_renewals_hang(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """The holder hears of it once, while its lease still lives."""
    channel = storage.open(clock=clock, extensions=[renewals])
    renewals.may_go.clear()
    told: SimpleQueue[oc.Lease] = SimpleQueue()
    leases = [
        channel.lock(f"nightly {number}", ttl=0.6, keep_alive=True, on_lost=told.put)
        for number in range(5)
    ]
    clock.advance(0.3)
    assert renewals.begun.acquire(timeout=20)
    clock.advance(leases[0].remaining() - 0.01)
    assert {told.get(timeout=20) for _ in range(5)} == set(leases)
    assert all(clock.now() < lease.deadline for lease in leases)
    assert all(lease.lost for lease in leases)
    assert channel.lock_info("nightly 0") is not None
    assert gone("keep-alive")
    assert told.empty()


def test_on_lost_is_told_without_keep_alive_too(storage: Storage) -> None:
    """Who does not renew still hears that the time is nearly over."""
    channel = storage.open()
    told: SimpleQueue[oc.Lease] = SimpleQueue()
    lease = channel.lock("nightly", ttl=0.2, on_lost=told.put)
    assert told.get(timeout=20) is lease
    assert lease.lost


def test_on_lost_is_not_told_of_a_release(storage: Storage, renewals: Renewals) -> None:
    """Nor of a hand-over, nor of a close."""
    channel = storage.open(extensions=[renewals])
    told: SimpleQueue[oc.Lease] = SimpleQueue()
    released, given, _ = (
        channel.lock(name, ttl=TTL, keep_alive=True, on_lost=told.put) for name in "abc"
    )
    renewals.wait_for(1)
    released.release()
    given.to_document()
    channel.close()
    assert gone("keep-alive")
    assert told.empty()


def test_a_callback_that_blocks_or_fails_hinders_no_other_lease(
    storage: Storage,
    renewals: Renewals,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Other leases of the same channel are renewed meanwhile; the failure is logged."""
    channel = storage.open(clock=clock, extensions=[renewals])
    other = storage.open(clock=clock)
    blocked, told = threading.Event(), threading.Semaphore(0)

    def block(_: oc.Lease) -> None:
        told.release()
        blocked.wait(30)

    def fail(_: oc.Lease) -> None:
        told.release()
        raise ZeroDivisionError

    kept = channel.lock("kept", ttl=TTL, keep_alive=True)
    channel.lock("blocks", ttl=TTL, keep_alive=True, on_lost=block)
    channel.lock("fails", ttl=TTL, keep_alive=True, on_lost=fail)
    with caplog.at_level(logging.ERROR, "ojobchannels"):
        other.force_unlock("blocks")
        other.force_unlock("fails")
        renewals.bring(1, clock)
        for _ in range(2):
            assert told.acquire(timeout=20)
        renewals.bring(3, clock)
        kept.release()
        blocked.set()
        assert gone("on-lost")
    assert "ZeroDivisionError" in caplog.text


def test_one_thread_keeps_the_times_and_one_per_channel_renews(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """However many leases there are; and what is due at once goes out in one command."""
    channels = [
        storage.open(f"{storage.name}-{n}", clock=clock, extensions=[renewals]) for n in range(3)
    ]
    leases = [
        channel.lock(f"lock {n}", ttl=TTL, keep_alive=True)
        for channel in channels
        for n in range(10)
    ]
    clock.advance(TTL / 2)
    renewals.wait_for(3)
    assert len(threads("keep-alive")) == 1
    assert 1 <= len(threads("renewals")) <= 3
    assert renewals.sizes == [10, 10, 10]
    for lease in leases:
        assert lease.remaining() == pytest.approx(TTL * 0.99)
        lease.release()
    assert gone("keep-alive")
    assert gone("renewals")


def test_a_channel_that_hangs_does_not_hold_up_the_others(
    storage: Storage, clock: ManualClock
) -> None:
    """Its leases are lost, those of other channels live on."""
    hanging, fine = Renewals(), Renewals()
    hanging.may_go.clear()
    one = storage.open(f"{storage.name}-1", clock=clock, extensions=[hanging])
    other = storage.open(f"{storage.name}-2", clock=clock, extensions=[fine])
    told: SimpleQueue[oc.Lease] = SimpleQueue()
    try:
        lost = one.lock("nightly", ttl=TTL, keep_alive=True, on_lost=told.put)
        kept = other.lock("nightly", ttl=TTL, keep_alive=True)
        fine.bring(3, clock)
        assert told.get(timeout=20) is lost
        fine.bring(1, clock)
        kept.check()
        kept.release()
    finally:
        hanging.may_go.set()


@pytest.mark.parametrize(
    "failure", [oc.ChannelUnavailable("test", "gone", "wait"), ZeroDivisionError()], ids=repr
)
def test_a_renewal_that_failed_is_tried_again(
    storage: Storage,
    renewals: Renewals,
    clock: ManualClock,
    failure: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Three failures in a row do not cost the lease, while there is time."""
    channel = storage.open(clock=clock, extensions=[renewals])
    renewals.failures = [failure] * 3
    with caplog.at_level(logging.WARNING, "ojobchannels"):
        with channel.lock("nightly", ttl=TTL, keep_alive=True) as lease:
            clock.advance(TTL / 3)
            while not renewals.done.acquire(timeout=0.5):
                lease.check()
                clock.advance(TTL / 20)
            lease.check()
        assert gone("keep-alive")
    assert renewals.failures == []
    assert "could not be renewed" in caplog.text


def test_a_lease_shortened_by_extend_is_renewed_at_thirds_of_the_new_ttl(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """Keep-alive follows the ttl that was asked for last."""
    channel = storage.open(clock=clock, extensions=[renewals])
    with channel.lock("nightly", ttl=60, keep_alive=True) as lease:
        lease.extend(TTL)
        renewals.bring(4, clock)
        lease.check()
        assert lease.ttl == TTL


def test_a_loss_is_told_by_the_deadline_that_extend_set(storage: Storage) -> None:
    """A watched lease that is shortened ends for its owner when it does for others."""
    channel = storage.open()
    told: SimpleQueue[float] = SimpleQueue()
    lease = channel.lock("nightly", ttl=60, on_lost=lambda _: told.put(time.monotonic()))
    lease.extend(0.3)
    extended = time.monotonic()
    assert told.get(timeout=20) - extended < 0.6


@pytest.mark.parametrize("ttl", [1, 30], ids=["shorter", "longer"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_extend_and_a_renewal_at_once_leave_the_holder_no_false_trust(
    storage: Storage, in_background: Callable[..., Future[Any]], ttl: float, late: bool
) -> None:
    """Whichever reaches the storage first, the holder never counts on more than it has there."""
    extending: list[Future[Any]] = []
    begun = threading.Event()

    class Meanwhile:
        """Before the backend renews, or after, the holder extends."""

        @oc.hookimpl(wrapper=True)
        def extend_all(self) -> Iterator[None]:
            if late:
                answers = yield
            if not extending:
                extending.append(in_background(lease.extend, ttl))
                wait(extending, 0.1)
                begun.set()
            return answers if late else (yield)

    channel, other = storage.open(extensions=[Meanwhile()]), storage.open()
    with channel.lock("nightly", ttl=2, keep_alive=True) as lease:
        assert begun.wait(20)
        extending[0].result(20)
        left = lease.remaining()
        info = other.lock_info("nightly")
        assert info is not None
        assert left <= info.until / 1000 - time.time() + 0.02
        assert lease.ttl == ttl


def test_close_ends_the_renewals_of_the_channel(storage: Storage, renewals: Renewals) -> None:
    """No thread stays behind."""
    channel = storage.open(extensions=[renewals])
    channel.lock("nightly", ttl=TTL, keep_alive=True)
    renewals.wait_for(1)
    channel.close()
    assert gone("keep-alive")
    assert gone("renewals")


def test_on_lost_runs_once_when_extend_finds_the_loss(storage: Storage, clock: ManualClock) -> None:
    """The owner hears of it both ways: by the error, and by the callback, one time."""
    channel = storage.open(clock=clock)
    told: SimpleQueue[oc.Lease] = SimpleQueue()
    lease = channel.lock("nightly", ttl=60, on_lost=told.put)
    channel.force_unlock("nightly")
    for attempt in (lease.extend, lease.extend, lease.release):
        with pytest.raises(oc.LockLost):
            attempt()
    assert told.get(timeout=20) is lease
    assert gone("on-lost")
    assert gone("keep-alive")
    assert told.empty()


def test_one_record_that_is_stuck_does_not_cost_the_other_leases(
    file_storage: Storage, renewals: Renewals, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that was stopped inside of one lock's file delays nobody else's renewal."""
    channel = file_storage.open(clock=clock, extensions=[renewals])
    told: SimpleQueue[oc.Lease] = SimpleQueue()
    records = file_storage.path.with_name(f"{file_storage.path.name}.ojob") / "locks"
    stuck = channel.lock("stuck", ttl=TTL, keep_alive=True, on_lost=told.put)
    (record,) = records.iterdir()
    with record.open() as file, caplog.at_level(logging.WARNING, "ojobchannels"):
        fcntl.flock(file, fcntl.LOCK_EX)
        others = [channel.lock(f"lock {n}", ttl=TTL, keep_alive=True) for n in range(5)]
        for _ in range(3):
            began = time.monotonic()
            renewals.bring(1, clock)
            assert time.monotonic() - began < 1
        assert told.get(timeout=20) is stuck
        for lease in others:
            lease.check()
            lease.release()
        assert gone("renewals")
    assert "'stuck'" in caplog.text


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

TRIED_AGAIN = """
refused = threading.Event()
class Handler(logging.Handler):
    def emit(self, record):
        if "could not be renewed" in record.getMessage():
            refused.set()
logging.getLogger("ojobchannels").addHandler(Handler())
lost = threading.Event()
lease = channel.lock("nightly", ttl=1.5, keep_alive=True, on_lost=lambda _: lost.set())
allow_threads(False)
assert refused.wait(20)
allow_threads(True)
assert not lost.wait(2)
lease.check()
allow_threads(False)
# The worker that renews is there by now: what has no thread any more is the telling of a loss.
channel.force_unlock("nightly")
assert lost.wait(20)
allow_threads(True)
with channel.lock("after", ttl=0.6, keep_alive=True) as lease:
    threading.Event().wait(0.8)
    lease.check()
send("passed")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts threads of a user")
def test_where_no_thread_is_to_be_had_a_watched_lock_is_refused(
    simple_storage: Storage, start_worker: Callable[..., Child]
) -> None:
    """One clear error, the lock is free, and the next attempt goes well once there are threads."""
    worker = start_worker(NO_THREADS + REFUSED, simple_storage)
    for _ in range(2):
        message = worker.receive()
        assert "no thread can be started to keep lock 'nightly' alive" in message
        assert "raise the limit" in message
    assert worker.receive() == "passed"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts threads of a user")
def test_keep_alive_outlives_a_shortage_of_threads(
    simple_storage: Storage, start_worker: Callable[..., Child]
) -> None:
    """A renewal that got no thread is tried again, and a loss is told all the same."""
    worker = start_worker(NO_THREADS + TRIED_AGAIN, simple_storage)
    assert worker.receive() == "passed"
