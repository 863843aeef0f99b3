"""The messages of a queue that are due first, found by an index, with a million others waiting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Item
from ojobchannels.recipes.messages import DEFAULT_PRIORITY, WAITING

FEW: Final = 100
GROWTH: Final = 10
MOST: Final = 10_000
"""If none of the first messages, up to this number, is free, all are read."""

_DUE: Final = "notBefore"
_PRIORITY: Final = "priority"


class DueMessages(NamedTuple):
    """Entries of a channel.

    Attributes:
        items: Those that are due, or the first of them in the order of delivery; and some others.
        is_all: Whether no other one is due.
    """

    items: list[Item]
    is_all: bool


def prepare(channel: Channel) -> None:
    """Have the backend keep the indexes, if it can; fast while there are few messages."""
    for field in (_DUE, _PRIORITY):
        channel.hook.below(field=field, bound=0, limit=1)


def first_due(channel: Channel, now: int, limit: int) -> DueMessages | None:
    """Return the messages that are due; of more than `limit`, those that are first.

    Messages of one priority are in the order in which they are due.

    Returns:
        None if the backend cannot find them without reading the others.
    """
    due: list[Item] | None = channel.hook.below(field=_DUE, bound=now + 1, limit=limit)
    if due is None:
        return None
    if len(due) < limit:
        return DueMessages(due, True)
    lowest = max(map(_priority, _waiting(due)), default=-math.inf)
    if lowest == -math.inf:
        return DueMessages(due, False)
    bound = math.ceil(lowest)
    before: list[Item] | None = channel.hook.below(field=_PRIORITY, bound=bound, limit=limit)
    if before is None or not (_is_sorted(due, _DUE) and _is_sorted(before, _PRIORITY)):
        return None
    if len(before) < limit:
        return DueMessages([*before, *due], False)
    return DueMessages(before, False)


def by_due(channel: Channel) -> Iterator[Iterable[Item]]:
    """Yield the first messages, due or not; then more of them, and at last all that wait."""
    limit = FEW
    while limit <= MOST:
        found: list[Item] | None = channel.hook.below(field=_DUE, bound=2**62, limit=limit)
        if found is None or not _is_sorted(found, _DUE):
            break
        yield found
        if len(found) < limit:
            return
        limit *= GROWTH
    yield channel.items(match={"status": WAITING})


def _waiting(items: Iterable[Item]) -> Iterable[dict[str, Any]]:
    for _, value in items:
        if isinstance(value, dict) and value.get("status") == WAITING:
            yield value


def _priority(document: dict[str, Any]) -> float:
    priority = document.get(_PRIORITY, DEFAULT_PRIORITY)
    return priority if isinstance(priority, int | float) else DEFAULT_PRIORITY


def _is_sorted(items: list[Item], field: str) -> bool:
    numbers: list[Any] = [value[field] for _, value in items if isinstance(value, dict)]
    return all(one <= other for one, other in pairwise(numbers))
