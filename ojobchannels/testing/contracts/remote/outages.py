"""What calls, waiters and renewals do while the network is away, and afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import ClassVar

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import (
    ChannelError,
    ChannelTimeout,
    ChannelUnavailable,
    LockBusy,
    OutcomeUnknown,
)
from ojobchannels.hookspecs import LeaseRequest
from ojobchannels.testing.contracts.base import timed
from ojobchannels.testing.contracts.remote.base import (
    IMPATIENT,
    ONCE,
    READS,
    SLACK,
    NetworkContract,
)
from ojobchannels.testing.contracts.remote.requests import error_of
from ojobchannels.testing.kit.background import Background, WaitObserver
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.proxy import Proxy

NOT_DONE = (ChannelTimeout, ChannelUnavailable)
MANY_STEPS = {"lock", "destroy"}
DROPPED = 4.0


@timed
class OutageContract(NetworkContract):
    """A network that is silent or refuses connections.

    Attributes:
        reads_first: The operations that read before they change something.
        shortest_lease: A ttl in seconds that outlives a connection that was dropped in silence.
    """

    shortest_lease: ClassVar[int] = 2
    reads_first: ClassVar[Collection[str]] = {"get_set"}

    @pytest.mark.parametrize("fault", ["no requests", "no replies", "no connections"])
    def test_every_call_ends_by_its_timeout_and_works_afterwards(
        self,
        open_each: Callable[[float], dict[str, Channel]],
        proxy: Proxy,
        background: Background,
        fault: str,
    ) -> None:
        """Its error says whether something may have been done, and has the driver's as cause."""
        each = open_each(IMPATIENT)
        if fault == "no connections":
            proxy.refuse()
            proxy.reset()
        else:
            proxy.black_hole(requests=fault == "no requests", replies=True)

        def timed(name: str) -> tuple[ChannelError | None, float]:
            began = time.monotonic()
            error = error_of({**self.repeatable, **ONCE}[name], each[name])
            return error, time.monotonic() - began

        calls = {name: background(timed, name) for name in each}
        for name, call in calls.items():
            error, seconds = call.result(60)
            assert isinstance(error, self._expected(name, fault)), name
            assert error.__cause__ is not None, name
            assert error.__cause__.__cause__ is None, name
            assert error.__cause__.__suppress_context__ or not error.__cause__.__context__, name
            # a lock whose outcome is unknown is unlocked again, which takes as long
            assert seconds < 2 * IMPATIENT + SLACK, name
        proxy.heal()
        for channel in each.values():
            assert any(error_of(Channel.size, channel) is None for _ in range(10))

    def _expected(self, name: str, fault: str) -> tuple[type[ChannelError], ...]:
        silent = fault != "no connections"
        if name in READS or (name in self.reads_first and silent):
            return NOT_DONE
        return (
            (OutcomeUnknown,) if silent and name not in MANY_STEPS else (*NOT_DONE, OutcomeUnknown)
        )

    def test_a_write_that_was_never_sent_is_not_in_doubt(
        self, impatient: Channel, proxy: Proxy
    ) -> None:
        """While connections are refused, nothing was done."""
        proxy.refuse()
        proxy.reset()
        with pytest.raises((ChannelUnavailable, OutcomeUnknown)):
            impatient.set("key", 1)  # from now on all connections are known to be closed
        for name in ("pop", "add", "get_set"):
            with pytest.raises(ChannelUnavailable):
                ONCE[name](impatient)

    def test_slow_replies_are_waited_for(self, through: Channel, proxy: Proxy) -> None:
        """As long as they arrive within the timeout; the time counts against the lease."""
        proxy.delay(replies=0.2)
        through.set("key", 5)
        assert through.get("key") == 5
        with through.lock("nightly", ttl=30) as lease:
            assert lease.remaining() < 29.6

    def test_renewals_outlive_a_short_outage(
        self, through: Channel, proxy: Proxy, subject: Subject
    ) -> None:
        """Connections that end, and a network that is silent for less than the ttl."""
        other = subject.open()
        with through.lock("nightly", ttl=2, keep_alive=True) as lease:
            proxy.reset()
            proxy.black_hole()
            with pytest.raises(LockBusy):
                other.lock("nightly", ttl=1, wait=0.7)
            proxy.heal()
            with pytest.raises(LockBusy):
                other.lock("nightly", ttl=1, wait=2)
            lease.check()

    def test_a_connection_that_was_dropped_in_silence_costs_half_of_the_timeout(
        self,
        open_each: Callable[[float], dict[str, Channel]],
        proxy: Proxy,
        background: Background,
    ) -> None:
        """No reply ever arrives on it, so what may be done twice is repeated on a new one.

        What must not be repeated is not sent on a connection that was idle for a second, unless
        that was tested.
        """
        each = open_each(DROPPED)
        time.sleep(1.1)
        proxy.forget()
        calls = {
            name: background(error_of, operation, each[name])
            for name, operation in {**self.repeatable, **ONCE}.items()
        }
        assert {name: call.result(60) for name, call in calls.items()} == dict.fromkeys(calls)

    def test_renewals_outlive_connections_that_were_dropped_in_silence(
        self, through: Channel, proxy: Proxy, subject: Subject
    ) -> None:
        """A lease of some seconds lasts, although the timeout of a call is longer."""
        ttl = self.shortest_lease
        with through.lock("nightly", ttl=ttl, keep_alive=True) as lease:
            proxy.forget()
            with pytest.raises(LockBusy):
                subject.open().lock("nightly", ttl=1, wait=ttl + 1)
            lease.check()
            proxy.reset()  # the release would wait for a reply on such a connection, too

    def test_a_renewal_takes_no_longer_than_its_own_timeout(
        self, through: Channel, proxy: Proxy
    ) -> None:
        """`extend_all` has one, also where that of the channel is longer."""
        lease = through.lock("nightly", ttl=30)
        proxy.black_hole()
        requests = [LeaseRequest(lease.name, lease.token, 30_000)]
        began = time.monotonic()
        with pytest.raises(ChannelError):
            through.hook.extend_all(leases=requests, timeout=100)
        assert time.monotonic() - began < 10  # the channel itself has 30
        proxy.heal()

    def test_closing_does_not_wait_for_each_lease(self, impatient: Channel, proxy: Proxy) -> None:
        """While the server is silent, only the ttl ends them."""
        for number in range(60):
            impatient.lock(f"lock {number}", ttl=600, keep_alive=number % 2 == 0)
        proxy.black_hole()
        began = time.monotonic()
        impatient.close()
        assert time.monotonic() - began < 15  # one after the other would take 36

    def test_closing_releases_leases_whose_grant_was_not_received(
        self, through: Channel, subject: Subject
    ) -> None:
        """All at once."""
        other = subject.open()
        for number in range(30):
            request = {"token": f"{number:032}", "ttl": 600_000, "holder": {}, "waits": False}
            through.hook.lock(name=f"lock {number}", **request)
        assert len(other.locks()) == 31
        through.close()
        assert [info.name for info in other.locks()] == ["held"]

    def test_a_waiter_whose_connections_end_is_woken(
        self, through: Channel, proxy: Proxy, subject: Subject, background: Background
    ) -> None:
        """They are opened again, and a release that was missed meanwhile is noticed."""
        for turn in range(5):
            lease = subject.open().lock(f"lock {turn}", ttl=60)
            waiting = background(through.lock, lease.name, ttl=30, wait=30)
            proxy.reset()
            released = time.monotonic()
            lease.release()
            waiting.result(10).release()
            assert time.monotonic() - released < 10

    def test_a_waiter_that_cannot_reach_the_server_fails(
        self,
        behind: Subject,
        proxy: Proxy,
        subject: Subject,
        observer: WaitObserver,
        background: Background,
    ) -> None:
        """It does not wait forever on a silent network, and does not get the lock later."""
        waiter = behind.open(timeout=IMPATIENT, extensions=[observer])
        lease = subject.open().lock("nightly", ttl=60)
        waiting = background(waiter.lock, "nightly", ttl=30, wait=None)
        observer.await_waiters()
        proxy.black_hole()
        with pytest.raises(ChannelError):
            waiting.result(20)
        proxy.heal()
        lease.release()
        assert subject.open().lock_info("nightly") is None

    def test_a_request_that_arrives_late_costs_others_at_most_a_ttl(
        self, impatient: Channel, proxy: Proxy, subject: Subject
    ) -> None:
        """A lock that the caller gave up may still be granted; then its ttl ends it."""
        proxy.black_hole()
        with pytest.raises(ChannelError):
            impatient.lock("nightly", ttl=1)
        proxy.heal()
        with subject.open().lock("nightly", ttl=30, wait=10):
            pass
