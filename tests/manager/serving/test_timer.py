"""The scheduler thread that makes calls at given times."""

from __future__ import annotations

import logging
import threading
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from ojobchannels.manager.serving.timer import Scheduler, WallClock

if TYPE_CHECKING:
    from tests.ojob.schedules import HandClock

pytest_plugins = ["tests.ojob.schedules"]


def test_calls_are_made_in_the_order_of_their_times(hand_clock: HandClock) -> None:
    """In whatever order they were registered; calls that are not due are not made."""
    scheduler, made = Scheduler(hand_clock), list[int]()
    for after in (30, 10, 20, 40):
        scheduler.call_at(hand_clock.now() + after, partial(made.append, after))
    hand_clock.move(30)
    assert scheduler.make_due_calls() == 10
    assert made == [10, 20, 30]


def test_an_earlier_call_wakes_the_thread(hand_clock: HandClock) -> None:
    """It was asleep until a later one."""
    scheduler, made = Scheduler(hand_clock), SimpleQueue[str]()
    scheduler.start()
    try:
        scheduler.call_at(hand_clock.now() + 1000, lambda: made.put("later"))
        scheduler.call_at(hand_clock.now() - 1000, lambda: made.put("now"))
        assert made.get(timeout=60) == "now"
        hand_clock.move(1000)
        assert made.get(timeout=60) == "later"
    finally:
        scheduler.stop()


def test_a_call_that_fails_is_logged_and_made_again(
    hand_clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The other calls are still made."""

    def fail() -> None:
        made.append("failed")
        if len(made) == 1:
            raise RuntimeError("no thread available")

    scheduler, made = Scheduler(hand_clock), list[str]()
    scheduler.call_at(hand_clock.now(), fail)
    scheduler.call_at(hand_clock.now(), lambda: made.append("other"))
    with caplog.at_level(logging.ERROR):
        scheduler.make_due_calls()
    assert made == ["failed", "other"]
    assert "a scheduled call failed, retrying" in caplog.text
    hand_clock.move(1000)
    scheduler.make_due_calls()
    assert made == ["failed", "other", "failed"]


def test_it_wakes_regularly_in_case_the_wall_clock_was_set(hand_clock: HandClock) -> None:
    """However far off the next call is, it does not sleep for long."""
    scheduler = Scheduler(hand_clock)
    assert scheduler.make_due_calls() <= 10_000
    scheduler.call_at(hand_clock.now() + 86_400_000, lambda: None)
    assert scheduler.make_due_calls() <= 10_000


def test_a_stopped_scheduler_makes_no_calls(hand_clock: HandClock) -> None:
    """Not even those that were due, and its thread has ended."""
    scheduler, made = Scheduler(hand_clock), []
    scheduler.start()
    scheduler.stop()
    scheduler.call_at(0, lambda: made.append(1))
    scheduler.make_due_calls()
    assert made == []
    assert not [one for one in threading.enumerate() if "scheduler" in one.name]


def test_the_wall_clock_wakes_for_an_event() -> None:
    """It waits no longer than asked, and no longer than until it is woken."""
    clock, woken = WallClock(), threading.Event()
    clock.wait(woken, 1)
    woken.set()
    clock.wait(woken, 10**9)
    assert clock.now() > 1_700_000_000_000


@pytest.mark.parametrize("call_all", [True, False])
def test_all_calls_can_be_made_when_the_clock_was_set_back(
    hand_clock: HandClock, call_all: bool
) -> None:
    """Calls that check the time themselves need not wait until the clock has caught up."""
    scheduler, made = Scheduler(hand_clock, call_all_if_set_back=call_all), list[int]()
    for after in (60_000, 30_000):
        scheduler.call_at(hand_clock.now() + after, partial(made.append, after))
    hand_clock.move(-500)  # a clock is corrected like that every day
    scheduler.make_due_calls()
    assert made == []
    hand_clock.move(-3_600_000)
    scheduler.make_due_calls()
    assert sorted(made) == ([30_000, 60_000] if call_all else [])


def test_no_call_is_made_while_calls_are_cleared(hand_clock: HandClock) -> None:
    """A call that is due waits for the end of the block."""
    scheduler, made = Scheduler(hand_clock), list[str]()
    scheduler.call_at(hand_clock.now(), lambda: made.append("old"))
    with scheduler.cleared() as moment:
        assert moment == hand_clock.now()
        scheduler.call_at(moment, lambda: made.append("new"))
        other = threading.Thread(target=scheduler.make_due_calls)
        other.start()
        made.append("end")
    other.join()
    assert made == ["end", "new"]
