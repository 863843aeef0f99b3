"""How a schedule is published, and how its fire times are described."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import NamedTuple, Protocol

from ojobchannels.host.terminal import local_time
from ojobchannels.manager.schedules.published import LONGEST_MS, OVERDUE_AFTER_MS, Published
from ojobchannels.manager.schedules.rules import ScheduleRules
from ojobchannels.manager.schedules.zones import key_of_zone
from ojobchannels.printable import storable


class ScheduleNames(NamedTuple):
    """The names of one schedule.

    Attributes:
        job: The name of its job.
        title: The name by which operators know it.
        label: Its name among the schedules of its job, in the claims of runs that it shares.
        run: The name of its runs; None if they have no records.
        claims: The name under which its fire times are claimed; None if they are not.
        shares_run: Whether another schedule of the same process has runs of the same name.
    """

    job: str
    title: str
    label: str
    run: str | None
    claims: str | None
    shares_run: bool = False


class Publishable(Protocol):
    """A schedule that a daemon publishes."""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""

    def published(self) -> Published:
        """Return what other processes know of it."""


class PublishedSchedules:
    """The schedules of a daemon as it publishes them.

    Very many are compared again and again, and published only when one has changed: what a daemon
    publishes of them is made then, and not kept.
    """

    def __init__(self, schedules: Iterable[Publishable]) -> None:
        self._schedules = tuple(schedules)
        self._ended = tuple(each.ended for each in self._schedules)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublishedSchedules):
            return NotImplemented
        return self._schedules == other._schedules and self._ended == other._ended

    def __iter__(self) -> Iterator[Published]:
        return (each.published() for each in self._schedules)


def published(
    names: ScheduleNames, rules: ScheduleRules, zone: tzinfo, since: int, *, ended: bool
) -> Published:
    """Return what other processes know of a schedule.

    Args:
        names: Its names.
        rules: Its fire times.
        zone: Its time zone.
        since: The moment from which its fire times count.
        ended: Whether it has ended.
    """
    return Published(
        name=storable(names.title),
        job=storable(names.job),
        run=names.run,
        claims=names.claims,
        launched_by=names.label if names.shares_run else None,
        cron=rules.cron,
        interval=min(rules.interval, LONGEST_MS),
        timezone=key_of_zone(zone),
        misfire=rules.misfire,
        jitter=min(rules.jitter, LONGEST_MS),
        overdue_after=min(rules.overdue_after or OVERDUE_AFTER_MS, LONGEST_MS),
        since=since,
        ended=ended,
    )


def described(fire_times: Sequence[int]) -> str:
    """Return fire times as a text: one time, or their number and the first and the last."""
    first, last = local_time(fire_times[0]), local_time(fire_times[-1])
    return first if len(fire_times) == 1 else f"{len(fire_times)} fire times from {first} to {last}"
