"""The rate limit of a job, as it is written: at most N starts in any period, over all hosts."""

import re
from typing import Final, NamedTuple

from ojobchannels.errors import InvalidOption

MOST_STARTS: Final = 1000
_LONGEST_DAYS: Final = 366
_UNITS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
LONGEST_PERIOD: Final = _LONGEST_DAYS * _UNITS["d"]
_TEXT: Final = r"([1-9][0-9]{0,3})/([1-9][0-9]{0,7})?([smhd])"
ADVICE: Final = (
    f"pass starts and a period, such as 10/1m: 1 to {MOST_STARTS} starts, and a number with s, m, "
    f"h or d, at most {_LONGEST_DAYS} days"
)


class RateLimit(NamedTuple):
    """A rate limit: its text, and the starts that it allows in any period of that length in ms."""

    text: str
    starts: int
    period: int


def parsed(text: object) -> RateLimit | None:
    """Return the rate limit with this text, such as ``10/1m``, or None if it is not valid."""
    match = re.fullmatch(_TEXT, text) if isinstance(text, str) else None
    if match is None or not isinstance(text, str):
        return None
    starts, number, unit = match.groups()
    period = int(number or 1) * _UNITS[unit]
    if int(starts) > MOST_STARTS or period > LONGEST_PERIOD:
        return None
    return RateLimit(text, int(starts), period)


def check_rate_limit(text: str | None) -> RateLimit | None:
    """Return the rate limit with this text, or None if there is none.

    Raises:
        InvalidOption: It is not a rate limit.
    """
    if text is None:
        return None
    limit = parsed(text)
    if limit is None:
        raise InvalidOption("rate_limit", f"{text!r} is not a rate limit", ADVICE)
    return limit
