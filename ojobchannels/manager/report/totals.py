"""The figures for each job, to which records are added one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ojobchannels.manager.records import STATUSES


class _JobTotals:
    """The figures of one job; `last` is the latest start and the status of that run."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.durations = 0
        self.timed = 0
        self.last: tuple[int, str] | None = None

    def add(self, record: Mapping[str, Any], number: int) -> None:
        """Add the record of a run, or subtract it with the number -1."""
        self.statuses[record["status"]] += number
        if record["status"] in ("completed", "failed") and "duration" in record:
            self.durations += number * record["duration"]
            self.timed += number


class Totals:
    """The figures of all jobs.

    Example:
        >>> totals = Totals()
        >>> totals.add({"name": "load", "status": "completed", "startTime": 7, "duration": 3})
        >>> totals.add({"name": "load", "status": "running", "startTime": 9})
        >>> [(row["runs"], row["averageDuration"], row["lastStatus"]) for row in totals.rows()]
        [(2, 3, 'running')]
    """

    def __init__(self, jobs: Mapping[str, _JobTotals] | None = None) -> None:
        self._jobs = dict(jobs or {})

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add the record of a run."""
        job = self._jobs.setdefault(record["name"], _JobTotals())
        job.add(record, 1)
        start = record["startTime"]
        if start > (-1 if job.last is None else job.last[0]):
            job.last = start, record["status"]

    def remove(self, record: Mapping[str, Any]) -> bool:
        """Take out a record that was added; return whether what is left is right.

        It is not if other runs of the job remain, and the record is the one that started last.
        """
        job = self._jobs.get(record["name"])
        if job is None or not job.statuses[record["status"]]:
            return False
        job.add(record, -1)
        if not job.statuses.total():
            del self._jobs[record["name"]]
            return True
        return job.last is not None and job.last[0] != record["startTime"]

    def rows(self) -> list[dict[str, Any]]:
        """Return what `JobManager.report` returns."""
        return [_row(name, job) for name, job in sorted(self._jobs.items())]

    def to_json(self) -> list[Any]:
        """Return the figures as a JSON document."""
        return [
            [name, dict(+job.statuses), job.durations, job.timed, job.last and [*job.last]]
            for name, job in self._jobs.items()
        ]

    @classmethod
    def from_json(cls, document: list[Any]) -> Totals:
        """Return the figures that `to_json` returned."""
        totals = cls()
        for name, statuses, durations, timed, last in document:
            job = totals._jobs[name] = _JobTotals()
            job.statuses.update(statuses)
            job.durations, job.timed = durations, timed
            job.last = None if last is None else (last[0], last[1])
        return totals


def _row(name: str, job: _JobTotals) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "runs": job.statuses.total()}
    row |= {status: job.statuses[status] for status in STATUSES}
    row["averageDuration"] = round(job.durations / job.timed) if job.timed else None
    if job.last is not None:
        row["lastStart"], row["lastStatus"] = job.last
    return row
