"""When a schedule fires, and what happens to the fire times that it misses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from ojobchannels.manager.schedules.cron import Trigger

Misfire: TypeAlias = Literal["latest", "all", "none"]
"""Which missed fire times are run later."""


@dataclass(frozen=True)
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

    def trigger(self, zone: tzinfo) -> Trigger:
        """Return the trigger that computes the fire times."""
        from ojobchannels.manager.schedules.cron import Cron, Interval

        return Interval(self.interval) if self.cron is None else Cron(self.cron, zone)
