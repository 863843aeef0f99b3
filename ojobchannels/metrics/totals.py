"""Totals of runs, which only grow: records are removed some day, and counters must not shrink."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from ojobchannels.following.run_changes import Record

Memory: TypeAlias = dict[str, Any]
"""``jobs``: of each job, ``outcomes`` by status, ``durations`` by status, ``delays``, ``missed``
and ``success``, the end of the last run that completed. A distribution is a list: the numbers of
values in each bucket, then their sum in milliseconds."""

DURATION_BUCKETS: Final = (0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)
DELAY_BUCKETS: Final = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)
MOST_JOBS: Final = 1000


def new_totals() -> Memory:
    """Return totals of nothing."""
    return {"jobs": {}}


def add(memory: Memory, records: Iterable[Record]) -> None:
    """Add changed records to the totals."""
    jobs = memory["jobs"]
    for record in records:
        name = record["name"]
        totals = jobs[name] = jobs.pop(name, None) or _of_new_job()
        (_add_start if record["status"] == "running" else _add_end)(totals, record)
    for oldest in list(jobs)[:-MOST_JOBS]:
        del jobs[oldest]


def _of_new_job() -> dict[str, Any]:
    return {"outcomes": {}, "durations": {}, "delays": [], "missed": 0, "delayed": []}


def _add_start(totals: dict[str, Any], record: Record) -> None:
    """Add how late a run has started, once."""
    if "fireTime" not in record or record.get("runId") in totals["delayed"]:
        return
    totals["delayed"] = [*totals["delayed"], record.get("runId")][-8:]
    delay = max(record["startTime"] - record["fireTime"], 0)
    totals["delays"] = _with(totals["delays"], delay, DELAY_BUCKETS)


def _add_end(totals: dict[str, Any], record: Record) -> None:
    status = record["status"]
    totals["outcomes"][status] = totals["outcomes"].get(status, 0) + 1
    if status in ("skipped", "depsfail"):
        totals["missed"] += str(record.get("reason", "")).startswith("missed")
        return
    _add_start(totals, record)
    if status in ("completed", "failed"):
        known = totals["durations"].get(status, [])
        duration = record.get("duration", 0)
        totals["durations"][status] = _with(known, duration, DURATION_BUCKETS)
    if status == "completed":
        totals["success"] = max(totals.get("success", 0), record["endTime"])


def _with(distribution: list[int], ms: int, buckets: tuple[float, ...]) -> list[int]:
    counted = list(distribution) or [0] * (len(buckets) + 2)
    counted[bisect_left(buckets, ms / 1000)] += 1
    counted[-1] += ms
    return counted
