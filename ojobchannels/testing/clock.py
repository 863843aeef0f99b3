"""Clocks that a test moves by hand."""

from __future__ import annotations

import secrets
import threading
from datetime import timedelta
from typing import Final

from ojobchannels.channels.arguments import Duration, check_seconds

TIMEOUT_SECONDS: Final = 60.0
"""How long a test waits for what must happen."""


class ManualClock:
    """A clock that stops until a test moves it; the option ``clock`` of the embedded types.

    Example:
        >>> import ojobchannels as oc
        >>> clock = ManualClock()
        >>> with oc.open_channel("orders", type="simple", clock=clock) as channel:
        ...     lease = channel.lock("nightly", ttl=30)
        ...     clock.advance(31)
        ...     lease.lost
        True
    """

    def __init__(self) -> None:
        self.epoch = "boot-1/1"
        self._now = 5_000_000_000
        self._wall = 1_900_000_000_000_000

    def now(self) -> int:
        """Return microseconds since the boot."""
        return self._now

    def wall(self) -> int:
        """Return microseconds since 1970, UTC."""
        return self._wall

    def advance(self, seconds: Duration) -> None:
        """Move both clocks forward by seconds or a timedelta; `step_wall` may move one back.

        Raises:
            InvalidOption: It is not a duration, or negative: the clock of leases never goes back.
        """
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        check_seconds("seconds", seconds)
        self._now += round(seconds * 1e6)
        self._wall += round(seconds * 1e6)

    def step_wall(self, seconds: float) -> None:
        """Move only the wall clock, forward or back, as an administrator or NTP does."""
        self._wall += round(seconds * 1e6)

    def reboot(self) -> None:
        """Begin a new boot epoch, in which `now` starts at 0."""
        self.epoch = f"boot-{secrets.token_hex(4)}/1"
        self._now = 0


class ScheduleClock:
    """A clock for the schedules of a job file or a manager; it stops until a test moves it.

    Args:
        now: Milliseconds since 1970, UTC.
    """

    def __init__(self, now: int) -> None:
        self._now = now
        self._moved = 0
        self._waiters: dict[threading.Event, int] = {}
        self._asleep: set[threading.Event] = set()
        self._lock = threading.Condition()

    def now(self) -> int:
        """Return the milliseconds since 1970, UTC."""
        with self._lock:
            return self._now

    def wait(self, woken: threading.Event, milliseconds: int) -> None:  # noqa: ARG002  of the protocol
        """Wait until `woken` is set; moving the clock sets it."""
        with self._lock:
            missed = self._waiters.get(woken) != self._moved
            self._waiters[woken] = self._moved
            if not missed:
                self._asleep.add(woken)
                self._lock.notify_all()
        if not missed:  # otherwise the pause was computed from an earlier time
            woken.wait()

    def advance(self, seconds: float) -> None:
        """Move the clock forward, or back for a negative number, and wake its waiters."""
        with self._lock:
            self._now += round(seconds * 1000)
            self._moved += 1
            self._asleep.clear()
            for woken in self._waiters:
                woken.set()

    def settle(self, waiters: int = 0) -> None:
        """Return when all waiters, `waiters` at least, have handled the time of the clock."""

        def is_settled() -> bool:
            return len(self._waiters) >= waiters and self._asleep == self._waiters.keys()

        with self._lock:
            self._lock.wait_for(is_settled, TIMEOUT_SECONDS)
