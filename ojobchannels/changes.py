"""What a backend tells of changes: a feed, from which one subscription takes what is new.

There are two kinds. One tells of each change, in order (the capability `events_every`); a `Backlog`
keeps them until they are taken. The other tells only that something changed, and the subscription
itself reads what (the capability `events_coalesced`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from ojobchannels.documents import Document

LONGEST_BACKLOG: Final = 10_000


class Change(NamedTuple):
    """What the callback of a subscription gets.

    Attributes:
        op: ``set``, ``unset``, or ``resync``: changes may have been missed, and what differs from
            what was told follows, key by key.
        key: The key as it was written; None for ``resync``.
        value: What was stored; None for the others.
        position: Where the entry stands in the order of change, if that is known.
    """

    op: Literal["set", "unset", "resync"]
    key: Document = None
    value: Document = None
    position: int | None = None


class News(NamedTuple):
    """What is new since a feed was asked last.

    Attributes:
        changes: Each change, in order, where the feed tells them.
        look: Whether something changed that has to be read.
        gap: Whether changes may have been missed; then all is read and compared.
    """

    changes: Sequence[Change] = ()
    look: bool = False
    gap: bool = False


class Feed(Protocol):
    """What the hook ``subscribe`` answers; one thread at a time asks it."""

    @property
    def pause(self) -> float | None:
        """After how many seconds to ask although nothing rang; None for never."""

    def take(self) -> News:
        """Returns what is new, without waiting for it."""

    def close(self) -> None:
        """Ends it; a second time does nothing."""


class Backlog:
    """A feed of each change, up to a limit; beyond it they are dropped, and a gap is told.

    Args:
        ring: What the hook was given.
        leave: Called by `close`, with the backlog.
        read: Makes of what was told what the callback gets, on the thread of the subscription.
    """

    pause: Final = None

    def __init__(
        self,
        ring: Callable[[], None],
        leave: Callable[[Backlog], None],
        read: Callable[[Change], Change] = lambda change: change,
    ) -> None:
        self._ring = ring
        self._read = read
        self._leave = leave
        self._told: deque[Change] = deque()
        self._gap = False

    def add(self, change: Change) -> None:
        """Takes note of a change."""
        if len(self._told) >= LONGEST_BACKLOG:
            self._gap = True
        else:
            self._told.append(change)
        self._ring()

    def miss(self) -> None:
        """Takes note that changes may have been missed."""
        self._gap = True
        self._ring()

    def take(self) -> News:
        """Returns the changes so far; none where some are missing, since all is read then."""
        gap, self._gap = self._gap, False
        if gap:
            self._told.clear()
        changes = [self._read(self._told.popleft()) for _ in range(len(self._told))]
        return News(changes, gap=gap)

    def close(self) -> None:
        """Has no more changes told."""
        self._leave(self)


class Versions:
    """A feed that looks now and then whether a version is another one; each look has to be cheap.

    Args:
        read: Returns the present version of the channel's documents.
        pause: Seconds between two looks.
    """

    def __init__(self, read: Callable[[], object], pause: float) -> None:
        self.pause: float | None = pause
        self._read = read
        self._seen = read()

    def take(self) -> News:
        """Returns whether the version is another one."""
        before, self._seen = self._seen, self._read()
        return News(look=self._seen != before)

    def close(self) -> None:
        """There is nothing to give back."""
