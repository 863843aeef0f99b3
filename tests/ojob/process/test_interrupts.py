"""Signals during a run: held back while a run is started or ended; other handlers stay."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from ojobchannels.ojob.process.interrupts import Interrupted, Interrupts


@pytest.fixture(autouse=True)
def _default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


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
