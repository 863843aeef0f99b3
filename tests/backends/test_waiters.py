"""The waiters of `file` and `db`: which one is woken by an unlock, and for how long it is first."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ojobchannels.backends import lock_record
from ojobchannels.backends.local import waiters
from ojobchannels.hookspecs import Busy, Granted

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    import ojobchannels as oc
    from tests.conftest import Storage

    Background = Callable[..., Future[Any]]

_LONG = 30


class Queue:
    """A held lock and its waiters."""

    def __init__(
        self, storage: Storage, in_background: Background, asleep: threading.Semaphore
    ) -> None:
        self._in_background = in_background
        self._asleep = asleep
        self.storage = storage
        self.channel = storage.open()
        granted = self.request("holder")
        assert isinstance(granted, Granted)
        self.fence = granted.fence

    def request(self, token: str, channel: oc.Channel | None = None) -> Granted | Busy:
        """Request the lock."""
        hook = (channel or self.channel).hook
        result: Granted | Busy = hook.lock(
            name="nightly", token=token, ttl=60_000, holder={}, waits=True
        )
        return result

    def unlock(self, token: str) -> bool:
        """Release the lock, or leave the queue."""
        result: bool = self.channel.hook.unlock(name="nightly", token=token)
        return result

    def check(self, token: str) -> None:
        """Wait with an outdated fence, which returns at once."""
        self.channel.hook.wait(name="nightly", seen_fence=0, token=token, timeout=_LONG * 1000)

    def wait(self, token: str, channel: oc.Channel | None = None) -> Future[Any]:
        """Wait in the background; return once the waiter sleeps."""
        waiting = self._in_background(
            (channel or self.channel).hook.wait,
            name="nightly",
            seen_fence=self.fence,
            token=token,
            timeout=_LONG * 1000,
        )
        assert self._asleep.acquire(timeout=_LONG)
        return waiting


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The clock of reservations; it does not move until the test sets it."""
    times = [lock_record.now()]
    monkeypatch.setattr(lock_record, "now", lambda: times[-1])
    return times


@pytest.fixture
def queue(
    shared_storage: Storage, in_background: Background, monkeypatch: pytest.MonkeyPatch
) -> Queue:
    """A held lock on each type in turn."""
    asleep = threading.Semaphore(0)
    known: set[object] = set()
    wait = waiters.Waiter.wait

    def counted(waiter: waiters.Waiter, seconds: float) -> bool:
        if waiter not in known:
            known.add(waiter)
            asleep.release()
        return wait(waiter, seconds)

    monkeypatch.setattr(waiters.Waiter, "wait", counted)
    return Queue(shared_storage, in_background, asleep)


def test_the_longest_waiting_waiter_is_woken_and_nothing_overtakes_it(queue: Queue) -> None:
    """Neither a later waiter, nor a newcomer on another handle."""
    first = queue.wait("first")
    queue.wait("second")
    assert queue.unlock("holder") is True
    first.result(_LONG)
    for other, channel in (("second", None), ("newcomer", queue.storage.open())):
        assert isinstance(queue.request(other, channel), Busy)
    assert queue.channel.lock_info("nightly") is None
    assert isinstance(queue.request("first"), Granted)
    queue.unlock("first")


def test_a_waiter_keeps_its_position_from_one_wait_to_the_next(queue: Queue) -> None:
    """A waiter that returned in between is not a newcomer."""
    queue.check("first")
    queue.wait("second")
    queue.wait("first")
    queue.unlock("holder")
    assert isinstance(queue.request("second"), Busy)
    assert isinstance(queue.request("first"), Granted)
    queue.unlock("first")


def test_a_woken_waiter_that_does_not_come_is_passed_over(queue: Queue, now: list[int]) -> None:
    """After 20 ms, because it may be stopped or dead."""
    queue.wait("first")
    queue.unlock("holder")
    now.append(now[-1] + lock_record.RESERVED - 1)
    refused = queue.request("newcomer")
    assert isinstance(refused, Busy)
    assert refused.remaining == 1
    now.append(now[-1] + 1)
    assert isinstance(queue.request("newcomer"), Granted)


def test_a_reservation_from_before_a_reboot_blocks_no_waiter(queue: Queue, now: list[int]) -> None:
    """Its time is one that the clock of this boot has not reached."""
    queue.wait("first")
    queue.unlock("holder")
    now.append(1)
    assert isinstance(queue.request("newcomer"), Granted)


def test_a_woken_waiter_that_gives_up_wakes_the_next(queue: Queue) -> None:
    """After the last waiter, the lock is free for any process."""
    first, second = queue.wait("first"), queue.wait("second")
    queue.unlock("holder")
    first.result(_LONG)
    assert queue.unlock("first") is False
    second.result(_LONG)
    assert isinstance(queue.request("newcomer"), Busy)
    assert queue.unlock("second") is False
    assert isinstance(queue.request("newcomer"), Granted)


def test_closing_a_handle_gives_up_the_reservations_of_its_waiters(queue: Queue) -> None:
    """Whether they returned already or not."""
    closing = queue.storage.open()
    woken = queue.wait("first", closing)
    queue.wait("second", closing)
    queue.unlock("holder")
    woken.result(_LONG)
    closing.close()
    assert isinstance(queue.request("newcomer"), Granted)


def test_the_fifo_of_a_dead_waiter_delays_no_other_waiter(queue: Queue, tmp_path: Path) -> None:
    """It is removed, and the next waiter is woken."""
    waiting = queue.wait("first")
    (fifo,) = tmp_path.glob("*.ojob/waiting/*/*")
    dead = fifo.with_name(f"{0:020d}-7-1-1")
    os.mkfifo(dead)
    queue.unlock("holder")
    waiting.result(_LONG)
    assert isinstance(queue.request("newcomer"), Busy)
    assert isinstance(queue.request("first"), Granted)
    assert list(tmp_path.glob("*.ojob/waiting/*/*")) == []


def test_nothing_is_left_of_the_waiters_of_a_lock(queue: Queue, tmp_path: Path) -> None:
    """The folder of a lock is removed with the last handle that waited there."""
    waiting = queue.wait("first")
    queue.unlock("holder")
    waiting.result(_LONG)
    queue.request("first")
    queue.channel.close()
    assert list(tmp_path.glob("*.ojob/waiting/*")) == []
