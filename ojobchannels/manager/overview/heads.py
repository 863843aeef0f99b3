"""The last runs of every job, joined from any number of readers in any order."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from ojobchannels.manager.records import Record

RUNS_KEPT: Final = 50
_BUCKETS: Final = 64
_SURE: Final = {"running": 0, "abandoned": 1}


class PastRun(NamedTuple):
    """One run of a job; ``duration`` is in milliseconds, and None while the run is running."""

    start: int
    status: str
    duration: int | None


class JobHead(NamedTuple):
    """A job and its last runs, the latest first."""

    name: str
    runs: tuple[PastRun, ...]


class Heads:
    """The last runs of every job; what two readers know joins to what both know.

    The state of a run that is certain replaces one that is not, so neither the order of reading nor
    reading twice matters.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, dict[int, PastRun]] = {}

    def add(self, record: Record) -> bool:
        """Add the run of a record; return whether something new is known."""
        ended = record["status"] != "running"
        duration = record.get("duration", 0) if ended else None
        return self._join(record["name"], PastRun(record["startTime"], record["status"], duration))

    def discard(self, name: str, start: int) -> None:
        """Remove a run whose record no longer exists."""
        runs = self._jobs.get(name, {})
        runs.pop(start, None)
        if not runs:
            self._jobs.pop(name, None)

    def discard_ended_before(self, cutoff: int) -> None:
        """Remove the runs that ended before a time, as pruning removes their records."""
        gone = [
            (name, run.start)
            for name, runs in self._jobs.items()
            for run in runs.values()
            if run.duration is not None and run.start + run.duration < cutoff
        ]
        for name, start in gone:
            self.discard(name, start)

    def running(self) -> list[tuple[str, int]]:
        """Return the name and the start time of every run that is not known to have ended."""
        return [
            (name, run.start)
            for name, runs in self._jobs.items()
            for run in runs.values()
            if run.status == "running"
        ]

    def head(self, name: str, *, dead: Iterable[tuple[str, int]] = ()) -> JobHead:
        """Return the last runs of one job; those in `dead` that seem to be running as abandoned."""
        known = dict(self._jobs.get(name, {}))
        for job, start in dead:
            if job == name and start in known and known[start].status == "running":
                known[start] = PastRun(start, "abandoned", None)
        return JobHead(name, tuple(_latest(known.values())))

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._jobs))

    def buckets(self) -> dict[int, list[Any]]:
        """Return everything as JSON, in a fixed number of parts of similar size."""
        parts: dict[int, list[Any]] = {number: [] for number in range(_BUCKETS)}
        for name, runs in self._jobs.items():
            parts[_bucket(name)].append([name, [list(run) for run in _latest(runs.values())]])
        return parts

    def join_bucket(self, part: object) -> None:
        """Add what `buckets` returned; what cannot be read is left out."""
        with suppress(TypeError, ValueError, IndexError):
            for name, runs in part if isinstance(part, list) else ():
                stored = {run[0]: PastRun(*run) for run in runs}
                if name not in self._jobs:
                    self._jobs[str(name)] = stored
                else:
                    for run in stored.values():
                        self._join(name, run)

    def _join(self, name: str, run: PastRun) -> bool:
        runs = self._jobs.setdefault(name, {})
        known = runs.get(run.start)
        if known == run or (known is not None and _certainty(known) > _certainty(run)):
            return False
        runs[run.start] = run
        if len(runs) >= 2 * RUNS_KEPT:
            self._jobs[name] = {kept.start: kept for kept in _latest(runs.values())}
        return True


def bucket_keys() -> list[Mapping[str, int]]:
    """Return the keys under which the parts are stored, in their order."""
    return [{"jobHeads": number} for number in range(_BUCKETS)]


def _bucket(name: str) -> int:
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) % _BUCKETS


def _certainty(run: PastRun) -> int:
    return _SURE.get(run.status, 2)


def _latest(runs: Iterable[PastRun]) -> list[PastRun]:
    return sorted(runs, key=lambda run: run.start, reverse=True)[:RUNS_KEPT]
