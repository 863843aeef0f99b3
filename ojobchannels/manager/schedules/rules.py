"""When a schedule fires, and what happens to the fire times that it misses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from functools import lru_cache
from typing import Literal, TypeAlias

from ojobchannels.manager.schedules.timetable import Timetable, Trigger

Misfire: TypeAlias = Literal["latest", "all", "none"]
"""Which missed fire times are run later."""


@dataclass(frozen=True, slots=True)
class ScheduleRules:
    """The fire times of a schedule: a cron expression, or an interval in milliseconds.

    Attributes:
        cron: The cron expression, or None.
        interval: The interval; 0 with a cron expression.
        misfire: Which missed fire times are run later.
        jitter: The longest delay of a fire time, in milliseconds.
        overdue_after: The milliseconds after a fire time from which it is overdue; None by default.
    """

    cron: str | None
    interval: int
    misfire: Misfire
    jitter: int
    overdue_after: int | None

    def timetable(self, zone: tzinfo, name: str) -> Timetable:
        """Return the fire times of the schedule of a name; those without jitter are shared."""
        times = _timetable(self.cron, self.interval, zone)
        return Timetable(times.trigger, name, self.jitter) if self.jitter else times


@lru_cache(maxsize=10_000)
def _timetable(cron: str | None, interval: int, zone: tzinfo) -> Timetable:
    from ojobchannels.manager.schedules.cron import Cron, Interval

    trigger: Trigger = Interval(interval) if cron is None else Cron(cron, zone)
    return Timetable(trigger, "")
