"""What ran: questions about the records in the jobs channel, and their cleaning up."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from ojobchannels.channels.channel import Channel
from ojobchannels.hookspecs import LockInfo
from ojobchannels.host.clock import now_ms
from ojobchannels.manager import records
from ojobchannels.manager.records import STATUSES, Record

_BATCH = 500


class Pruned(NamedTuple):
    """What `JobManager.prune` did: records removed, and runs now told as abandoned."""

    removed: int
    abandoned: int


def runs(
    jobs: Channel,
    locks: Channel,
    name: str | None,
    status: str | None,
    since: datetime | float | None,
    limit: int | None,
) -> list[Record]:
    """Returns records, latest start first; a run whose lease is over is told as abandoned."""
    earliest = _ms(since)
    if status == "running":
        on = (one for one in running(jobs, locks) if name in (None, one["name"]))
        return [one for one in on if one["startTime"] >= earliest][:limit]
    latest: list[tuple[int, int, Record]] = []
    for number, record in enumerate(_told(jobs, locks, name, status)):
        full = limit is not None and len(latest) >= limit
        if full and (not latest or _ended_before(record, latest[0][0])):
            break
        if record["startTime"] >= earliest:
            (heapq.heappushpop if full else heapq.heappush)(
                latest, (record["startTime"], -number, record)
            )
    return [record for *_, record in sorted(latest, reverse=True)]


def running(jobs: Channel, locks: Channel) -> list[Record]:
    """Returns the records of the runs that are on, latest start first.

    Such a run holds its lock, so the locks lead to these records, however many there are in all.
    """
    found = []
    for held in locks.locks():
        record = records.find(jobs, held.holder, held.fence)
        if record is not None and record["status"] == "running" and records.is_live(record, held):
            found.append(record)
    return sorted(found, key=lambda record: record["startTime"], reverse=True)


def report(jobs: Channel, locks: Channel) -> list[dict[str, Any]]:
    """Sums up the records by job, in the order of their names."""
    rows: dict[str, dict[str, Any]] = {}
    durations: dict[str, list[int]] = {}
    for record in _told(jobs, locks, None, None):
        name = record["name"]
        row = rows.setdefault(
            name,
            {"name": name, "runs": 0, **dict.fromkeys(STATUSES, 0), "averageDuration": None},
        )
        row["runs"] += 1
        row[record["status"]] += 1
        if record["startTime"] > row.get("lastStart", -1):
            row |= {"lastStart": record["startTime"], "lastStatus": record["status"]}
        if record["status"] in ("completed", "failed"):
            durations.setdefault(name, []).append(record["duration"])
    for name, taken in durations.items():
        rows[name]["averageDuration"] = round(sum(taken) / len(taken))
    return [rows[name] for name in sorted(rows)]


def prune(jobs: Channel, locks: Channel, older_than: float) -> Pruned:
    """Removes what ended more than `older_than` seconds ago, and marks abandoned runs."""
    cutoff = now_ms() - round(older_than * 1000)
    abandoned = 0
    old: list[dict[str, Any]] = []
    for _key, record in jobs.items():  # noqa: PERF102  a channel has no values()
        if not records.is_record(record):
            continue
        if record["status"] == "running":
            if not records.is_live(record, locks.lock_info(record["name"])):
                abandoned += records.abandon(jobs, record, None)
        elif record.get("endTime", cutoff) < cutoff:
            old.append(records.key_of(record))
    return Pruned(_remove(jobs, old), abandoned)


class _Held:
    """Asks for each lock once."""

    def __init__(self, locks: Channel) -> None:
        self._locks = locks
        self._seen: dict[str, LockInfo | None] = {}

    def by(self, name: str) -> LockInfo | None:
        if name not in self._seen:
            self._seen[name] = self._locks.lock_info(name)
        return self._seen[name]


def _told(jobs: Channel, locks: Channel, name: str | None, status: str | None) -> Iterator[Record]:
    match: dict[str, Any] = {} if name is None else {"name": name}
    if status not in (None, "abandoned"):  # as that may be told what stands there as running
        match["status"] = status
    held = _Held(locks)
    for _key, record in jobs.items(match=match or None, newest_first=True):  # noqa: PERF102  as above
        if not records.is_record(record):
            continue
        if record["status"] == "running" and not records.is_live(record, held.by(record["name"])):
            record = jobs.get(records.key_of(record))  # it may have ended between the two readings
            if not records.is_record(record):
                continue
            if record["status"] == "running":
                record["status"] = "abandoned"
        if status in (None, record["status"]):
            yield record


def _ended_before(record: Record, start: int) -> bool:
    """Tells whether a run ended, and so all that changed before it began, before `start`."""
    return record["status"] in ("completed", "failed") and record.get("endTime", start) < start


def _remove(jobs: Channel, keys: list[dict[str, Any]]) -> int:
    step = _BATCH if "atomic_batches" in jobs.capabilities else 1
    return sum(jobs.unset_all(keys[start : start + step]) for start in range(0, len(keys), step))


def _ms(since: datetime | float | None) -> int:
    if since is None:
        return 0
    return round((since.timestamp() if isinstance(since, datetime) else since) * 1000)
