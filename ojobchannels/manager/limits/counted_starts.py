"""The starts that a rate limit counts, over all hosts.

The times of the latest starts are an entry of the state channel, changed by compare-and-set. They
are taken from the fences of the runs, which follow the one clock that judges the locks.
"""

import logging
from functools import lru_cache
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document
from ojobchannels.hookspecs import MISSING
from ojobchannels.manager.limits.rate import LONGEST_PERIOD, MOST_STARTS, RateLimit
from ojobchannels.manager.records import start_of

_NAME: Final = "rateLimit"
_DAY: Final = 86_400_000

_log = logging.getLogger("ojobchannels.jobs")


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
        counted = {"limit": limit.text, "period": period, "starts": [*kept, now][-MOST_STARTS:]}
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
    return [
        key
        for key, present in state.items()
        if isinstance(key, dict)
        and key.keys() == {_NAME}
        and max(_starts(present), default=0) + _period(present) + _DAY < now
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
    return min(period, LONGEST_PERIOD) if type(period) is int else 0


@lru_cache(256)
def _report_other_limit(name: str, limit: str, other: str) -> None:
    _log.warning(
        "job %r has the rate limit %s here, and %s elsewhere: use the same one everywhere",
        name,
        limit,
        other,
    )
