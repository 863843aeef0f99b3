"""A clock that stands still until a test moves it."""

from __future__ import annotations

import secrets


class ManualClock:
    """What the embedded channel types take as their option ``clock``.

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
        """Microseconds since the boot."""
        return self._now

    def wall(self) -> int:
        """Microseconds since 1970, UTC."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += round(seconds * 1e6)
        self._wall += round(seconds * 1e6)

    def step_wall(self, seconds: float) -> None:
        """Sets the wall clock forward or back, as a person or NTP does."""
        self._wall += round(seconds * 1e6)

    def reboot(self) -> None:
        """Begins another epoch, in which `now` counts from nought."""
        self.epoch = f"boot-{secrets.token_hex(4)}/1"
        self._now = 0
