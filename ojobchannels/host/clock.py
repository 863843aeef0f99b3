"""The clock that leases are judged by on one host, and the identity of the current boot."""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Protocol

_CLOCK_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)

_MAX_WAIT_SECONDS = 86_400.0


class Clock(Protocol):
    """A clock for leases, in whole microseconds."""

    @property
    def epoch(self) -> str:
        """Identifies what `now` counts from; only values of one epoch can be compared."""

    def now(self) -> int:
        """Return a time that is independent of the wall clock and continues during suspend."""

    def wall(self) -> int:
        """Return the wall clock: the time since 1970, UTC."""


class HostClock:
    """The host's own clock: CLOCK_BOOTTIME on Linux, the monotonic clock elsewhere.

    Attributes:
        epoch: The boot id and the time namespace. What is not known has a random name of this
            process: it must not pass for equal to what another process does not know.
    """

    def __init__(self) -> None:
        self.epoch = _EPOCH

    def now(self) -> int:
        """Return the microseconds since the boot, including suspend."""
        if _CLOCK_BOOTTIME is None:
            return time.monotonic_ns() // 1000
        return time.clock_gettime_ns(_CLOCK_BOOTTIME) // 1000

    def wall(self) -> int:
        """Return the microseconds since 1970, UTC."""
        return time.time_ns() // 1000


def same_boot(one: str, other: str) -> bool:
    """Return whether two epochs belong to one boot of one host."""
    return boot_of(one) == boot_of(other) != ""


def boot_of(epoch: str) -> str:
    """Return the part of an epoch that identifies the boot."""
    return epoch.partition("/")[0]


def now_ms() -> int:
    """Return the wall clock in milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


LOOK_SECONDS = 0.5
"""The longest wait of a process that follows a child of a job."""


def next_wait(remaining: float | None) -> float | None:
    """Return the seconds to wait in one system call, of those that remain; None for no limit.

    The calls accept less than a job may take: 24 days the one, 292 years the other.
    """
    return None if remaining is None else min(remaining, _MAX_WAIT_SECONDS)


def next_look(remaining: float | None) -> float:
    """Return the seconds to wait before the time limit is looked at again: it may become shorter.

    That happens when the run of a job is cancelled.
    """
    return LOOK_SECONDS if remaining is None else min(remaining, LOOK_SECONDS)


def utc(moment: datetime) -> str:
    """Format a time as ISO 8601 in UTC, with milliseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Readings(NamedTuple):
    """A clock as three functions; times are nanoseconds."""

    boot: Callable[[], int]
    wall: Callable[[], int]
    epoch: Callable[[], str]


def readings(clock: Clock) -> Readings:
    """Return the clock as functions that SQLite can call.

    For the host's clock they execute no Python code: SQLite would swallow the exception of a signal
    handler that interrupts it.
    """
    epoch: Callable[[], str] = partial(attrgetter("epoch"), clock)
    if not isinstance(clock, HostClock):
        return Readings(lambda: clock.now() * 1000, lambda: clock.wall() * 1000, epoch)
    boot: Callable[[], int] = time.monotonic_ns
    if _CLOCK_BOOTTIME is not None:
        boot = partial(time.clock_gettime_ns, _CLOCK_BOOTTIME)
    return Readings(boot, time.time_ns, epoch)


def read_epoch(proc: Path = Path("/proc")) -> str:
    """Return the epoch of this process, from a folder such as ``/proc``."""
    return f"{_boot(proc)}/{_time_namespace(proc)}"


def _boot(proc: Path) -> str:
    try:
        return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _unknown()


def _time_namespace(proc: Path) -> str:
    try:
        return str((proc / "self/ns/time").stat().st_ino)
    except OSError:
        pass
    # A kernel without time namespaces has one clock; where /proc is hidden, there may be several.
    if (proc / "self/ns/mnt").exists() and not (proc / "self/timens_offsets").exists():
        return "none"
    return _unknown()


def _unknown() -> str:
    return f"?{secrets.token_hex(6)}"


# Read at import: a forked child of a threaded process must not start with code that takes locks.
_EPOCH = read_epoch()
HOST_CLOCK = HostClock()
