"""Filters and update pipelines that contain no data of users but where it says so.

Inside of a pipeline a text that begins with ``$`` is an expression: whatever comes from outside
goes through `literal`. ``$$NOW`` is the server's clock, the same all through one command.
"""

from __future__ import annotations

from typing import Any, Final

Part = dict[str, Any]
Pipeline = list[Part]


def literal(value: object) -> Part:
    """Returns an expression that means the value and nothing else."""
    return {"$literal": value}


# Documents. A row is {_id, c: channel, k: key as written, v: value or j: value as text, o: order,
# f: mark}. Where an entry was taken out the row stays behind: with the mark for good, without one
# until `gone` is a minute ago. `by` is the request that took it out.

THERE: Final = {"$exists": True}
NOT_THERE: Final = {"$exists": False}
_MARKED: Final = {"$gt": ["$f", None]}


def not_marked_beyond(fence: int) -> Part:
    """Returns the condition on `f` under which that fence may write."""
    return {"$not": {"$gt": fence}}


def take_out(request: str) -> Pipeline:
    """Returns the update that leaves of a row what has to stay."""
    left = {
        "_id": "$_id",
        "c": "$c",
        "f": "$f",
        "by": literal(request),
        "gone": {"$cond": [_MARKED, "$$REMOVE", "$$NOW"]},
    }
    return [{"$replaceWith": left}]


def close_off(channel: str, fence: int | None, request: str) -> Pipeline:
    """Returns the update that takes out an entry, if there is one, and leaves the mark."""
    left = {
        "_id": "$_id",
        "c": literal(channel),
        "f": literal(fence),
        "by": literal(request),
        "was": {"$gt": ["$o", None]},
    }
    return [{"$replaceWith": left}]


# Locks. A row is {_id, c: channel, n: name, fence, token, ttl, until, since, holder: as text,
# previous: the holder before if it never unlocked, or that was put out by force, last: the token
# that unlocked last, sweep: when the fence is no longer needed}.

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
ANSWER: Final[Part] = {"_id": 0, "fence": 1, "token": 1, "holder": 1, "previous": 1, "left": LEFT}
_ABANDONED: Final[Part] = {"$gt": ["$token", ""]}
_LEFT_BEHIND: Final[Part] = {"holder": "$holder", "fence": "$fence"}
_NOW_AS_FENCE: Final[Part] = {"$multiply": [{"$toLong": "$$NOW"}, 1000]}
_FENCE_AS_TIME: Final[Part] = {"$toDate": {"$toLong": {"$divide": ["$fence", 1000]}}}
_MONTH: Final = 30 * 86_400_000
_SWEEP: Final[Part] = {"$set": {"sweep": {"$max": ["$until", _FENCE_AS_TIME]}}}
# Who takes the lock next is told of a holder that never unlocked, a month later still.
_SWEEP_LATE: Final[Part] = {
    "$set": {"sweep": {"$max": [{"$add": ["$until", _MONTH]}, _FENCE_AS_TIME]}}
}


def take_lock(channel: str, name: str, token: str, ttl: int, holder: str) -> Pipeline:
    """Returns the update that grants a free lock and leaves a held one as it is."""
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
    """Returns the filter that finds a lock while the token holds it."""
    return {"_id": lock, "token": token, "$expr": LIVE}


def free_lock(token: str) -> Pipeline:
    """Returns the update that frees a lock and keeps its fence."""
    freed = {
        "token": "",
        "holder": "{}",
        "previous": None,
        "until": "$$NOW",
        "last": literal(token),
    }
    return [{"$set": freed}, _SWEEP]


def put_out() -> Pipeline:
    """Returns the update that frees a lock by force: its holder never unlocked."""
    freed = {
        "token": "",
        "holder": "{}",
        "previous": _LEFT_BEHIND,
        "until": "$$NOW",
        "last": "",
    }
    return [{"$set": freed}, _SWEEP_LATE]


def extend_lease(ttl: int) -> Pipeline:
    """Returns the update that sets the time that remains."""
    return [
        {"$set": {"ttl": literal(ttl), "until": {"$add": ["$$NOW", literal(ttl)]}}},
        _SWEEP_LATE,
    ]


def adopt_lease(holder: str) -> Pipeline:
    """Returns the update that tells of another holder."""
    return [{"$set": {"holder": literal(holder)}}]
