"""Slots: a lock with n slots has at most n holders, each with a lease of its own."""

from __future__ import annotations

import logging
import statistics
import time

import pytest

from ojobchannels.errors import ChannelClosed, InvalidName, LockBusy, LockLost
from ojobchannels.testing.contracts.base import Contract, requires, timed
from ojobchannels.testing.kit.background import SOON, Background, WaitObserver
from ojobchannels.testing.kit.children import Children
from ojobchannels.testing.kit.subject import Subject

_HOLD = "send(channel.lock('nightly', ttl=60, slots=2).slot); receive()"


class SlotContract(Contract):
    """A lock with slots, on the same operations of the backend as one without."""

    def test_a_lock_has_as_many_holders_as_slots(self, subject: Subject) -> None:
        """Each holds a slot of its own, with its own fence; a released slot is granted again."""
        one, other = subject.open(), subject.open()
        leases = [(one, other)[turn % 2].lock("nightly", ttl=60, slots=3) for turn in range(3)]
        assert [lease.slot for lease in leases] == [1, 2, 3]
        assert one.try_lock("nightly", ttl=60, slots=3) is None
        with pytest.raises(LockBusy) as busy:
            other.lock("nightly", ttl=60, slots=3)
        assert busy.value.slots == 3
        leases[1].release()
        again = other.lock("nightly", ttl=60, slots=3)
        assert again.slot == 2
        assert again.fence > leases[1].fence
        assert one.try_lock("nightly", ttl=60) is None, "the first slot is the lock without slots"

    def test_another_name_is_never_a_slot(self, subject: Subject) -> None:
        """No name is that of a slot, and what looks like one is refused as a name."""
        channel = subject.open()
        near = ["a2", "a 2", "a\x1f2", "a\x1fslot", "a\x1fslot 2 ", "a\x1f", "\x1fslot 2"]
        for name in ("a", *near):
            assert channel.lock(name, ttl=60).slot == 1
        assert channel.lock("a", ttl=60, slots=2).slot == 2
        held = [(info.name, info.slot) for info in subject.open().locks()]
        assert held == sorted([("a", 1), ("a", 2), *((name, 1) for name in near)])
        for name in ("a\x1fslot 2", "a\x1fturn", "a\x1fbell"):
            with pytest.raises(InvalidName):
                channel.lock(name, ttl=60)
            with pytest.raises(InvalidName):
                channel.force_unlock(name)

    @pytest.mark.usefixtures("races")
    def test_no_more_threads_than_slots_are_inside(
        self, subject: Subject, background: Background
    ) -> None:
        """And each slot has one holder at a time; waiters get what others release."""
        handles = [subject.open() for _ in range(3)]
        inside: list[int] = []

        def work(number: int) -> list[int]:
            used = []
            for _ in range(3):
                with handles[number % 3].lock("nightly", ttl=60, wait=60, slots=2) as lease:
                    assert lease.slot not in inside, "two threads have one slot"
                    inside.append(lease.slot)
                    used.append(lease.slot)
                    time.sleep(0.002)
                    inside.remove(lease.slot)
            return used

        used = background.together(*(lambda n=n: work(n) for n in range(5)))
        assert sorted({slot for slots in used for slot in slots}) == [1, 2]

    def test_a_release_of_a_slot_wakes_a_waiter(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """Whichever slot it is, before the waiter would look itself; in the median of three."""
        holder, waiter = subject.open(), subject.open(extensions=[observer])
        leases = [holder.lock("nightly", ttl=60, slots=2) for _ in range(2)]
        lags = []
        for turn in (1, 0, 1):
            waiting = background(waiter.lock, "nightly", ttl=60, wait=30, slots=2)
            observer.await_waiters()
            released = time.monotonic()
            leases[turn].release()
            leases[turn] = waiting.result()
            lags.append(time.monotonic() - released)
            assert leases[turn].slot == turn + 1
        assert statistics.median(lags) < 0.4, lags

    @requires("fifo")
    def test_waiters_get_slots_in_order(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """A newcomer does not pass them."""
        channel, newcomer = subject.open(extensions=[observer]), subject.open()
        leases = [channel.lock("nightly", ttl=60, slots=2) for _ in range(2)]
        order: list[int] = []

        def work(number: int) -> None:
            with channel.lock("nightly", ttl=60, wait=30, slots=2):
                order.append(number)
                assert newcomer.try_lock("nightly", ttl=60, slots=2) is None or number == 3

        workers = []
        for number in range(4):
            workers.append(background(work, number))
            observer.await_waiters()
        leases[1].release()
        for worker in workers:
            worker.result()
        assert order == list(range(4))

    @timed
    def test_a_waiter_gets_the_slot_of_a_lease_that_expires(
        self, subject: Subject, background: Background
    ) -> None:
        """Not before, and soon after."""
        holder, waiter = subject.open(), subject.open()
        holder.lock("nightly", ttl=60, slots=2)
        began = time.monotonic()
        expiring = holder.lock("nightly", ttl=0.15, slots=2)
        lease = background(waiter.lock, "nightly", ttl=60, wait=30, slots=2).result()
        assert 0.13 < time.monotonic() - began < SOON
        assert (lease.slot, lease.fence > expiring.fence) == (2, True)

    def test_a_waiter_for_a_slot_that_gives_up_leaves_nothing(
        self, subject: Subject, background: Background
    ) -> None:
        """It neither gets a slot later nor keeps others from one."""
        holder, other = subject.open(), subject.open()
        leases = [holder.lock("nightly", ttl=60, slots=2) for _ in range(2)]
        with pytest.raises(LockBusy) as busy:
            background(other.lock, "nightly", ttl=60, wait=0.1, slots=2).result()
        assert busy.value.waited >= 0.098
        assert {info.fence for info in holder.locks()} == {lease.fence for lease in leases}
        leases[0].release()
        assert holder.lock_info("nightly") is None
        assert holder.try_lock("nightly", ttl=60, slots=2) is not None

    def test_close_wakes_those_that_wait_for_a_slot(
        self, subject: Subject, observer: WaitObserver, background: Background
    ) -> None:
        """The first of the queue and those behind it get ChannelClosed."""
        holder, closing = subject.open(), subject.open(extensions=[observer])
        leases = [holder.lock("nightly", ttl=60, slots=2) for _ in range(2)]
        waiting = []
        for _ in range(2):
            waiting.append(background(closing.lock, "nightly", ttl=60, wait=None, slots=2))
            observer.await_waiters()
        began = time.monotonic()
        closing.close()
        for one in waiting:
            with pytest.raises(ChannelClosed):
                one.result()
        assert time.monotonic() - began < SOON
        leases[1].release()
        assert background(holder.lock, "nightly", ttl=60, wait=9, slots=2).result().slot == 2

    def test_a_slot_is_a_lease_like_any_other(self, subject: Subject) -> None:
        """It is extended, described, handed over and force-released by the number of its slot."""
        channel, other = subject.open(), subject.open()
        first, second = (channel.lock("nightly", ttl=60, slots=2) for _ in range(2))
        second.extend(90)
        for lease in (first, second):
            info = other.lock_info("nightly", slot=lease.slot)
            assert info is not None
            assert (info.name, info.fence, info.slot, info.slots) == (
                "nightly",
                lease.fence,
                lease.slot,
                2,
            )
        listed = [(info.name, info.slot, info.fence) for info in other.locks()]
        assert listed == [("nightly", 1, first.fence), ("nightly", 2, second.fence)]
        adopted = other.lease_from(second.to_document())
        assert (adopted.slot, adopted.slots, adopted.fence) == (2, 2, second.fence)
        evicted = channel.force_unlock("nightly", slot=2)
        assert evicted is not None
        assert evicted.fence == adopted.fence
        with pytest.raises(LockLost):
            adopted.release()
        assert [info.slot for info in channel.locks()] == [1]

    def test_of_two_numbers_of_slots_the_larger_holds(
        self, subject: Subject, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Never more hold the lock than that, and a warning names both numbers."""
        one, other = subject.open(), subject.open()
        name = f"nightly on {subject.name} {time.monotonic_ns()}"
        for _ in range(2):
            one.lock(name, ttl=60, slots=2)
        with caplog.at_level(logging.WARNING, "ojobchannels.locks"):
            assert other.lock(name, ttl=60, slots=3).slot == 3
        assert "slots=3" in caplog.text
        assert "slots=2" in caplog.text
        for slots in (1, 2, 3):
            assert one.try_lock(name, ttl=60, slots=slots) is None
        assert len(one.locks()) == 3

    @requires("crash_release")
    def test_killing_a_holder_frees_its_slot(self, subject: Subject, children: Children) -> None:
        """For a waiter, long before the lease expires."""
        holders = [children(_HOLD, subject) for _ in range(2)]
        slots = [holder.receive() for holder in holders]
        assert sorted(slots) == [1, 2]
        channel = subject.open()
        holders[1].kill()
        began = time.monotonic()
        assert channel.lock("nightly", ttl=60, wait=30, slots=2).slot == slots[1]
        holders[0].kill()
        assert channel.lock("nightly", ttl=60, wait=30, slots=2).slot == slots[0]
        assert time.monotonic() - began < SOON
