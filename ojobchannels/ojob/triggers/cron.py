"""Cron expressions: what is wrong with one, and when it fires.

cronsim reads the fields and walks over the calendar, without a zone. Changes of the clocks are seen
to here: by itself it does so only for five fields, and misses times where clocks move by half an
hour.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ojobchannels.suggestions import did_you_mean

_SHORTHANDS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS: Final = (
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31, L for the last, or LW for the last from Monday to Friday"),
    ("month", "1 to 12, or JAN to DEC"),
    ("day of week", "0 to 7 with Sunday as 0 and 7, SUN to SAT, 5#2 for the second Friday, or 5L"),
)
_OF_ONE: Final = re.compile(r"\b(\w+)-\1/\d+")
"""A range of one value with a step; cronsim reads it as one without an end."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NONE: Final = timedelta(0)
_SECOND: Final = timedelta(seconds=1)
_STRIDE: Final = timedelta(days=1)
"""No zone changes its clocks twice in less."""


class CronFault(ValueError):
    """An expression that says nothing.

    Attributes:
        reason: What is wrong.
        advice: What to write.
        offset: Where in the text the faulty field begins.
    """

    def __init__(self, reason: str, advice: str, offset: int = 0) -> None:
        self.reason = reason
        self.advice = advice
        self.offset = offset
        super().__init__(f"{reason}; {advice}")


class Cron:
    """When an expression of five or six fields fires, in one zone.

    Where the minute or the hour begins with a star, it fires whenever the clock on the wall shows a
    time that fits: in both hours when clocks are set back, and not in the hour that is left out
    when they are set forward. Elsewhere it fires once for each time of day: the first time when the
    hour comes twice, and at the end of the gap when it does not come at all.

    Raises:
        CronFault: The expression is wrong, or never fires.
    """

    def __init__(self, text: str, zone: tzinfo = UTC) -> None:
        fields = _fields(text)
        self._expression = " ".join(fields)
        self._zone = zone
        starred = any(field.startswith("*") for field in fields[1:3])
        self._by_the_wall = zone is not UTC and not starred
        if not self._fires():
            raise CronFault(f"{text!r} never fires: there is no such date", "write another one")

    def after(self, moment: int) -> int | None:
        """Returns the first fire time after a moment; both are milliseconds since 1970."""
        at = _EPOCH + _SECOND * (moment // 1000)
        if self._by_the_wall:
            found = map(self._existing, self._walk(self._wall(at), back=False))
            return next((each for each in map(_ms, found) if each > moment), None)
        start, offset = at, self._offset(at)
        while (wall := next(self._walk(start + offset, back=False), None)) is not None:
            found_at = wall - offset
            change = self._change(at, found_at, back=False)
            if change is None:
                return _ms(found_at)
            at, start, offset = change, change - _SECOND, self._offset(change)
        return None

    def latest(self, moment: int) -> int | None:
        """Returns the last fire time until a moment."""
        at = _EPOCH + _SECOND * (moment // 1000)
        if self._by_the_wall:
            local = at.astimezone(self._zone)
            # What is later on the wall may have been before clocks went back.
            folded = (local.replace(fold=0).utcoffset() or _NONE) - (local.utcoffset() or _NONE)
            found = map(self._existing, self._walk(self._wall(at) + folded + _SECOND, back=True))
            return next((each for each in map(_ms, found) if each <= moment), None)
        offset = self._offset(at)
        while (wall := next(self._walk(at + offset + _SECOND, back=True), None)) is not None:
            found_at = wall - offset
            change = self._change(at, found_at, back=True)
            if change is None:
                return _ms(found_at)
            at, offset = change - _SECOND, self._offset(change - _SECOND)
        return None

    def _fires(self) -> bool:
        try:
            return self.after(0) is not None
        except CronSimError:  # each field is right by itself, but no month is that long
            return False

    def _walk(self, start: datetime, *, back: bool) -> Iterator[datetime]:
        """Yields what fits, as if there were no zones: times on the wall, told as if in UTC."""
        for found in CronSim(self._expression, start.replace(tzinfo=None), reverse=back):
            yield found.replace(tzinfo=UTC)

    def _wall(self, at: datetime) -> datetime:
        return at + self._offset(at)

    def _offset(self, at: datetime) -> timedelta:
        return at.astimezone(self._zone).utcoffset() or _NONE

    def _change(self, begin: datetime, end: datetime, *, back: bool) -> datetime | None:
        """Returns the first change of the clocks on the way from one time to another, if any."""
        if self._zone is UTC:
            return None
        offset, at = self._offset(begin), begin
        while at != end:
            before = at
            at = max(at - _STRIDE, end) if back else min(at + _STRIDE, end)
            if self._offset(at) != offset:
                return self._first_second(min(at, before), max(at, before))
        return None

    def _first_second(self, early: datetime, late: datetime) -> datetime:
        """Returns the first second that has the offset of the later of two times."""
        offset = self._offset(late)
        while late - early > _SECOND:
            middle = early + (late - early) // (2 * _SECOND) * _SECOND
            early, late = (early, middle) if self._offset(middle) == offset else (middle, late)
        return late

    def _existing(self, wall: datetime) -> datetime:
        """Returns a time on the wall in UTC; for one that a change leaves out, the gap's end."""
        local = wall.replace(tzinfo=self._zone, fold=0)
        late = local.astimezone(UTC)
        if self._wall(late) == wall:
            return late
        return self._first_second(local.replace(fold=1).astimezone(UTC), late)


def _ms(found: datetime) -> int:
    return round((found - _EPOCH) / timedelta(milliseconds=1))


def _fields(text: str) -> list[str]:
    """Returns the six fields of an expression, each checked for itself.

    Raises:
        CronFault: One of them is wrong, or there are too many or too few.
    """
    if text.strip().startswith("@"):
        return _of_shorthand(text.strip())
    places = [(found.group(), found.start()) for found in re.finditer(r"\S+", text)]
    if len(places) not in (5, 6):
        said = f"{text!r} has {len(places)} fields, not five or six"
        raise CronFault(said, "write [second] minute hour day-of-month month day-of-week")
    names = _FIELDS[-len(places) :]
    fields = []
    for (field, offset), (name, takes) in zip(places, names, strict=True):
        any_day = field == "?" and name.startswith("day")
        fields.append("*" if any_day else _OF_ONE.sub(r"\1", field))
        if not _reads(name, fields[-1]):
            raise CronFault(
                f"`{field}` is no {name}",
                f"write {takes}, `*`, or lists, ranges and steps of these",
                offset,
            )
    return ["0", *fields] if len(fields) == 5 else fields


def _reads(name: str, field: str) -> bool:
    others = ["*"] * len(_FIELDS)
    others[[known for known, _ in _FIELDS].index(name)] = field
    try:
        CronSim(" ".join(others), _EPOCH)
    except CronSimError:
        return False
    return True


def _of_shorthand(word: str) -> list[str]:
    if word.lower() not in _SHORTHANDS:
        raise CronFault(f"there is no `{word}`", did_you_mean(word, _SHORTHANDS))
    return ["0", *_SHORTHANDS[word.lower()].split()]


class Interval:
    """Fires at the multiples of so many milliseconds since 1970, so that all servers agree."""

    def __init__(self, length: int) -> None:
        self._length = length

    def after(self, moment: int) -> int:
        """Returns the first fire time after a moment."""
        return (moment // self._length + 1) * self._length

    def latest(self, moment: int) -> int:
        """Returns the last fire time until a moment."""
        return moment // self._length * self._length


Trigger: TypeAlias = Cron | Interval


def zone_of(name: str) -> tzinfo:
    """Returns a time zone by its name; `local` is that of this host.

    Raises:
        LookupError: There is none.
    """
    if name == "UTC":
        return UTC
    try:
        return _local_zone() if name == "local" else ZoneInfo(name)
    except (OSError, ValueError) as error:  # the name of a folder, or one that is no path
        raise LookupError(name) from error


def _local_zone() -> tzinfo:
    """The zone that the environment or the system names; a fixed offset knows no summer time."""
    if name := os.environ.get("TZ", "").removeprefix(":"):
        return ZoneInfo(name)
    file = Path("/etc/localtime").resolve()
    _, _, name = str(file).partition("zoneinfo/")
    if name:
        return ZoneInfo(name)
    if not file.is_file():
        return UTC
    with file.open("rb") as stream:
        return ZoneInfo.from_file(stream)
