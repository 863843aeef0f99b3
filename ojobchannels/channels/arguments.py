"""Checks of the arguments of channel operations."""

from datetime import timedelta
from typing import Final, TypeAlias

from ojobchannels.errors import InvalidOption

Duration: TypeAlias = float | timedelta
"""Seconds, or a timedelta."""

_SHORTEST_TTL: Final = 10
_LONGEST_TTL: Final = 100 * 365 * 86_400_000


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


def checked_fence(fence: int | None) -> int | None:
    """Return the fence if it is an integer or None.

    Raises:
        InvalidOption: The fence is of another type.
    """
    if fence is not None and (isinstance(fence, bool) or not isinstance(fence, int)):
        raise InvalidOption("fence", f"{fence!r} is not an integer", "pass lease.fence")
    return fence
