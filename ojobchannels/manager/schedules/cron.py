"""Cron expressions: their errors and their fire times.

cronsim parses the fields and walks over the calendar, without a time zone. Clock changes are
handled here: cronsim does so only for five fields, and misses times where clocks move by half an
hour.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, TypeAlias

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
_SIZES: Final = {
    "second": 60,
    "minute": 60,
    "hour": 24,
    "day of month": 31,
    "month": 12,
    "day of week": 7,
}
_UNITS_MS: Final = {"second": 1_000, "minute": 60_000, "hour": 3_600_000}
_NAMES: Final = {
    "month": ["", *"JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()],
    "day of week": "SUN MON TUE WED THU FRI SAT".split(),
}
_STEP: Final = re.compile(r"/(\d+)(?=,|$)")
_RANGE: Final = re.compile(r"(\w+)-(\w+)(?:/(\d+))?")
_RANGE_OF_ONE: Final = re.compile(r"\b(\w+)-\1/\d+")
"""Matches a range of one value with a step, which cronsim reads as a range without an end."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO: Final = timedelta(0)
_SECOND: Final = timedelta(seconds=1)
_STRIDE: Final = timedelta(days=1)
"""No time zone changes its clocks twice within this time."""


class CronError(ValueError):
    """An invalid cron expression.

    Attributes:
        reason: What is wrong.
        advice: What to write instead.
        offset: The index in the text at which the invalid field begins.
        interval: The interval in milliseconds that was probably meant; None if there is none.
    """

    def __init__(
        self, reason: str, advice: str, offset: int = 0, interval: int | None = None
    ) -> None:
        self.reason = reason
        self.advice = advice
        self.offset = offset
        self.interval = interval
        super().__init__(f"{reason}; {advice}")


class Cron:
    """The fire times of an expression of five or six fields, in one time zone.

    If the minute or the hour begins with a star, it fires whenever the wall clock shows a matching
    time: in both hours when clocks are set back, and not in the hour that is skipped when they are
    set forward. Otherwise it fires once for each time of day: the first time when an hour is
    repeated, and at the end of the gap when it is skipped.

    Raises:
        CronError: The expression is invalid, or never fires.
    """

    __slots__ = ("_expression", "_in_wall_time", "_last_found", "_zone")

    def __init__(self, text: str, zone: tzinfo = UTC) -> None:
        fields = _fields(text)
        self._expression = " ".join(fields)
        self._zone = zone
        starred = any(field.startswith("*") for field in fields[1:3])
        self._in_wall_time = zone is not UTC and not starred
        self._last_found = (0, 0)
        if not self._fires():
            raise CronError(f"{text!r} never fires: there is no such date", "change the fields")

    def after(self, moment: int) -> int | None:
        """Return the first fire time after a moment; both are milliseconds since 1970.

        The last one is remembered: whoever watches schedules asks for it again and again.
        """
        start, found = self._last_found
        if start <= moment < found:
            return found
        following = self._after(moment)
        if following is not None:
            self._last_found = (min(moment, start) if following == found else moment, following)
        return following

    def _after(self, moment: int) -> int | None:
        at = _EPOCH + _SECOND * (moment // 1000)
        if self._in_wall_time:
            times = map(self._existing, self._walk(self._wall(at), back=False))
            return next((time for time in map(_ms, times) if time > moment), None)
        start, offset = at, self._offset(at)
        while (wall := next(self._walk(start + offset, back=False), None)) is not None:
            found_at = wall - offset
            change = self._change(at, found_at, back=False)
            if change is None:
                return _ms(found_at)
            at, start, offset = change, change - _SECOND, self._offset(change)
        return None

    def latest(self, moment: int) -> int | None:
        """Return the last fire time at or before a moment."""
        at = _EPOCH + _SECOND * (moment // 1000)
        if self._in_wall_time:
            local = at.astimezone(self._zone)
            # A wall time that is later may have been before the clocks went back.
            folded = (local.replace(fold=0).utcoffset() or _ZERO) - (local.utcoffset() or _ZERO)
            times = map(self._existing, self._walk(self._wall(at) + folded + _SECOND, back=True))
            return next((time for time in map(_ms, times) if time <= moment), None)
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
        """Yield the matching wall times, marked as UTC."""
        for wall in CronSim(self._expression, start.replace(tzinfo=None), reverse=back):
            yield wall.replace(tzinfo=UTC)

    def _wall(self, at: datetime) -> datetime:
        return at + self._offset(at)

    def _offset(self, at: datetime) -> timedelta:
        return at.astimezone(self._zone).utcoffset() or _ZERO

    def _change(self, begin: datetime, end: datetime, *, back: bool) -> datetime | None:
        """Return the first clock change on the way from one time to another, if any."""
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
        """Return the first second that has the UTC offset of the later of two times."""
        offset = self._offset(late)
        while late - early > _SECOND:
            middle = early + (late - early) // (2 * _SECOND) * _SECOND
            early, late = (early, middle) if self._offset(middle) == offset else (middle, late)
        return late

    def _existing(self, wall: datetime) -> datetime:
        """Return a wall time in UTC; for one that a clock change skips, the end of the gap."""
        local = wall.replace(tzinfo=self._zone, fold=0)
        late = local.astimezone(UTC)
        if self._wall(late) == wall:
            return late
        return self._first_second(local.replace(fold=1).astimezone(UTC), late)


def _ms(time: datetime) -> int:
    return round((time - _EPOCH) / timedelta(milliseconds=1))


def _fields(text: str) -> list[str]:
    """Return the six fields of an expression, each checked on its own.

    Raises:
        CronError: A field is invalid, or there are too many or too few.
    """
    if text.strip().startswith("@"):
        return _expand_shorthand(text.strip())
    written = [(match.group(), match.start()) for match in re.finditer(r"\S+", text)]
    if len(written) not in (5, 6):
        reason = f"{text!r} has {len(written)} fields, not five or six"
        raise CronError(reason, "write [second] minute hour day-of-month month day-of-week")
    names = _FIELDS[-len(written) :]
    fields = []
    for (field, offset), (name, takes) in zip(written, names, strict=True):
        any_day = field == "?" and name.startswith("day")
        fields.append("*" if any_day else _without_wrapped_ranges(name, field))
        _check_steps(name, field, offset)
        if not _is_valid(name, fields[-1]):
            raise CronError(
                f"`{field}` is not a valid {name}",
                f"write {takes}, `*`, or lists, ranges and steps of these",
                offset,
            )
    return ["0", *fields] if len(fields) == 5 else fields


def _check_steps(name: str, field: str, offset: int) -> None:
    """Refuse steps that are longer than the field: cron does not carry them into the next one."""
    for step in map(int, _STEP.findall(field)):
        if step > _SIZES[name]:
            reason = (
                f"`{field}` fires once: a {name} has no step of {step}, only up to {_SIZES[name]}"
            )
            advice, interval = "write a shorter step, or several expressions", None
            if name in _UNITS_MS:
                interval = step * _UNITS_MS[name]
                advice = f"for every {step} {name}s, write `timeInterval: {interval}` instead"
            raise CronError(reason, advice, offset, interval)


def _without_wrapped_ranges(name: str, field: str) -> str:
    """Write ranges such as ``MON-SUN`` and ``FRI-MON``, which cronsim does not know, as lists."""
    terms = field.split(",")
    if name in _NAMES:
        terms = [_expanded_range(name, term) for term in terms]
    return _RANGE_OF_ONE.sub(r"\1", ",".join(terms))


def _expanded_range(name: str, term: str) -> str:
    match, size = _RANGE.fullmatch(term), _SIZES[name]
    if match is None:
        return term
    first, last = (_number(name, word) for word in match.groups()[:2])
    if first is None or last is None or first <= last:
        return term
    step = max(int(match[3] or 1), 1)
    values = range(first, first + (last - first) % size + 1, step)
    low = 1 if name == "month" else 0
    return ",".join(str((value - low) % size + low) for value in values)


def _number(name: str, word: str) -> int | None:
    """Return the number of a month or a day of the week; None for a word that is not one."""
    if word.upper() in _NAMES[name]:
        return _NAMES[name].index(word.upper())
    return int(word) if word.isdecimal() and int(word) <= _SIZES[name] else None


def _is_valid(name: str, field: str) -> bool:
    others = ["*"] * len(_FIELDS)
    others[[known for known, _ in _FIELDS].index(name)] = field
    try:
        CronSim(" ".join(others), _EPOCH)
    except CronSimError:
        return False
    return True


def _expand_shorthand(word: str) -> list[str]:
    if word.lower() not in _SHORTHANDS:
        raise CronError(f"unknown shorthand `{word}`", did_you_mean(word, _SHORTHANDS))
    return ["0", *_SHORTHANDS[word.lower()].split()]


class Interval:
    """Fires at the multiples of a number of milliseconds since 1970, the same on all servers."""

    __slots__ = ("_length",)

    def __init__(self, length: int) -> None:
        self._length = length

    def after(self, moment: int) -> int:
        """Return the first fire time after a moment."""
        return (moment // self._length + 1) * self._length

    def latest(self, moment: int) -> int:
        """Return the last fire time at or before a moment."""
        return moment // self._length * self._length


Trigger: TypeAlias = Cron | Interval
