"""The metrics of all jobs, for any process that is asked for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from ojobchannels.following.overdue import Schedule, overdue_by_job
from ojobchannels.following.run_changes import Record, RunChanges, Runs
from ojobchannels.following.shared_memory import Memory, SharedMemory
from ojobchannels.host.clock import now_ms
from ojobchannels.metrics import totals
from ojobchannels.metrics.prometheus import family, histogram

JOB: Final = "ojobchannels_job_name"
STATUS: Final = "ojobchannels_run_status"
_BACKLOG: Final = 10_000


class Manager(Runs, Protocol):
    """The manager whose records are counted."""

    def running(self) -> Sequence[Record]:
        """Return the records of the running runs."""

    def _before_reading(self) -> None:
        """Close the dead runs; errors are logged."""

    def schedules(self) -> Sequence[Schedule]:
        """Return the schedules that daemons have published."""


class JobMetrics:
    """Counts the runs of all processes that share the records.

    The totals are kept in the state channel: each call adds what has changed since the last one,
    by any process. The first call counts the latest 10,000 records.
    """

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._changes = RunChanges(manager)
        self._memory = SharedMemory("metrics", "totals", lambda: manager.state)

    def text(self) -> str:
        """Return the metrics in the text format of Prometheus."""
        self._manager._before_reading()
        jobs = self._up_to_date()["jobs"]
        lines = [*_of_totals(jobs), *self._of_now()]
        return "".join(f"{line}\n" for line in lines)

    def _up_to_date(self) -> Memory:
        while True:
            memory = self._memory.change(self._new, self._count)
            if not self._changes.is_behind:
                return memory

    def _new(self) -> Memory:
        return totals.new_totals() | self._changes.begin(now_ms(), _BACKLOG)

    def _count(self, memory: Memory) -> None:
        totals.add(memory, self._changes.read(memory, skips=True))

    def _of_now(self) -> Iterator[str]:
        running = Counter(record["name"] for record in self._manager.running())
        yield from family(
            "ojobchannels_run_active",
            "gauge",
            "Runs that are running now.",
            (({JOB: name}, number) for name, number in sorted(running.items())),
        )
        now, overdue = now_ms(), sorted(overdue_by_job(self._manager.schedules()).items())
        yield from family(
            "ojobchannels_job_overdue_seconds",
            "gauge",
            "Seconds for which a scheduled job is overdue; 0 when it is on time.",
            (({JOB: job}, max(now - (since or now), 0) / 1000) for job, since in overdue),
        )


def _of_totals(jobs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    named = sorted(jobs.items())
    yield from family(
        "ojobchannels_run_outcomes_total",
        "counter",
        "Runs by their final status, also of those that did not begin.",
        (
            ({JOB: name, STATUS: status}, number)
            for name, one in named
            for status, number in sorted(one["outcomes"].items())
        ),
    )
    yield from histogram(
        "ojobchannels_run_duration_seconds",
        "Durations of the runs that completed or failed.",
        totals.DURATION_BUCKETS,
        (
            ({JOB: name, STATUS: status}, values)
            for name, one in named
            for status, values in sorted(one["durations"].items())
        ),
    )
    yield from histogram(
        "ojobchannels_schedule_delay_seconds",
        "Time from a fire time to the start of its run.",
        totals.DELAY_BUCKETS,
        (({JOB: name}, one["delays"]) for name, one in named if one["delays"]),
    )
    yield from family(
        "ojobchannels_schedule_missed_total",
        "counter",
        "Fire times that were missed.",
        (({JOB: name}, one["missed"]) for name, one in named if one["missed"]),
    )
    yield from family(
        "ojobchannels_job_last_success_timestamp_seconds",
        "gauge",
        "When the last run that completed has ended, in seconds since 1970.",
        (({JOB: name}, one["success"] / 1000) for name, one in named if "success" in one),
    )
