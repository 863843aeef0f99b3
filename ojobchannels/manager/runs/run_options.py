"""The options of a run, and what it needs of its manager."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

from ojobchannels.channels.arguments import check_mapping, is_integer
from ojobchannels.channels.channel import Channel
from ojobchannels.errors import InvalidOption
from ojobchannels.host.clock import now_ms
from ojobchannels.host.wakeup import Latch
from ojobchannels.manager.limits.rate import RateLimit
from ojobchannels.manager.output.buffer import OutputBuffer
from ojobchannels.manager.records import Record, iso
from ojobchannels.manager.runs import dead_runs
from ojobchannels.manager.schedules.fire_times import FireTime, fields

if TYPE_CHECKING:
    from ojobchannels.manager.runs.run import JobRun

OnTimeout: TypeAlias = Literal["warn", "fail", "continue"]

_LONGEST_LEASE = 60.0
_ON_TIMEOUT = get_args(OnTimeout)


def check_retries(retries: int) -> None:
    """Raise InvalidOption unless it is a number of attempts."""
    if not (is_integer(retries) and retries >= 0):
        reason = f"{retries!r} is not a number of attempts"
        raise InvalidOption("retries", reason, "pass 0 or more")


def checked_args(args: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of the keyword arguments of a job; without any, an empty one.

    Raises:
        InvalidOption: They are not a map.
    """
    if args is None:
        return {}
    check_mapping("args", args, "pass a dict of keyword arguments")
    return dict(args)


class RunManager(dead_runs.Manager, Protocol):
    """The manager of a run."""

    locks: Channel
    _closing: Latch

    def _record_start(self, record: Record) -> Record:
        """Store the record of a run that starts, and return it with its start time."""

    def _report_not_started(
        self, name: str, run_id: str, args: Mapping[str, Any], error: BaseException
    ) -> None:
        """Report a run that could not start, and has no record."""

    def _record_not_run(
        self,
        name: str,
        status: Literal["skipped", "depsfail"],
        reason: str,
        args: Mapping[str, Any] | None,
        run_id: str | None,
        fire_time: FireTime | None,
    ) -> Record:
        """Store and return the record of a run that does not start."""

    def _before_start(self) -> None:
        """Close dead runs, unless that was done just now."""

    def _report_run(self, record: Record, *, notifies: bool) -> None:
        """Log the start or the end of a run; if it failed and `notifies`, notify of that."""

    def _set_open(self, run: JobRun, open: bool) -> None:
        """Remember that a run has started, or that it has ended."""

    def _new_output(self, record: Record, secrets: Collection[str]) -> OutputBuffer | None:
        """Return where the output of a run goes; None if none is kept."""


@dataclass(slots=True)
class RunOptions:
    """How a run acquires and keeps its lock, and what its record contains; times in seconds.

    It is not changed later; a frozen class would take three times as long to make one for each run.
    """

    timeout: float
    args: dict[str, Any]
    wait: float | None
    keep_alive: bool
    on_timeout: OnTimeout
    extra: dict[str, Any]
    fire_time: FireTime | None
    record_busy: bool
    lock_at_least_for: float
    max_concurrent: int
    rate_limit: RateLimit | None
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """Values that are masked wherever the record repeats them."""

    @property
    def ttl(self) -> float:
        """The duration of the lease, in seconds."""
        return min(self.timeout, _LONGEST_LEASE) if self.keep_alive else self.timeout

    def holder(self) -> Record:
        """Return the holder info of a lock that is requested now."""
        if not self.lock_at_least_for:
            return self.due
        return {**self.due, "keptUntil": iso(now_ms() + round(self.lock_at_least_for * 1000))}

    @property
    def due(self) -> Record:
        """The fields of the record that have the fire time, if there is one."""
        return fields(self.fire_time)


def check_on_timeout(on_timeout: OnTimeout) -> OnTimeout:
    """Return the option, or raise InvalidOption if it is not one of the known ones."""
    if on_timeout not in _ON_TIMEOUT:
        raise InvalidOption("on_timeout", repr(on_timeout), "pass warn, fail or continue")
    return on_timeout
