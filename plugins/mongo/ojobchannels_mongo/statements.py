"""Filters and update pipelines.

Inside a pipeline a string that begins with ``$`` is an expression, so user data always goes through
`literal`. ``$$NOW`` is the server's clock, constant within one command.
"""

from typing import Any, Final

from ojobchannels.hookspecs import FIRST_FENCE

Part = dict[str, Any]
Pipeline = list[Part]


def literal(value: object) -> Part:
    """Return an expression that evaluates to the value."""
    return {"$literal": value}


# Documents. A row is {_id, c: channel, k: key as written, v: value, or j: value as JSON text,
# o: order, f: mark}. The row of a removed entry remains until a minute after `gone`; if it has a
# mark, that is a day after the server's clock has passed it. A mark that is not a fence of a lease
# is kept. `by` is the request that removed it, `was` whether that found an
# entry.

EXISTS: Final = {"$exists": True}
NOT_EXISTS: Final = {"$exists": False}
_MARKED: Final = {"$gt": ["$f", None]}
_DAY: Final = 86_400_000


def _passed(fence: object) -> Part:
    """Return the time at which the mark of a removed entry may be forgotten."""
    time = {"$toDate": {"$toLong": {"$divide": [fence, 1000]}}}
    is_fence = {"$and": [{"$gt": [fence, FIRST_FENCE]}, {"$lt": [fence, 4 * FIRST_FENCE]}]}
    return {"$cond": [is_fence, {"$add": [{"$max": ["$$NOW", time]}, _DAY]}, "$$REMOVE"]}


def not_marked_beyond(fence: int) -> Part:
    """Return the condition on `f` under which that fence may write."""
    return {"$not": {"$gt": fence}}


def remove_entry(request: str) -> Pipeline:
    """Return the update that removes an entry and keeps its mark."""
    rest = {
        "_id": "$_id",
        "c": "$c",
        "f": "$f",
        "by": literal(request),
        "gone": {"$cond": [_MARKED, _passed("$f"), "$$NOW"]},
    }
    return [{"$replaceWith": rest}]


def remove_and_mark(channel: str, fence: int | None, request: str) -> Pipeline:
    """Return the update that removes an entry, if it exists, and sets the mark."""
    rest = {
        "_id": "$_id",
        "c": literal(channel),
        "f": literal(fence),
        "by": literal(request),
        "was": {"$gt": ["$o", None]},
        "gone": _passed(literal(fence)),
    }
    return [{"$replaceWith": rest}]


# Locks. A row is {_id, c: channel, n: name, fence, token, ttl, until, since, holder: as JSON text,
# previous: the previous holder if it never unlocked or was evicted, last: the token that unlocked
# last, sweep: when the fence is no longer needed}.

LIVE: Final[Part] = {"$and": [{"$gt": ["$token", ""]}, {"$gt": ["$until", "$$NOW"]}]}
LEFT: Final[Part] = {"$subtract": ["$until", "$$NOW"]}
INFO: Final[Part] = {
    "_id": 0,
    "n": 1,
    "fence": 1,
    "holder": 1,
    "since": {"$toLong": "$since"},
    "until": {"$toLong": "$until"},
}
RESULT: Final[Part] = {"_id": 0, "fence": 1, "token": 1, "holder": 1, "previous": 1, "left": LEFT}
_ABANDONED: Final[Part] = {"$gt": ["$token", ""]}
_LEFT_BEHIND: Final[Part] = {"holder": "$holder", "fence": "$fence"}
_NOW_AS_FENCE: Final[Part] = {"$multiply": [{"$toLong": "$$NOW"}, 1000]}
_FENCE_AS_TIME: Final[Part] = {"$toDate": {"$toLong": {"$divide": ["$fence", 1000]}}}
_MONTH: Final = 30 * 86_400_000
_SWEEP: Final[Part] = {"$set": {"sweep": {"$max": ["$until", _FENCE_AS_TIME]}}}
# The info of a holder that never unlocked is kept for a month, for the next holder.
_SWEEP_LATE: Final[Part] = {
    "$set": {"sweep": {"$max": [{"$add": ["$until", _MONTH]}, _FENCE_AS_TIME]}}
}


def take_lock(channel: str, name: str, token: str, ttl: int, holder: str) -> Pipeline:
    """Return the update that grants a free lock and does not change a held one."""
    lease = {
        "_id": "$_id",
        "c": literal(channel),
        "n": literal(name),
        "fence": {"$max": [{"$add": ["$fence", 1]}, _NOW_AS_FENCE]},
        "token": literal(token),
        "ttl": literal(ttl),
        "until": {"$add": ["$$NOW", literal(ttl)]},
        "since": "$$NOW",
        "holder": literal(holder),
        "previous": {"$cond": [_ABANDONED, _LEFT_BEHIND, {"$ifNull": ["$previous", None]}]},
        "last": "$last",
    }
    return [{"$replaceWith": {"$cond": [LIVE, "$$ROOT", lease]}}, _SWEEP_LATE]


def held(lock: str, token: str) -> Part:
    """Return the filter that selects a lock while the token holds it."""
    return {"_id": lock, "token": token, "$expr": LIVE}


def free_lock(token: str) -> Pipeline:
    """Return the update that releases a lock and keeps its fence."""
    return [_freed(None, literal(token)), _SWEEP]


def evict() -> Pipeline:
    """Return the update that force-releases a lock: its holder never unlocked."""
    return [_freed(_LEFT_BEHIND, ""), _SWEEP_LATE]


def _freed(previous: Part | None, last: Part | str) -> Part:
    fields = {"token": "", "holder": "{}", "previous": previous, "until": "$$NOW", "last": last}
    return {"$set": fields}


def extend_lease(ttl: int) -> Pipeline:
    """Return the update that sets the remaining time."""
    return [
        {"$set": {"ttl": literal(ttl), "until": {"$add": ["$$NOW", literal(ttl)]}}},
        _SWEEP_LATE,
    ]


def adopt_lease(holder: str) -> Pipeline:
    """Return the update that sets the holder info."""
    return [{"$set": {"holder": literal(holder)}}]
