"""The jobs that have schedules, and those that are overdue."""

from collections.abc import Iterable, Mapping
from typing import Protocol


class Schedule(Protocol):
    """A schedule that a daemon has published."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def run(self) -> str | None:
        """The name of its runs; None for a job without records."""

    @property
    def overdue_since(self) -> int | None:
        """When it became overdue, in milliseconds since 1970; None if it is not."""


def overdue_by_job(schedules: Iterable[Schedule]) -> Mapping[str, int | None]:
    """Return since when each job is overdue, None for those that are on time.

    A job is known by the name of its runs; of several schedules, the one that is overdue longest
    counts.
    """
    found: dict[str, int | None] = {}
    for schedule in schedules:
        job, since = schedule.run or schedule.name, schedule.overdue_since
        present = found.get(job)
        found[job] = since if present is None else min(present, since or present)
    return found
