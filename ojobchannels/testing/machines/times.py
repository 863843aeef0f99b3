"""How a state machine lets time pass: by turning the subject's clock, or by waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import NamedTuple, TypeVar

from ojobchannels.host.clock import HOST_CLOCK
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.kit.subject import Subject

_T = TypeVar("_T")


class During(NamedTuple):
    """When something happened: not before the one, not after the other, in microseconds."""

    before: int
    after: int


class Times:
    """A time that passes on command: virtual with a clock, else the host's.

    Args:
        clock: What judges the leases of the subject, and stands still until it is turned.

    Attributes:
        ttls: Milliseconds that leases are given.
        pauses: Seconds that are let pass.
        longest: Seconds that are let pass at most.
        slack: Microseconds by which a backend that counts in milliseconds may be off.
    """

    def __init__(self, clock: ManualClock | None) -> None:
        self.clock = clock
        self.ttls = [1_000, 10_000, 60_000, 10] if clock else [10_000, 80, 30_000, 200]
        self.pauses = [1.0, 0.5, 0.009, 30.0, 86_400.0] if clock else [0.02, 0.05]
        self.longest = inf if clock else 0.25
        self.slack = 0 if clock else 5_000

    def now(self) -> int:
        """Microseconds."""
        return self.clock.now() if self.clock else HOST_CLOCK.now()

    def wait(self, seconds: float) -> None:
        """Lets time pass."""
        if self.clock:
            self.clock.advance(seconds)
        else:
            time.sleep(seconds)


def times_of(subject: Subject) -> Times:
    """Returns virtual time, and sets the subject's clock, where its type takes one."""
    clock = ManualClock() if "clock" in subject.channel_type.capabilities else None
    subject.clock = clock
    return Times(clock)


def timed(times: Times, call: Callable[[], _T]) -> tuple[_T, During]:
    """Calls it, and tells when that was."""
    before = times.now()
    answer = call()
    return answer, During(before, times.now())
