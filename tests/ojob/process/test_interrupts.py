"""Signals during a run: held back while a run is started or ended; other handlers stay."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ojobchannels.ojob.process.interrupts import Interrupted, Interrupts


@pytest.fixture(autouse=True)
def _default_handler() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [(number, signal.signal(number, signal.SIG_DFL)) for number in numbers]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def test_a_signal_is_raised_where_it_arrives() -> None:
    with Interrupts(), pytest.raises(Interrupted, match="stopped by SIGTERM"):
        signal.raise_signal(signal.SIGTERM)


def test_a_shield_holds_a_signal_back_until_the_end_of_its_block() -> None:
    def shielded() -> None:
        with interrupts.shield():
            with interrupts.shield():
                signal.raise_signal(signal.SIGTERM)
                done.append("inner")
            done.append("outer")

    done: list[str] = []
    with Interrupts() as interrupts:
        with pytest.raises(Interrupted):
            shielded()
        with interrupts.shield():
            done.append("nothing is pending any more")
    assert done == ["inner", "outer", "nothing is pending any more"]


def test_a_signal_with_another_handler_is_left_alone() -> None:
    arrived = []
    signal.signal(signal.SIGTERM, lambda number, _: arrived.append(number))
    with Interrupts():
        signal.raise_signal(signal.SIGTERM)
    assert arrived == [signal.SIGTERM]


def test_the_previous_handlers_are_restored_at_the_end() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_other_threads_do_not_change_signal_handlers() -> None:
    def in_thread() -> None:
        with Interrupts() as interrupts, interrupts.shield():
            seen.append(signal.getsignal(signal.SIGTERM))

    seen: list[object] = []
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_a_hangup_stops_a_run_unless_it_reloads_or_is_ignored() -> None:
    """A closed terminal ends a run in order; one that was started with nohup continues."""
    reloads: list[int] = []
    with Interrupts(lambda: reloads.append(1)):
        signal.raise_signal(signal.SIGHUP)
    assert reloads == [1]
    with Interrupts(), pytest.raises(Interrupted, match="stopped by SIGHUP"):
        signal.raise_signal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts():
        signal.raise_signal(signal.SIGHUP)


def test_an_interrupt_that_was_suppressed_is_raised_again_until_it_is_taken() -> None:
    """In the main thread only, and not inside a shield."""
    with Interrupts() as interrupts:
        with suppress(Interrupted):
            signal.raise_signal(signal.SIGTERM)
        with interrupts.shield():
            interrupts.check()
        thread = threading.Thread(target=interrupts.check)
        thread.start()
        thread.join()
        with pytest.raises(Interrupted):
            interrupts.check()
        interrupts.take()
        interrupts.check()


def test_a_signal_during_a_fork_reaches_the_child() -> None:
    """With the handlers of before, by which it ends."""
    with Interrupts():
        child = os.fork()
        if child == 0:
            signal.pause()
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
