"""Checks of the arguments of channel operations."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import Final, TypeAlias

from ojobchannels.errors import InvalidOption, shown

Duration: TypeAlias = float | timedelta
"""Seconds, or a timedelta."""

_SHORTEST_TTL: Final = 10
_LONGEST_TTL: Final = 100 * 365 * 86_400_000
_LARGEST: Final = 2**63 - 1


def milliseconds(option: str, duration: Duration, shortest: int = _SHORTEST_TTL) -> int:
    """Convert seconds or a timedelta to whole milliseconds.

    Raises:
        InvalidOption: The duration is of another type, shorter than `shortest` milliseconds, or
            longer than a hundred years.
    """
    if type(duration) is int or type(duration) is float:  # as most durations are
        number = duration * 1000
        if shortest <= number <= _LONGEST_TTL:
            return number if type(number) is int else round(number)
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidOption(
            option, f"{duration!r} is not a duration", "pass seconds or a timedelta"
        )
    if not shortest <= seconds * 1000 <= _LONGEST_TTL:
        reason = f"{duration!r} is out of range"
        advice = f"pass at least {shortest / 1000:g} seconds, and at most a hundred years"
        raise InvalidOption(option, reason, advice)
    return round(seconds * 1000)


def check_seconds(option: str, seconds: object) -> None:
    """Raise InvalidOption unless it is a number of seconds from 0 on, however large."""
    if not (isinstance(seconds, int | float) and seconds >= 0):
        reason = f"{seconds!r} is not a number of seconds"
        raise InvalidOption(option, reason, "pass 0 or more")


def moment_ms(option: str, moment: datetime | float) -> int:
    """Convert a datetime, or seconds since 1970, to milliseconds since 1970.

    Raises:
        InvalidOption: It is neither.
    """
    seconds = moment.timestamp() if isinstance(moment, datetime) else moment
    if not is_number(seconds):
        advice = "pass a datetime, or seconds since 1970"
        raise InvalidOption(option, f"{moment!r} is not a time", advice)
    return round(seconds * 1000)


def checked_fence(fence: int | None) -> int | None:
    """Return the fence if it is an integer from 0 to 2**63 - 1, or None.

    Raises:
        InvalidOption: It is something else.
    """
    if fence is None or (is_integer(fence) and 0 <= fence <= _LARGEST):
        return fence
    reason = f"{fence!r} is not an integer from 0 to 2**63 - 1"
    raise InvalidOption("fence", reason, "pass lease.fence")


def check_position(after: int | None) -> None:
    """Raise InvalidOption unless it is None or an integer of 64 bits, as positions are."""
    if after is not None and not (is_integer(after) and abs(after) <= _LARGEST):
        reason = f"{after!r} is not a position"
        raise InvalidOption("after", reason, "pass the position of an item")


def check_limit(limit: int | None) -> None:
    """Raise InvalidOption unless it is None or an integer that is not negative."""
    if limit is not None and not (is_integer(limit) and limit >= 0):
        reason = f"{limit!r} is not a number of results"
        raise InvalidOption("limit", reason, "pass a positive integer, or None for all")


def check_mapping(option: str, value: object, advice: str) -> None:
    """Raise InvalidOption with that advice unless it is a map."""
    if not isinstance(value, Mapping):
        raise InvalidOption(option, f"{shown(value)} is not a map", advice)


def is_number(value: object) -> bool:
    """Return whether it is a finite number; a boolean is not."""
    return is_integer(value) or (isinstance(value, float) and isfinite(value))


def is_integer(value: object) -> bool:
    """Return whether it is an integer; a boolean is not."""
    return isinstance(value, int) and not isinstance(value, bool)
