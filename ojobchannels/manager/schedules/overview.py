"""Which schedules there are, what is due, what is overdue: computed by whoever reads it.

Nothing of this relies on a daemon being alive: the fire times follow from the published trigger,
and what began from the claims and the run records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from ojobchannels.channels.channel import Channel
from ojobchannels.hookspecs import LockInfo
from ojobchannels.manager import records
from ojobchannels.manager.schedules import claimed, lists, pauses, schedule_documents
from ojobchannels.manager.schedules.pauses import PauseInfo
from ojobchannels.manager.schedules.published import (
    BEGUN,
    DAEMONS,
    DaemonInfo,
    Published,
    is_time,
    part_key,
)

_RECORDS_READ: Final = 5_000
"""Runs that no schedule started are looked for among this number of the latest records."""


class State(lists.Documents, Protocol):
    """The channel in which daemons publish themselves, or what remembers its documents."""

    def locks(self) -> list[LockInfo]:
        """Return the locks that are held."""


@dataclass(frozen=True, slots=True)
class ScheduleInfo:
    """A schedule that daemons have published. Times are milliseconds since 1970.

    Attributes:
        name: The name by which it is paused, resumed and run.
        job: The job of the file.
        run: The name of its runs; None for a job without records.
        file: The job file, as the daemon that was seen last names it.
        trigger: Its cron expression, or its interval as a text.
        timezone: The name of its time zone.
        misfire: Which missed fire times are run later.
        jitter: The longest delay of a fire time, in milliseconds.
        next_time: When it is due next; None if it has ended, or is paused without an end.
        last_time: The fire time or the start of the last run that began; None if none is known.
        overdue_since: When the first of its fire times was due since which no run has begun; None
            if it is not overdue.
        paused: Its pause, if it is paused.
        daemons: The daemons that have it, those that are alive first.
    """

    name: str
    job: str
    run: str | None
    file: str
    trigger: str
    timezone: str
    misfire: str
    jitter: int
    next_time: int | None
    last_time: int | None
    overdue_since: int | None
    paused: PauseInfo | None
    daemons: tuple[DaemonInfo, ...]


class KnownSchedule(NamedTuple):
    """A schedule that daemons have published, without what is due."""

    name: str
    job: str
    run: str | None
    daemons: tuple[DaemonInfo, ...]


def daemons(state: State) -> list[DaemonInfo]:
    """Return the daemons that are known, those that are alive first, by host and start."""
    locked = {lock.name: lock for lock in state.locks()}
    documents = (state.get({"daemon": daemon}) for daemon in lists.read(state, DAEMONS))
    found = [info for each in documents if (info := DaemonInfo.of(each, locked)) is not None]
    return sorted(found, key=lambda info: (not info.alive, info.host, info.started, info.id))


def known(state: State) -> list[KnownSchedule]:
    """Return the names of the schedules, and who has them, without what is due: that takes long."""
    return [
        KnownSchedule(first.name, first.job, first.run, tuple(info for _, info in group))
        for group in _groups(state)
        for first, _ in group[:1]
    ]


def schedules(
    jobs: Channel, state: State, now: int, grace: int | None = None
) -> list[ScheduleInfo]:
    """Return the schedules that are known, by name.

    Args:
        jobs: The channel of run records.
        state: The channel in which daemons publish themselves.
        now: The present time.
        grace: How long after a fire time a schedule is overdue, for all of them.
    """
    reader = _Reader(jobs, state, now, grace)
    return [reader.info(group) for group in _groups(state)]


_Group: TypeAlias = list[tuple[Published, DaemonInfo]]


def _groups(state: State) -> list[_Group]:
    """Return what daemons have published, a group for each schedule, by name."""
    grouped: dict[tuple[str, str, str], _Group] = {}
    for info in daemons(state):
        for published in schedule_documents.read(state, info.id):
            key = published.name, published.trigger, published.timezone
            grouped.setdefault(key, []).append((published, info))
    return [grouped[key] for key in sorted(grouped)]


class _Reader:
    """Computes the state of each schedule at one moment."""

    def __init__(self, jobs: Channel, state: State, now: int, grace: int | None) -> None:
        self._jobs = jobs
        self._state = state
        self._now = now
        self._grace = grace
        self._pauses = pauses.read_all(state)
        self._starts: dict[str, int] | None = None

    def info(self, group: _Group) -> ScheduleInfo:
        published, latest = max(group, key=lambda each: (each[1].alive, each[1].seen))
        since, last = self._begun(published, group)
        pause = self._pauses.get(published.name)
        overdue = None
        if not all(each.ended for each, _ in group):
            overdue = self._overdue(published, since, last, pause)
            if overdue is not None and (started := self._last_start(published.run)) is not None:
                last = started if last is None else max(last, started)
                overdue = self._overdue(published, since, last, pause)
        active = pause if pause is not None and pause.is_active(self._now) else None
        return ScheduleInfo(
            name=published.name,
            job=published.job,
            run=published.run,
            file=latest.file,
            trigger=published.trigger,
            timezone=published.timezone,
            misfire=published.misfire,
            jitter=published.jitter,
            next_time=None if published.ended else self._next(published, active),
            last_time=last,
            overdue_since=overdue,
            paused=active,
            daemons=tuple(info for _, info in group),
        )

    def _next(self, published: Published, pause: PauseInfo | None) -> int | None:
        timetable = published.timetable()
        if timetable is None or (pause is not None and pause.until is None):
            return None
        return timetable.next_due(self._now if pause is None else (pause.until or 0) - 1)

    def _overdue(
        self, published: Published, since: int, last: int | None, pause: PauseInfo | None
    ) -> int | None:
        """Return when the first fire time after the last begin was due, if that is too long ago."""
        timetable = published.timetable()
        if timetable is None or (pause is not None and pause.is_active(self._now)):
            return None
        first = timetable.after(max(since, last or 0))
        if first is None:
            return None
        due = timetable.due(first)
        if pause is not None and pause.until is not None and pause.since <= due < pause.until:
            if published.misfire == "none":
                first = timetable.after(pause.until - 1)
                due = timetable.due(first) if first is not None else self._now
            else:
                due = pause.until
        grace = published.overdue_after if self._grace is None else self._grace
        return due if due + grace <= self._now else None

    def _begun(self, published: Published, group: _Group) -> tuple[int, int | None]:
        """Return the time from which its fire times count, and the latest with a run, if any."""
        floor, last = claimed.begun(self._state, published, self._now)
        if published.claims is None:
            last = max(self._reported(group), default=None)
        return min(each.since for each, _ in group) if floor is None else floor, last

    def _reported(self, group: _Group) -> Iterator[int]:
        """Yield when daemons have run a job that has no records."""
        for each, info in group:
            match self._state.get(part_key(info.id, BEGUN)):
                case {"begun": dict(times)} if is_time(time := times.get(each.name)):
                    yield time

    def _last_start(self, run: str | None) -> int | None:
        """Return when a run of a name last began, also one that no schedule started."""
        if run is None:
            return None
        if self._starts is None:
            self._starts = {}
            items: Iterator[tuple[Any, Any]] = iter(self._jobs.items(newest_first=True))
            for _key, record in islice(items, _RECORDS_READ):
                if records.is_record(record) and record["status"] not in ("skipped", "depsfail"):
                    name, start = record["name"], record["startTime"]
                    self._starts[name] = max(start, self._starts.get(name, start))
        return self._starts.get(run)
