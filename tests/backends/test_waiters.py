"""Waiting rooms of `file` and `db`: who is called when a lock is freed, and who may pass it by."""

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


class Room:
    """A lock that a holder has, and its waiters; for how long they are awaited, the test says."""

    def __init__(
        self, storage: Storage, in_background: Background, asleep: threading.Semaphore
    ) -> None:
        self._in_background = in_background
        self._asleep = asleep
        self.storage = storage
        self.channel = storage.open()
        granted = self.ask("holder")
        assert isinstance(granted, Granted)
        self.fence = granted.fence

    def ask(self, token: str, channel: oc.Channel | None = None) -> Granted | Busy:
        """Asks for the lock."""
        hook = (channel or self.channel).hook
        answer: Granted | Busy = hook.lock(
            name="nightly", token=token, ttl=60_000, holder={}, waits=True
        )
        return answer

    def unlock(self, token: str) -> bool:
        """Gives up the lock, or a place among its waiters."""
        answer: bool = self.channel.hook.unlock(name="nightly", token=token)
        return answer

    def look(self, token: str) -> None:
        """Has somebody wait who returns at once: the lease that it was refused under is over."""
        self.channel.hook.wait(name="nightly", seen_fence=0, token=token, timeout=_LONG * 1000)

    def seat(self, token: str, channel: oc.Channel | None = None) -> Future[Any]:
        """Has somebody wait; returns when that one sleeps."""
        waits = self._in_background(
            (channel or self.channel).hook.wait,
            name="nightly",
            seen_fence=self.fence,
            token=token,
            timeout=_LONG * 1000,
        )
        assert self._asleep.acquire(timeout=_LONG)
        return waits


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time in which a called waiter has to come; it stands still until the test sets it."""
    times = [lock_record.now()]
    monkeypatch.setattr(lock_record, "now", lambda: times[-1])
    return times


@pytest.fixture
def room(
    shared_storage: Storage, in_background: Background, monkeypatch: pytest.MonkeyPatch
) -> Room:
    """A held lock on each type in turn."""
    asleep = threading.Semaphore(0)
    known: set[object] = set()
    doze = waiters._Seat.doze

    def counted(seat: waiters._Seat, seconds: float) -> bool:
        if seat not in known:
            known.add(seat)
            asleep.release()
        return doze(seat, seconds)

    monkeypatch.setattr(waiters._Seat, "doze", counted)
    return Room(shared_storage, in_background, asleep)


def test_the_longest_waiting_is_called_and_nobody_passes_it(room: Room) -> None:
    """Neither one that waits for less long, nor a newcomer on another handle."""
    first = room.seat("first")
    room.seat("second")
    assert room.unlock("holder") is True
    first.result(_LONG)
    for other, channel in (("second", None), ("newcomer", room.storage.open())):
        assert isinstance(room.ask(other, channel), Busy)
    assert room.channel.lock_info("nightly") is None
    assert isinstance(room.ask("first"), Granted)
    room.unlock("first")


def test_a_waiter_keeps_its_place_from_one_wait_to_the_next(room: Room) -> None:
    """Who looked at the lock in between is no newcomer."""
    room.look("first")
    room.seat("second")
    room.seat("first")
    room.unlock("holder")
    assert isinstance(room.ask("second"), Busy)
    assert isinstance(room.ask("first"), Granted)
    room.unlock("first")


def test_who_is_called_and_stays_away_is_passed_over(room: Room, now: list[int]) -> None:
    """After 20 ms, since it may be stopped or dead."""
    room.seat("first")
    room.unlock("holder")
    now.append(now[-1] + lock_record.FIRST_SAY - 1)
    refused = room.ask("newcomer")
    assert isinstance(refused, Busy)
    assert refused.remaining == 1
    now.append(now[-1] + 1)
    assert isinstance(room.ask("newcomer"), Granted)


def test_a_clock_that_began_anew_keeps_no_lock_from_anybody(room: Room, now: list[int]) -> None:
    """A record from before a reboot tells of a time that this boot has not seen."""
    room.seat("first")
    room.unlock("holder")
    now.append(1)
    assert isinstance(room.ask("newcomer"), Granted)


def test_who_is_called_and_gives_up_passes_the_call_on(room: Room) -> None:
    """To the next that waits, and at last to anybody."""
    first, second = room.seat("first"), room.seat("second")
    room.unlock("holder")
    first.result(_LONG)
    assert room.unlock("first") is False
    second.result(_LONG)
    assert isinstance(room.ask("newcomer"), Busy)
    assert room.unlock("second") is False
    assert isinstance(room.ask("newcomer"), Granted)


def test_closing_a_handle_gives_up_the_calls_that_its_waiters_got(room: Room) -> None:
    """Whether they woke already or not."""
    closing = room.storage.open()
    called = room.seat("first", closing)
    room.seat("second", closing)
    room.unlock("holder")
    called.result(_LONG)
    closing.close()
    assert isinstance(room.ask("newcomer"), Granted)


def test_the_bell_of_a_dead_waiter_holds_nobody_up(room: Room, tmp_path: Path) -> None:
    """It is taken away, and the next is called."""
    waits = room.seat("first")
    (bell,) = tmp_path.glob("*.ojob/waiting/*/*")
    dead = bell.with_name(f"{0:020d}-7-1-1")
    os.mkfifo(dead)
    room.unlock("holder")
    waits.result(_LONG)
    assert isinstance(room.ask("newcomer"), Busy)
    assert isinstance(room.ask("first"), Granted)
    assert list(tmp_path.glob("*.ojob/waiting/*/*")) == []


def test_nothing_is_left_of_a_waiting_room(room: Room, tmp_path: Path) -> None:
    """The folder of a lock goes with the last handle that waited there."""
    waits = room.seat("first")
    room.unlock("holder")
    waits.result(_LONG)
    room.ask("first")
    room.channel.close()
    assert list(tmp_path.glob("*.ojob/waiting/*")) == []
