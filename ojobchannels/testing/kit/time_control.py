"""Time for promises: a manual clock where the backend takes one, real sleeping elsewhere."""

from __future__ import annotations

import time
from typing import Final

from ojobchannels.channels.lease import Lease
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.kit.trace import Trace

LONG: Final = 60.0
_MARGIN: Final = 0.02


class TimeControl:
    """Advances the manual clock of a backend that takes one, and sleeps briefly elsewhere.

    Args:
        clock: The clock of the backend under test, or None to sleep.
        trace: Records each step of time.

    Attributes:
        short: ttl, in seconds, for a lease that the promise lets expire.
        long: ttl, in seconds, for a lease that must not expire.
        slack: Tolerance in seconds for times that a backend reports; 2 ms with a manual clock.
    """

    def __init__(self, clock: ManualClock | None, trace: Trace) -> None:
        self.clock = clock
        self.short = 10.0 if clock else 0.3
        self.long = LONG
        self.slack = 0.002 if clock else 2.0  # servers stall for a second, to rebalance for example
        self._trace = trace

    def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`, or sleep for slightly longer than that."""
        if self.clock:
            self.clock.advance(seconds)
        else:
            time.sleep(seconds + _MARGIN)
        self._trace.note(f"{seconds:g} s pass")

    def expire(self, lease: Lease) -> None:
        """Let a lease expire that was just granted."""
        self.advance(lease.ttl)

    def wall(self) -> float:
        """Return seconds since 1970, by the manual clock or the host's."""
        return self.clock.wall() / 1e6 if self.clock else time.time()
