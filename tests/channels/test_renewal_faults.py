"""Faults beside a renewal, or during it, which end no keep-alive in silence."""

from __future__ import annotations

import logging
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.channels.keepalive.scheduler import KEEP_ALIVE
from ojobchannels.channels.lease import Lease
from tests.channels.conftest import TTL, Renewals, gone, threads

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from tests.conftest import ManualClock, Storage


def test_a_renewal_on_its_way_does_not_change_a_lease_that_was_handed_over(
    storage: Storage,
    renewals: Renewals,
    clock: ManualClock,
    in_background: Callable[..., Future[Any]],
) -> None:
    """The ttl of the next holder stays, however late the renewal of the last one is."""
    channel, other = storage.open(clock=clock, extensions=[renewals]), storage.open(clock=clock)
    lease = channel.lock("nightly", ttl=TTL, keep_alive=True)
    renewals.may_go.clear()
    clock.advance(TTL / 2)
    assert renewals.begun.acquire(timeout=20)

    def take_over() -> Lease:
        taken = other.lease_from(lease.to_document())
        taken.extend(60)
        return taken

    taking = in_background(take_over)
    wait([taking], 0.1)
    renewals.may_go.set()
    renewals.wait_for(1)
    taken = taking.result(20)
    assert gone("renewals")
    info = other.lock_info("nightly")
    assert info is not None
    assert taken.remaining() <= info.until / 1000 - clock.wall() / 1e6


def test_a_lease_that_could_not_be_handed_over_is_still_kept_alive(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """An error of `to_document` says that nothing has changed."""

    class Unreachable:
        """A server that cannot be reached."""

        @oc.hookimpl(tryfirst=True)
        def adopt(self) -> bool:
            raise oc.ChannelUnavailable("orders", "down for a moment", "wait")

    channel = storage.open(clock=clock, extensions=[renewals, Unreachable()])
    with channel.lock("nightly", ttl=TTL, keep_alive=True) as lease:
        with pytest.raises(oc.ChannelUnavailable):
            lease.to_document()
        renewals.bring(4, clock)
        lease.check()


def test_a_reply_without_the_results_of_all_leases_is_an_error(
    storage: Storage, renewals: Renewals, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, no result is taken for that of another lease, and the renewals continue."""

    class Short:
        """Leaves out the first result, once."""

        is_first = True

        @oc.hookimpl(wrapper=True)
        def extend_all(self) -> Generator[None, list[bool], list[bool]]:
            results = yield
            if self.is_first:
                self.is_first = False
                return results[1:]
            return results

    channel = storage.open(clock=clock, extensions=[Short(), renewals])
    kept, evicted = (channel.lock(name, ttl=TTL, keep_alive=True) for name in ("kept", "evicted"))
    channel.force_unlock("evicted")
    renewals.bring(1, clock)
    renewals.bring_retry(kept, clock)
    renewals.bring(2, clock)
    kept.check()
    assert "could not be renewed" in caplog.text
    with pytest.raises(oc.LockLost, match="taken over"):
        evicted.release()
    kept.release()


def test_a_log_handler_that_raises_ends_no_renewal(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """A full disk of the log costs no lock."""

    class Full(logging.Handler):
        """A file on a full disk."""

        def emit(self, record: logging.LogRecord) -> None:
            raise OSError(record.getMessage())

    logger, handler = logging.getLogger("ojobchannels"), Full()
    channel = storage.open(clock=clock, extensions=[renewals])
    renewals.failures = [oc.ChannelUnavailable("test", "gone", "wait")]
    logger.addHandler(handler)
    try:
        with channel.lock("nightly", ttl=TTL, keep_alive=True) as lease:
            clock.advance(TTL / 3)
            renewals.bring_retry(lease, clock)
            renewals.bring(2, clock)
            lease.check()
    finally:
        logger.removeHandler(handler)


def test_an_alarm_whose_removal_was_interrupted_ends_no_renewal(
    storage: Storage, renewals: Renewals, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception of a signal handler leaves its time, at which there is nothing to call."""

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    channel = storage.open(clock=clock, extensions=[renewals])
    with channel.lock("nightly", ttl=TTL, keep_alive=True) as lease:
        owner, at = object(), clock.now() + 1000
        KEEP_ALIVE.set_alarm(owner, clock, at, lambda: None)
        with monkeypatch.context() as patch:
            patch.setattr(KEEP_ALIVE._alarm_times, "drop", interrupt)
            with pytest.raises(KeyboardInterrupt):
                KEEP_ALIVE.drop_alarm(owner)
        renewals.bring(4, clock)
        lease.check()


def test_a_second_scheduler_replaces_the_first(
    storage: Storage, renewals: Renewals, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal during `Thread.is_alive` can have Python say that it has ended."""
    channel = storage.open(clock=clock, extensions=[renewals])
    first = channel.lock("first", ttl=TTL, keep_alive=True)
    scheduler = KEEP_ALIVE._scheduler
    assert scheduler is not None
    KEEP_ALIVE._wakes_at = 0
    monkeypatch.setattr(scheduler, "is_alive", lambda: False)
    second = channel.lock("second", ttl=TTL, keep_alive=True)
    monkeypatch.undo()
    scheduler.join(20)
    assert threads("keep-alive") == [KEEP_ALIVE._scheduler]
    renewals.bring(2, clock)
    for lease in (first, second):
        lease.release()
    assert gone("keep-alive")


def test_a_finalizer_may_release_a_lease_while_another_one_is_acquired(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs at any moment on any thread, as a signal handler does on the first."""
    channel = storage.open()
    held, spare = (channel.lock(name, ttl=60) for name in ("held", "spare"))
    is_lost: Callable[[Lease], bool] = vars(Lease)["lost"].fget
    spares = [spare]

    def finalize(lease: Lease) -> bool:
        while spares:
            spares.pop().release()
        return is_lost(lease)

    monkeypatch.setattr(Lease, "lost", property(finalize))
    with channel.lock("nightly", ttl=60):
        assert not spares
        assert channel.lock_info("spare") is None
    held.release()
