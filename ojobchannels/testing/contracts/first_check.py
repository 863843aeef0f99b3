"""A look at the results of each operation before the first promise: are they of the right kind?

A backend whose `get` returns None for a missing key would fail most promises, and none says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Key, check_key
from ojobchannels.errors import ChannelError, InvalidBackend
from ojobchannels.hookspecs import (
    ABSENT,
    MISSING,
    Adopted,
    Busy,
    Compared,
    Granted,
    LeaseRequest,
    LockInfo,
)
from ojobchannels.testing.kit.subject import Subject

_KEY: Final[Key] = check_key("key")
_A: Final = {"name": "nightly", "token": "a" * 32}


class _Check(NamedTuple):
    operation: str
    arguments: dict[str, Any]
    kind: type | tuple[type, ...]
    advice: str


def _lock(token: str) -> dict[str, Any]:
    return {"name": "nightly", "token": token * 32, "ttl": 60_000, "holder": {}, "waits": False}


_NULL: Final = "return MISSING, since None is a stored null"
_CHECKS: Final = [
    _Check("get", {"key": _KEY}, type(MISSING), _NULL),
    _Check("pop", {}, type(MISSING), _NULL),
    _Check("shift", {}, type(MISSING), _NULL),
    _Check("get_all", {"match": None}, list, "return a list of values"),
    _Check("get_keys", {}, list, "return a list of keys"),
    _Check(
        "items",
        {"match": None, "limit": 5, "newest_first": False, "after": None},
        list,
        "return a list of Item",
    ),
    _Check("size", {}, int, "return the number of entries"),
    _Check("unset", {"key": _KEY, "fence": None}, bool, "return whether the key existed"),
    _Check("unset_all", {"keys": [_KEY]}, int, "return how many keys existed"),
    _Check(
        "get_set",
        {"match": ABSENT, "key": _KEY, "value": 1, "fence": None},
        Compared,
        "return Compared(stored, previous)",
    ),
    _Check("lock", _lock("a"), (Granted, Busy), "return Granted(fence, previous) for a free lock"),
    _Check("lock", _lock("b"), (Granted, Busy), "return Busy(fence, holder, remaining) if held"),
    _Check("extend", {**_A, "ttl": 60_000}, bool, "return whether the token held the lock"),
    _Check(
        "extend_all",
        {"leases": [LeaseRequest("nightly", "a" * 32, 60_000)], "timeout": 5000},
        list,
        "return a list with True, False or None for each lease",
    ),
    _Check(
        "adopt",
        {**_A, "holder": {}},
        (Adopted, bool),
        "return Adopted(fence, ttl, remaining), or False",
    ),
    _Check("share", _A, (list, bool), "return a list of file descriptors, or False"),
    _Check("lock_info", {"name": "nightly"}, (LockInfo, type(None)), "return a LockInfo, or None"),
    _Check("locks", {}, list, "return a list of LockInfo"),
    _Check("unlock", _A, bool, "return whether the token held the lock"),
    _Check(
        "force_unlock",
        {"name": "nightly"},
        (LockInfo, type(None)),
        "return the LockInfo of the evicted holder, or None",
    ),
]


def wrong_result(subject: Subject) -> str | None:
    """Return a sentence about the first operation with a result of the wrong kind, or None.

    What is of the right kind, but wrong, is left to the promises, and so are errors.
    """
    probe = Subject(subject.type, subject.options)
    try:
        with probe.cleanup():
            return _first_wrong(probe.open())
    except InvalidBackend as error:
        return str(error)
    except ChannelError:
        return None


def _first_wrong(channel: Channel) -> str | None:
    for check in _CHECKS:
        call: Callable[..., Any] = getattr(channel.hook, check.operation)
        try:
            result = call(**check.arguments)
        except Exception:  # noqa: BLE001  a promise shows it with its steps
            return None
        if not isinstance(result, check.kind) or (check.kind is int and isinstance(result, bool)):
            return (
                f"the hook `{check.operation}` of channel type {channel.type!r} returned "
                f"{result!r}: {check.advice}"
            )
    return None
