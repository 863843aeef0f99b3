"""A clock that a test moves by hand."""

from __future__ import annotations

import secrets


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

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`."""
        self._now += round(seconds * 1e6)
        self._wall += round(seconds * 1e6)

    def step_wall(self, seconds: float) -> None:
        """Move only the wall clock, forward or back, as an administrator or NTP does."""
        self._wall += round(seconds * 1e6)

    def reboot(self) -> None:
        """Begin a new boot epoch, in which `now` starts at 0."""
        self.epoch = f"boot-{secrets.token_hex(4)}/1"
        self._now = 0
