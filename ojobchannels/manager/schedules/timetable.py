"""The fire times of one schedule, and how long jitter delays each of them."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Final, Protocol

from ojobchannels.manager.schedules.zones import zone_of_key

_STEPS: Final = 2**32


class Trigger(Protocol):
    """Computes fire times, in milliseconds since 1970."""

    def after(self, moment: int) -> int | None:
        """Return the first fire time after a moment."""

    def latest(self, moment: int) -> int | None:
        """Return the last fire time at or before a moment."""


class Timetable:
    """Fire times, each with the moment at which it is due: a little later, if there is jitter.

    The delay follows from the name and the fire time alone, so that all hosts agree on it. It never
    reaches the next fire time: the order stays as it is.

    Args:
        trigger: The trigger.
        name: The name of the schedule.
        jitter: The longest delay, in milliseconds.
    """

    __slots__ = ("_jitter", "_name", "trigger")

    def __init__(self, trigger: Trigger, name: str, jitter: int = 0) -> None:
        self.trigger = trigger
        self._name = name
        self._jitter = jitter

    def due(self, fire_time: int) -> int:
        """Return the moment at which a fire time is due."""
        if not self._jitter:
            return fire_time
        following = self.trigger.after(fire_time)
        room = self._jitter if following is None else min(self._jitter, following - fire_time)
        digest = sha256(f"{fire_time} {self._name}".encode("utf-8", "surrogatepass")).digest()
        return fire_time + room * int.from_bytes(digest[:4]) // _STEPS

    def latest(self, moment: int) -> int | None:
        """Return the last fire time that is due at a moment."""
        found = self.trigger.latest(moment)
        if found is not None and self.due(found) > moment:
            found = self.trigger.latest(found - 1)
        return found

    def after(self, moment: int) -> int | None:
        """Return the first fire time that is due after a moment."""
        found = self.trigger.latest(moment) if self._jitter else None
        if found is not None and self.due(found) > moment:
            return found
        return self.trigger.after(moment)

    def between(self, after: int, until: int, longest: int) -> list[int]:
        """Return the fire times between two others, the latest ones if they are many."""
        found: list[int] = []
        time = self.trigger.latest(until - 1)
        while time is not None and time > after and len(found) < longest:
            found.append(time)
            time = self.trigger.latest(time - 1)
        return found[::-1]

    def next_due(self, moment: int) -> int | None:
        """Return the first moment after another one at which a fire time is due."""
        found = self.after(moment)
        return None if found is None else self.due(found)


@lru_cache(maxsize=10_000)
def trigger_of(cron: str | None, interval: int, zone: str) -> Trigger | None:
    """Return the trigger of a published schedule; None if this host cannot compute it."""
    from ojobchannels.manager.schedules.cron import Cron, CronError, Interval

    if cron is None:
        return Interval(interval) if interval > 0 else None
    try:
        return Cron(cron, zone_of_key(zone))
    except (CronError, LookupError):
        return None
