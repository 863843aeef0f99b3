"""Time for the state machines: a manual clock where the subject takes one, real time elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import NamedTuple, TypeVar

from ojobchannels.host.clock import HOST_CLOCK
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.kit.subject import Subject

_T = TypeVar("_T")


class Span(NamedTuple):
    """The interval in which something happened, in microseconds."""

    before: int
    after: int


class Times:
    """Time of a manual clock, or of the host.

    Args:
        clock: The manual clock that decides when leases expire, or None.

    Attributes:
        ttls: Durations of leases in milliseconds.
        pauses: Pauses in seconds.
        longest: Longest pause in seconds.
        slack: Tolerance in microseconds for a backend that counts in milliseconds.
    """

    def __init__(self, clock: ManualClock | None) -> None:
        self.clock = clock
        self.ttls = [1_000, 10_000, 60_000, 10] if clock else [10_000, 80, 30_000, 200]
        self.pauses = [1.0, 0.5, 0.009, 30.0, 86_400.0] if clock else [0.02, 0.05]
        self.longest = inf if clock else 0.25
        self.slack = 0 if clock else 5_000

    def now(self) -> int:
        """Return the time in microseconds."""
        return self.clock.now() if self.clock else HOST_CLOCK.now()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        if self.clock:
            self.clock.advance(seconds)
        else:
            time.sleep(seconds)


def times_of(subject: Subject) -> Times:
    """Return the time for a subject; set its manual clock if its type takes one."""
    clock = ManualClock() if "clock" in subject.channel_type.capabilities else None
    subject.clock = clock
    return Times(clock)


def timed(times: Times, call: Callable[[], _T]) -> tuple[_T, Span]:
    """Return the result of `call`, and the interval in which it ran."""
    before = times.now()
    result = call()
    return result, Span(before, times.now())
