"""One row for each job, with those that need attention first."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ojobchannels.hookspecs import LockInfo
from ojobchannels.manager.overview import JobHead, PastRun
from ojobchannels.manager.schedules.overview import ScheduleInfo
from ojobchannels.manager.schedules.pauses import PauseInfo

STRIP_RUNS: Final = 20
_ENDED: Final = ("completed", "cancelled", "failed", "abandoned", "lost")
_STATES: Final = (
    "overdue",
    "failed",
    "lost",
    "abandoned",
    "paused",
    "running",
    "completed",
    "cancelled",
    "idle",
)
_NEVER: Final = 1 << 62


@dataclass(frozen=True)
class JobRow:
    """A job as the first screen shows it.

    Attributes:
        name: The name of the job.
        state: What is most important about it: overdue, failed, lost, abandoned, paused, running,
            completed, or idle without any run that began.
        runs: Its last runs, the latest first.
        locks: Its locks that are held, one for each slot.
        schedules: Its schedules, the one that is due first before the others.
        next_time: When it is due next, in milliseconds since 1970.
        overdue_since: Since when it is overdue.
    """

    name: str
    state: str
    runs: tuple[PastRun, ...]
    locks: tuple[LockInfo, ...]
    schedules: tuple[ScheduleInfo, ...]
    next_time: int | None
    overdue_since: int | None

    @property
    def strip(self) -> tuple[PastRun, ...]:
        """The last twenty runs, the oldest first."""
        return self.runs[STRIP_RUNS - 1 :: -1]

    @property
    def pause(self) -> PauseInfo | None:
        """Its pause, if one of its schedules is paused."""
        return next((each.paused for each in self.schedules if each.paused is not None), None)

    @property
    def is_running(self) -> bool:
        """Whether a run is active now."""
        return any(run.status == "running" for run in self.runs)

    @property
    def needs_attention(self) -> bool:
        """Whether an operator should look at it."""
        return self.state in ("overdue", "failed", "lost", "abandoned")


def rows(
    heads: Iterable[JobHead], locks: Iterable[LockInfo], schedules: Iterable[ScheduleInfo]
) -> list[JobRow]:
    """Return the rows of all jobs that ran or will run: overdue, failed, abandoned, next due."""
    runs = {head.name: head.runs for head in heads}
    held: dict[str, list[LockInfo]] = {}
    for lock in locks:
        held.setdefault(lock.name, []).append(lock)
    scheduled: dict[str, list[ScheduleInfo]] = {}
    for schedule in schedules:
        scheduled.setdefault(schedule.run or schedule.name, []).append(schedule)
    found = [
        _row(name, runs.get(name, ()), tuple(held.get(name, ())), scheduled.get(name, []))
        for name in {**runs, **scheduled}
    ]
    return sorted(found, key=_order)


def last_outcome(runs: Iterable[PastRun]) -> str:
    """Return the status of the latest run that began and ended; ``idle`` without one."""
    return next((run.status for run in runs if run.status in _ENDED), "idle")


def _row(
    name: str, runs: tuple[PastRun, ...], locks: tuple[LockInfo, ...], schedules: list[ScheduleInfo]
) -> JobRow:
    overdue = [each.overdue_since for each in schedules if each.overdue_since is not None]
    due = [each.next_time for each in schedules if each.next_time is not None]
    state = last_outcome(runs)
    if overdue:
        state = "overdue"
    elif state in ("completed", "cancelled", "idle"):
        if any(run.status == "running" for run in runs):
            state = "running"
        elif any(each.paused is not None for each in schedules):
            state = "paused"
    ordered = tuple(sorted(schedules, key=lambda each: each.next_time or _NEVER))
    return JobRow(
        name, state, runs, locks, ordered, min(due, default=None), min(overdue, default=None)
    )


def _order(row: JobRow) -> tuple[int, int, str]:
    attention = _STATES.index(row.state) if row.needs_attention else len(_STATES)
    latest = -row.runs[0].start if row.runs else 0
    return attention, _NEVER + latest if row.next_time is None else row.next_time, row.name
