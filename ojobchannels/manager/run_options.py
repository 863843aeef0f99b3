"""The options of a run."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from ojobchannels.errors import InvalidOption
from ojobchannels.manager.records import Record, iso
from ojobchannels.manager.schedules.fire_times import FireTime, fields

OnTimeout: TypeAlias = Literal["warn", "fail", "continue"]

_LONGEST_LEASE = 60.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run acquires and keeps its lock, and what its record contains; times in seconds."""

    timeout: float
    args: dict[str, Any]
    wait: float | None
    keep_alive: bool
    on_timeout: OnTimeout
    extra: dict[str, Any]
    fire_time: FireTime | None
    record_busy: bool
    lock_at_least_for: float
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """Values that are masked wherever the record repeats them."""

    @property
    def ttl(self) -> float:
        """The duration of the lease, in seconds."""
        return min(self.timeout, _LONGEST_LEASE) if self.keep_alive else self.timeout

    def holder(self, now: int) -> Record:
        """Return the holder info of the lock, from its options and the time in milliseconds."""
        kept = now + round(self.lock_at_least_for * 1000)
        return {**self.due, **({"keptUntil": iso(kept)} if self.lock_at_least_for else {})}

    @property
    def due(self) -> Record:
        """The fields of the record that have the fire time, if there is one."""
        return fields(self.fire_time)


def check_on_timeout(on_timeout: OnTimeout) -> OnTimeout:
    """Return the option, or raise InvalidOption if it is not one of the known ones."""
    if on_timeout not in get_args(OnTimeout):
        raise InvalidOption("on_timeout", repr(on_timeout), "pass warn, fail or continue")
    return on_timeout
