"""Times as people write and read them."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

_UNITS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "min": 60_000, "s": 1000, "ms": 1}
_LONGEST = 1000 * 366 * 86_400_000
_SHORT = {"m": "min", "sec": "s"}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(w|d|h|min|m|sec|s|ms)(?![a-z])")


def parse_span(text: str) -> timedelta:
    """Reads a span of time such as ``7d``, ``90 min`` or ``1h30m``.

    Raises:
        ValueError: It is none; the message says how to write one.
    """
    total, end = 0.0, 0
    while (part := _PART.match(text, end)) is not None:
        unit = _SHORT.get(part[2], part[2])
        total += float(part[1]) * _UNITS[unit]
        end = part.end()
    if not end or text[end:].strip() or total > _LONGEST:
        raise ValueError(f"{text!r} is no span of time: write 45s, 30m, 12h, 7d or 2w")
    return timedelta(milliseconds=total)


def parse_moment(text: str, now: datetime) -> datetime:
    """Reads a date or a time (local, unless it names its zone), or a span before `now`.

    Raises:
        ValueError: It is neither; the message says how to write one.
    """
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).astimezone()
    with suppress(ValueError):
        return now - parse_span(text)
    raise ValueError(f"{text!r} is no time: write 2h, 7d, 2026-03-31 or 2026-03-31T18:00")


def local(ms: int) -> str:
    """Writes milliseconds of the epoch as a local time: ``2026-03-31 18:04:05``."""
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return str(ms)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def span(ms: int) -> str:
    """Writes a duration with its two largest units: ``412 ms``, ``3.2 s``, ``2 min 5 s``."""
    if ms < 1:
        return "< 1 ms"
    if ms < 1000:
        return f"{ms} ms"
    if ms < 9_950:
        return f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    for size, unit, smaller_size, smaller in _STEPS:
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            return f"{whole} {unit} {rest // smaller_size} {smaller}"
    return f"{seconds} s"


def relative(ms: int, now: int) -> str:
    """Writes a moment as seen from `now`: ``3 min ago``, ``in 42 s``; a date beyond a week."""
    seconds = abs(now - ms) // 1000
    if seconds >= _WEEK:
        return local(ms)
    for size, unit, *_ in (*_STEPS, (1, "s", 0, "")):
        if seconds >= size or size == 1:
            away = f"{seconds // size} {unit}"
            break
    if not seconds:
        return "now"
    return f"{away} ago" if ms <= now else f"in {away}"


_WEEK = 7 * 86_400
_STEPS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
