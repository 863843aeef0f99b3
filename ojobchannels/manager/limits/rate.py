"""The rate limit of a job: at most N starts in any period, over all hosts.

The times of the latest starts are an entry of the state channel, changed by compare-and-set. They
are taken from the fences of the runs, which follow the one clock that judges the locks.
"""

import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document
from ojobchannels.errors import InvalidOption
from ojobchannels.hookspecs import MISSING
from ojobchannels.manager.records import start_of

_NAME: Final = "rateLimit"
_MOST_STARTS: Final = 1000
_LONGEST_DAYS: Final = 366
_UNITS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_TEXT: Final = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,7})?([smhd])")
ADVICE: Final = (
    f"pass starts and a period, such as 10/1m: 1 to {_MOST_STARTS} starts, and a number with s, m, "
    f"h or d, at most {_LONGEST_DAYS} days"
)

_log = logging.getLogger("ojobchannels.jobs")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A rate limit: its text, and the starts that it allows in any period of that length in ms."""

    text: str
    starts: int
    period: int


def parsed(text: object) -> RateLimit | None:
    """Return the rate limit with this text, such as ``10/1m``, or None if it is not valid."""
    match = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if match is None or not isinstance(text, str):
        return None
    starts, number, unit = match.groups()
    period = int(number or 1) * _UNITS[unit]
    if int(starts) > _MOST_STARTS or period > _LONGEST_DAYS * _UNITS["d"]:
        return None
    return RateLimit(text, int(starts), period)


def check_rate_limit(text: str | None) -> RateLimit | None:
    """Return the rate limit with this text, or None if there is none.

    Raises:
        InvalidOption: It is not a rate limit.
    """
    limit = parsed(text)
    if limit is None and text is not None:
        raise InvalidOption("rate_limit", f"{text!r} is not a rate limit", ADVICE)
    return limit


def take(state: Channel, name: str, limit: RateLimit, fence: int) -> float:
    """Count the start of a run with that fence, if the limit allows it.

    Returns:
        0 if it was counted, else the seconds until the next start may be possible.
    """
    now, key = start_of(fence), _key(name)
    while True:
        present = state.get(key, default=MISSING)
        kept = _kept(name, limit, present, now)
        recent = [at for at in kept if at > now - limit.period]
        if len(recent) >= limit.starts:
            return max(recent[-limit.starts] + limit.period - now, 1) / 1000
        period = limit.period if recent == kept else _period(present)
        counted = {"limit": limit.text, "period": period, "starts": [*kept, now][-_MOST_STARTS:]}
        if _replace(state, key, present, counted):
            return 0.0


def give_back(state: Channel, name: str, fence: int) -> None:
    """Withdraw a start that was counted, for a run that did not begin."""
    at, key = start_of(fence), _key(name)
    while isinstance(present := state.get(key), dict) and at in _starts(present):
        starts = _starts(present)
        starts.remove(at)
        if _replace(state, key, present, present | {"starts": starts}):
            return


def outdated(state: Channel, now: int) -> list[dict[str, Any]]:
    """Return the keys of the entries that count nothing any more, and have not for a day.

    The day is for clocks of hosts that differ, and for a start that is counted at this moment.
    """
    day = _UNITS["d"]
    return [
        key
        for key, present in state.items()
        if isinstance(key, dict)
        and key.keys() == {_NAME}
        and max(_starts(present), default=0) + _period(present) + day < now
    ]


def _key(name: str) -> dict[str, Any]:
    return {_NAME: name}


def _replace(state: Channel, key: Document, present: Document, changed: Document) -> bool:
    if present is MISSING:
        return state.add(key, changed)
    return state.get_set(present, key, changed) is not None


def _kept(name: str, limit: RateLimit, present: Document, now: int) -> list[int]:
    """Return the starts that this limit, or another one of the same job, still counts.

    Those that are far ahead are left out: the clock was set back.
    """
    if not isinstance(present, dict):
        return []
    other = present.get("limit")
    if other != limit.text:
        _report_other_limit(name, limit.text, str(other))
    period = max(limit.period, _period(present))
    return sorted(at for at in _starts(present) if now - period < at <= now + period)


def _starts(present: Document) -> list[int]:
    starts = present.get("starts") if isinstance(present, dict) else None
    return [at for at in starts if type(at) is int] if isinstance(starts, list) else []


def _period(present: Document) -> int:
    period = present.get("period") if isinstance(present, dict) else None
    return min(period, _LONGEST_DAYS * _UNITS["d"]) if type(period) is int else 0


@lru_cache(256)
def _report_other_limit(name: str, limit: str, other: str) -> None:
    _log.warning(
        "job %r has the rate limit %s here, and %s elsewhere: use the same one everywhere",
        name,
        limit,
        other,
    )
