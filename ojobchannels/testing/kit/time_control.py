"""How a promise lets time pass: by a clock that it turns, or by waiting."""

from __future__ import annotations

import time
from typing import Final

from ojobchannels.channels.lease import Lease
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.kit.trace import Story

LONG: Final = 60.0
_MARGIN: Final = 0.02


class Hourglass:
    """Turns the clock of a backend that takes one; really waits, as briefly as it can, elsewhere.

    Args:
        clock: The clock to turn, or None.
        story: Where it is noted.

    Attributes:
        short: Seconds of a lease that is to run out.
        long: Seconds of a lease that is not.
        slack: Seconds by which what a backend tells of times may be off: none on a turned clock.
    """

    def __init__(self, clock: ManualClock | None, story: Story) -> None:
        self.clock = clock
        self.short = 10.0 if clock else 0.3
        self.long = LONG
        self.slack = 0.002 if clock else 0.25
        self._story = story

    def pass_by(self, seconds: float) -> None:
        """Lets that much time pass, and where it really does, a little more."""
        if self.clock:
            self.clock.advance(seconds)
        else:
            time.sleep(seconds + _MARGIN)
        self._story.note(f"{seconds:g} s pass by")

    def run_out(self, lease: Lease) -> None:
        """Lets all the time of a lease pass that was just granted."""
        self.pass_by(lease.ttl)

    def wall(self) -> float:
        """Seconds since 1970, as the host believes."""
        return self.clock.wall() / 1e6 if self.clock else time.time()
