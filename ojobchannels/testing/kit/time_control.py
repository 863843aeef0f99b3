"""Time for promises: a manual clock where the backend takes one, real sleeping elsewhere."""

from __future__ import annotations

import time
from typing import Final

from ojobchannels.channels.lease import Lease
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.kit.trace import Trace

LONG: Final = 60.0
_MARGIN: Final = 0.02
_SLACK: Final = 0.25


class TimeControl:
    """Advances the manual clock of a backend that takes one, and sleeps briefly elsewhere.

    Args:
        clock: The clock of the backend under test, or None to sleep.
        trace: Records each step of time.

    Attributes:
        short: ttl, in seconds, for a lease that the promise lets expire.
        long: ttl, in seconds, for a lease that must not expire.
    """

    def __init__(self, clock: ManualClock | None, trace: Trace) -> None:
        self.clock = clock
        self.short = 10.0 if clock else 1.0
        self.long = LONG
        self._trace = trace
        self._began = time.monotonic()
        self._advanced = 0.0

    @property
    def slack(self) -> float:
        """Tolerance in seconds for times that a backend reports; 2 ms with a manual clock.

        Elsewhere it grows by what calls took, since a server may stall for seconds: twice, since a
        client counts from before its call, and the server from when it judged.
        """
        if self.clock:
            return 0.002
        return _SLACK + 2 * (time.monotonic() - self._began - self._advanced)

    def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`, or sleep for slightly longer than that."""
        if self.clock:
            self.clock.advance(seconds)
        else:
            time.sleep(seconds + _MARGIN)
            self._advanced += seconds + _MARGIN
        self._trace.note(f"{seconds:g} s pass")

    def expire(self, lease: Lease) -> None:
        """Let a lease expire that was just granted."""
        self.advance(lease.ttl)

    def wall(self) -> float:
        """Return seconds since 1970, by the manual clock or the host's."""
        return self.clock.wall() / 1e6 if self.clock else time.time()
