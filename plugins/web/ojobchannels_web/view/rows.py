"""One row for each job, with the trouble first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ojobchannels.hookspecs import LockInfo
from ojobchannels.manager.overview import JobHead, PastRun

STRIP_RUNS: Final = 20
_ENDED: Final = ("completed", "failed", "abandoned", "lost")
_STATES: Final = (
    "overdue",
    "failed",
    "lost",
    "abandoned",
    "paused",
    "running",
    "completed",
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
        lock: Its lock, if that is held.
        schedule: Its schedule with the next fire time, if there is one.
        next_time: When it is due next, in milliseconds since 1970.
        overdue_since: Since when it is overdue.
    """

    name: str
    state: str
    runs: tuple[PastRun, ...]
    lock: LockInfo | None
    schedule: Any
    next_time: int | None
    overdue_since: int | None

    @property
    def strip(self) -> tuple[PastRun, ...]:
        """The last twenty runs, the oldest first."""
        return self.runs[STRIP_RUNS - 1 :: -1]

    @property
    def is_running(self) -> bool:
        """Whether a run is active now."""
        return any(run.status == "running" for run in self.runs)

    @property
    def is_trouble(self) -> bool:
        """Whether somebody should look at it."""
        return self.state in ("overdue", "failed", "lost", "abandoned")


def rows(
    heads: Iterable[JobHead], locks: Mapping[str, LockInfo], schedules: Iterable[Any]
) -> list[JobRow]:
    """Return the rows of all jobs that ran or will run: overdue, failed, abandoned, next due."""
    runs = {head.name: head.runs for head in heads}
    scheduled: dict[str, list[Any]] = {}
    for schedule in schedules:
        scheduled.setdefault(schedule.name, []).append(schedule)
    found = [
        _row(name, runs.get(name, ()), locks.get(name), scheduled.get(name, []))
        for name in {**runs, **scheduled}
    ]
    return sorted(found, key=_order)


def last_outcome(runs: Iterable[PastRun]) -> str:
    """Return the status of the latest run that began and ended; ``idle`` without one."""
    return next((run.status for run in runs if run.status in _ENDED), "idle")


def _row(
    name: str, runs: tuple[PastRun, ...], lock: LockInfo | None, schedules: list[Any]
) -> JobRow:
    overdue = [each.overdue_since for each in schedules if each.overdue_since is not None]
    due = [each.next_time for each in schedules if each.next_time is not None]
    state = last_outcome(runs)
    if overdue:
        state = "overdue"
    elif state in ("completed", "idle"):
        if any(run.status == "running" for run in runs):
            state = "running"
        elif any(each.paused is not None for each in schedules):
            state = "paused"
    first = min(schedules, key=lambda each: each.next_time or _NEVER) if schedules else None
    return JobRow(
        name, state, runs, lock, first, min(due, default=None), min(overdue, default=None)
    )


def _order(row: JobRow) -> tuple[int, int, str]:
    trouble = _STATES.index(row.state) if row.is_trouble else len(_STATES)
    latest = -row.runs[0].start if row.runs else 0
    return trouble, _NEVER + latest if row.next_time is None else row.next_time, row.name
