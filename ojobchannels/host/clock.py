"""The clock that judges leases on one host, and the identity of the boot that it counts from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

_CLOCK_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """Tells the time, in whole microseconds."""

    @property
    def epoch(self) -> str:
        """What `now` counts from; readings are comparable only within one epoch."""

    def now(self) -> int:
        """Time that a step of the wall clock does not move and that runs through suspend."""

    def wall(self) -> int:
        """Time since 1970 in UTC, as the host believes."""


class HostClock:
    """The host's own clock: CLOCK_BOOTTIME on Linux, the monotonic clock elsewhere."""

    @property
    def epoch(self) -> str:
        """The boot id and the time namespace, or an empty text where the host tells neither."""
        return _EPOCH

    def now(self) -> int:
        """Microseconds since the boot, suspend included."""
        if _CLOCK_BOOTTIME is None:
            return time.monotonic_ns() // 1000
        return time.clock_gettime_ns(_CLOCK_BOOTTIME) // 1000

    def wall(self) -> int:
        """Microseconds since 1970, UTC."""
        return time.time_ns() // 1000


HOST_CLOCK = HostClock()


def same_boot(one: str, other: str) -> bool:
    """Tells whether two epochs belong to one boot of one host."""
    return bool(one) and one.partition("/")[0] == other.partition("/")[0]


def _epoch() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/time").stat().st_ino
    except OSError:
        return ""
    return f"{boot}/{namespace}"


# Read at once: a forked child of a threaded process must not begin with what takes locks.
_EPOCH = _epoch()
