"""Locks with slots: arguments, deadlocks, and waiters when something fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import ojobchannels as oc


@pytest.fixture
def channel() -> Iterator[oc.Channel]:
    """A channel in memory."""
    with oc.open_channel("slots") as channel:
        yield channel
        channel.destroy()


class WithoutWakeUps:
    """An extension whose `force_unlock` always fails, so that nothing wakes a waiter."""

    @oc.hookimpl(wrapper=True)
    def force_unlock(self) -> Iterator[None]:
        """Fail instead of releasing."""
        yield
        raise oc.ChannelUnavailable("slots", "the network is down", "wait")


@pytest.mark.parametrize("slots", [0, -1, 1001, 1.5, True, "2", None])
def test_the_number_of_slots_is_checked(channel: oc.Channel, slots: Any) -> None:
    """It is an integer from 1 to 1000; so is the number of a slot."""
    with pytest.raises(oc.InvalidOption, match="from 1 to 1000"):
        channel.lock("nightly", ttl=9, slots=slots)
    with pytest.raises(oc.InvalidOption, match="from 1 to 1000"):
        channel.lock_info("nightly", slot=slots)


def test_a_long_name_leaves_room_for_the_slot(channel: oc.Channel) -> None:
    """With slots, a name may be ten bytes shorter than without."""
    assert channel.lock("n" * 4086, ttl=9, slots=1000).slot == 1
    assert channel.lock("n" * 4086, ttl=9, slots=1000).slot == 2
    with pytest.raises(oc.InvalidName, match="at most 4086 bytes"):
        channel.lock("n" * 4087, ttl=9, slots=2)


def test_a_thread_does_not_wait_for_its_own_slots(channel: oc.Channel) -> None:
    """If it keeps all of them alive and would wait without a limit."""
    leases = [channel.lock("nightly", ttl=60, slots=2, keep_alive=True) for _ in range(2)]
    with pytest.raises(oc.WouldDeadlock):
        channel.lock("nightly", ttl=60, slots=2, wait=None)
    for lease in leases:
        lease.release()


def test_a_thread_waits_for_a_slot_that_another_thread_has(channel: oc.Channel) -> None:
    """Without a limit, although it keeps a slot itself."""
    mine = channel.lock("nightly", ttl=60, slots=2, keep_alive=True)
    other = channel.lock("nightly", ttl=60, slots=2)
    thread = threading.Timer(0.05, other.release)
    thread.start()
    assert channel.lock("nightly", ttl=60, slots=2, wait=None).slot == 2
    thread.join()
    mine.release()


def test_a_hostile_holder_info_is_no_number_of_slots(channel: oc.Channel) -> None:
    """What a holder wrote there is shown as it is, and counts as one slot."""
    for number, hostile in enumerate(["9" * 99, -3, 10**12, True, None, [1]]):
        channel.lock(f"{number}", ttl=60, holder={"slots": hostile})
    assert {info.slots for info in channel.locks()} == {1}


def test_the_locks_of_waiters_are_not_shown() -> None:
    """Only slots that are held are locks, also while others wait."""
    waiting = threading.Event()

    class Observer:
        @oc.hookimpl(wrapper=True)
        def wait(self) -> Iterator[None]:
            waiting.set()
            return (yield)

    with (
        oc.open_channel("shown") as channel,
        oc.open_channel("shown", extensions=[Observer()]) as other,
    ):
        lease = channel.lock("nightly", ttl=60, slots=2)
        channel.lock("nightly", ttl=60, slots=2)
        thread = threading.Thread(
            target=lambda: other.lock("nightly", ttl=60, slots=2, wait=20).release()
        )
        thread.start()
        assert waiting.wait(20)
        assert [(info.name, info.slot) for info in channel.locks()] == [
            ("nightly", 1),
            ("nightly", 2),
        ]
        lease.release()
        thread.join()


def test_a_waiter_whose_wake_up_is_lost_looks_itself() -> None:
    """Within a second, and the release of the holder does not fail."""
    with (
        oc.open_channel("lost-wake-up", extensions=[WithoutWakeUps()]) as holder,
        oc.open_channel("lost-wake-up") as other,
    ):
        lease = holder.lock("nightly", ttl=60, slots=2)
        holder.lock("nightly", ttl=60, slots=2)
        thread = threading.Timer(0.05, lease.release)
        thread.start()
        began = time.monotonic()
        assert other.lock("nightly", ttl=60, slots=2, wait=50).slot == 1
        assert time.monotonic() - began < 20
        thread.join()


def test_a_waiter_that_died_delays_the_others_for_a_moment_only(channel: oc.Channel) -> None:
    """Its place at the head of the queue is a lease as well."""
    dead = {"name": "nightly\x1fturn", "token": "dead", "ttl": 1000, "holder": {"pid": 1}}
    channel.hook.lock(**dead, waits=False)
    assert channel.try_lock("nightly", ttl=60, slots=2) is None, "a newcomer passed the queue"
    assert channel.lock("nightly", ttl=60, slots=2, wait=20).slot == 1


def test_a_suspended_waiter_delays_the_others_for_three_seconds_at_most() -> None:
    """With any number of slots: its place at the head is a short lease, which it renews."""
    renewed: list[tuple[str, int, bool]] = []
    done = threading.Event()

    class Renewals:
        @oc.hookimpl(wrapper=True)
        def extend(self, name: str, ttl: int) -> Iterator[None]:
            result = yield
            renewed.append((name, ttl, bool(result)))
            done.set()
            return result

    with (
        oc.open_channel("suspended") as channel,
        oc.open_channel("suspended", extensions=[Renewals()]) as waiter,
    ):
        leases = [channel.lock("nightly", ttl=60, slots=300) for _ in range(300)]
        thread = threading.Thread(
            target=lambda: waiter.lock("nightly", ttl=60, slots=300, wait=30).release()
        )
        thread.start()
        assert done.wait(20)
        assert renewed[0] == ("nightly\x1fturn", 2500, True)
        leases[299].release()
        thread.join()
