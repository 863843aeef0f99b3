"""Slots: a lock with n slots is n locks of the backend, and two more for its waiters.

The first slot has the name of the lock, so a lock without slots is one with a single slot. The
other names end in a mark in which the name of a lock must not end: no name collides with a slot of
another one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, Final

from ojobchannels.documents import MAX_NAME_BYTES, check_name
from ojobchannels.errors import ChannelError, InvalidName, InvalidOption
from ojobchannels.hookspecs import LockInfo
from ojobchannels.steps import Steps

MOST_SLOTS: Final = 1000
_MARK: Final = "\x1f"
_TURN: Final = f"{_MARK}turn"
_BELL: Final = f"{_MARK}bell"
_PART: Final = re.compile(rf"(.+){_MARK}(?:slot ([2-9]|[1-9]\d{{1,3}})|turn|bell)", re.DOTALL)
_LONGEST_END: Final = len(f"{_MARK}slot {MOST_SLOTS}")

_log = logging.getLogger("ojobchannels.locks")


def check_lock(name: object, slots: int = 1) -> str:
    """Return the name of a lock if it is valid for that number of slots.

    Raises:
        InvalidName: It is not, or it is the name of a slot.
    """
    checked = check_name("lock", name)
    if _MARK in checked and _PART.fullmatch(checked):
        reason = "it ends like the name of a slot, after U+001F: pass slots or slot instead"
        raise InvalidName("lock", name, reason)
    if slots > 1 and len(checked.encode()) > MAX_NAME_BYTES - _LONGEST_END:
        longest = MAX_NAME_BYTES - _LONGEST_END
        raise InvalidName("lock", name, f"with slots it may be at most {longest} bytes long")
    return checked


def is_lock(name: object) -> bool:
    """Return whether a name is valid for a lock."""
    try:
        check_lock(name)
    except InvalidName:
        return False
    return True


def check_count(option: str, number: object) -> int:
    """Return a number of slots, or of one slot, from 1 to 1000.

    Raises:
        InvalidOption: It is not.
    """
    if isinstance(number, int) and 1 <= number <= MOST_SLOTS and number is not True:
        return number
    reason = f"{number!r} is not an integer from 1 to {MOST_SLOTS}"
    raise InvalidOption(option, reason, "pass an integer in this range")


def slot_name(name: str, slot: int) -> str:
    """Return the backend's name of a slot."""
    return name if slot == 1 else f"{name}{_MARK}slot {slot}"


def turn_name(name: str) -> str:
    """Return the backend's name of the lock that the waiter has that is the next to get a slot."""
    return f"{name}{_TURN}"


def bell_name(name: str) -> str:
    """Return the backend's name of the lock at which that waiter waits for the next release."""
    return f"{name}{_BELL}"


def count_of(holder: Mapping[str, Any]) -> int:
    """Return with how many slots a holder acquired its lock; 1 if it was without."""
    slots = holder.get("slots", 1)
    return slots if type(slots) is int and 1 <= slots <= MOST_SLOTS else 1


def described(info: LockInfo) -> LockInfo | None:
    """Return a backend's description of a lock with its slot, or None if it is not of a slot."""
    part = _PART.fullmatch(info.name) if _MARK in info.name else None
    if part is None:
        slots = count_of(info.holder)
        return info if slots == info.slots else info._replace(slots=slots)
    name, slot = part.groups()
    if slot is None:
        return None
    number = int(slot)
    return info._replace(name=name, slot=number, slots=max(count_of(info.holder), number))


def waking_first_waiter(hook: Any, name: str) -> Steps[None]:
    """Wake the waiter that is the next to get a slot: a slot of this lock was released.

    If that fails, the waiter looks itself after a moment.
    """
    with suppress(ChannelError):
        yield partial(hook.force_unlock, name=bell_name(name))


def compare_counts(channel: str, name: str, slots: int, holder: Mapping[str, Any]) -> None:
    """Log, once in this process, that a holder of a lock uses another number of slots."""
    other = count_of(holder)
    if other != slots and "pid" in holder:
        _report_other_count(channel, name, slots, other)


@lru_cache(256)
def _report_other_count(channel: str, name: str, slots: int, other: int) -> None:
    _log.warning(
        "lock %r on channel %r is requested with slots=%d here, but is held with slots=%d: up to "
        "%d may hold it at once; use the same number everywhere",
        name,
        channel,
        slots,
        other,
        max(slots, other),
    )
