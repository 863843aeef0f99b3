"""Times and durations as people write and read them."""

import re
from contextlib import suppress
from datetime import datetime, timedelta

from ojobchannels.host.terminal import DURATION_STEPS, local_time

_UNITS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "min": 60_000, "s": 1000, "ms": 1}
_LONGEST = 1000 * 366 * 86_400_000
_SHORT = {"m": "min", "sec": "s"}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(w|d|h|min|m|sec|s|ms)(?![a-z])")


def parse_duration(text: str) -> timedelta:
    """Parse a duration such as ``7d``, ``90 min`` or ``1h30m``.

    Raises:
        ValueError: The text is not a duration.
    """
    total, end = 0.0, 0
    while (part := _PART.match(text, end)) is not None:
        unit = _SHORT.get(part[2], part[2])
        total += float(part[1]) * _UNITS[unit]
        end = part.end()
    if not end or text[end:].strip() or total > _LONGEST:
        raise ValueError(f"{text!r} is not a duration: write 45s, 30m, 12h, 7d or 2w")
    return timedelta(milliseconds=total)


def parse_moment(text: str, now: datetime) -> datetime:
    """Parse a date or time (local, unless it has a UTC offset), or a duration before `now`.

    Raises:
        ValueError: The text is not a date, a time or a duration.
    """
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).astimezone()
    with suppress(ValueError):
        return now - parse_duration(text)
    raise ValueError(f"{text!r} is not a time: write 2h, 7d, 2026-03-31 or 2026-03-31T18:00")


def parse_future(text: str, now: datetime) -> datetime:
    """Parse a date or time (local, unless it has a UTC offset), or a duration from `now` on.

    Raises:
        ValueError: The text is not a date, a time or a duration.
    """
    with suppress(ValueError):
        return now + parse_duration(text)
    return parse_moment(text, now)


def relative(ms: int, now: int) -> str:
    """Format a time relative to `now`: ``3 min ago``, ``in 42 s``; a date from a week on."""
    seconds = abs(now - ms) // 1000
    if seconds >= _WEEK:
        return local_time(ms)[:10]
    for size, unit, *_ in (*DURATION_STEPS, (1, "s", 0, "")):
        if seconds >= size or size == 1:
            away = f"{seconds // size} {unit}"
            break
    if not seconds:
        return "now"
    return f"{away} ago" if ms <= now else f"in {away}"


_WEEK = 7 * 86_400
