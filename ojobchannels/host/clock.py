"""The clock that judges leases on one host, and the identity of the boot that it counts from."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Protocol

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
    """The host's own clock: CLOCK_BOOTTIME on Linux, the monotonic clock elsewhere.

    Attributes:
        epoch: The boot id and the time namespace, or an empty text where the host tells neither.
    """

    def __init__(self) -> None:
        self.epoch = _EPOCH

    def now(self) -> int:
        """Microseconds since the boot, suspend included."""
        if _CLOCK_BOOTTIME is None:
            return time.monotonic_ns() // 1000
        return time.clock_gettime_ns(_CLOCK_BOOTTIME) // 1000

    def wall(self) -> int:
        """Microseconds since 1970, UTC."""
        return time.time_ns() // 1000


def same_boot(one: str, other: str) -> bool:
    """Tells whether two epochs belong to one boot of one host."""
    return bool(one) and one.partition("/")[0] == other.partition("/")[0]


def now_ms() -> int:
    """Return the wall clock in milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def utc(moment: datetime) -> str:
    """Format a time as ISO 8601 in UTC, with milliseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Readings(NamedTuple):
    """A clock as three functions; times are nanoseconds."""

    boot: Callable[[], int]
    wall: Callable[[], int]
    epoch: Callable[[], str]


def readings(clock: Clock) -> Readings:
    """Returns what SQLite may call.

    Of the host's clock they run no Python code: an exception that a signal handler raised in there
    would be swallowed by SQLite.
    """
    epoch: Callable[[], str] = partial(attrgetter("epoch"), clock)
    if not isinstance(clock, HostClock):
        return Readings(lambda: clock.now() * 1000, lambda: clock.wall() * 1000, epoch)
    boot: Callable[[], int] = time.monotonic_ns
    if _CLOCK_BOOTTIME is not None:
        boot = partial(time.clock_gettime_ns, _CLOCK_BOOTTIME)
    return Readings(boot, time.time_ns, epoch)


def _epoch() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/time").stat().st_ino
    except OSError:
        return ""
    return f"{boot}/{namespace}"


# Read at once: a forked child of a threaded process must not begin with what takes locks.
_EPOCH = _epoch()
HOST_CLOCK = HostClock()
