"""How a backend reports changes: a feed, from which one subscription takes them.

There are two kinds of feed. One reports each change, in order (the capability ``events_every``); a
`Backlog` keeps the changes until they are taken. The other reports only that something changed, and
the subscription reads the entries itself (the capability ``events_coalesced``).
"""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

from ojobchannels.documents import Document, encode
from ojobchannels.errors import ChannelUnavailable
from ojobchannels.moved import renamed

LONGEST_BACKLOG: Final = 10_000
LARGEST_BACKLOG: Final = 16 * 1024 * 1024


class Change(NamedTuple):
    """A change, as the callback of a subscription gets it.

    Attributes:
        op: ``set``, ``unset``, or ``resync``: changes may have been missed, and the differences
            from what was delivered before follow, key by key.
        key: The key as it was written; None for ``resync``.
        value: The stored value; None for ``unset`` and ``resync``.
        position: The position of the entry in the order of change, or None if it is not known.
    """

    op: Literal["set", "unset", "resync"]
    key: Document = None
    value: Document = None
    position: int | None = None


class FeedUpdate(NamedTuple):
    """The result of `Feed.take`: what has changed since the last call.

    Attributes:
        changes: Each change, in order, if the feed reports them.
        must_read: Whether something changed that the subscription must read.
        gap: Whether changes may have been missed; then all entries are read and compared.
    """

    changes: Sequence[Change] = ()
    must_read: bool = False
    gap: bool = False


class Feed(Protocol):
    """The result of the hook ``subscribe``; used by one thread at a time."""

    @property
    def pause(self) -> float | None:
        """Seconds after which to call `take` although `notify` was not called; None for never."""

    def take(self) -> FeedUpdate:
        """Return what has changed, without waiting for a change."""

    def close(self) -> None:
        """End the feed; a second call does nothing."""


class Backlog:
    """A feed of each change; while too many wait, it keeps none and reports a gap.

    Too many are more than 10,000, or 16 million characters of keys and values.

    Args:
        notify: The argument of the hook.
        leave: Called by `close`, with the backlog.
        read: Converts an added change to the one for the callback, on the subscription's thread.
    """

    pause: Final = None

    def __init__(
        self,
        notify: Callable[[], None],
        leave: "Callable[[Backlog], None]",
        read: Callable[[Change], Change] = lambda change: change,
    ) -> None:
        self._notify = notify
        self._read = read
        self._leave = leave
        self._mutex = threading.Lock()
        self._changes: list[Change] = []
        self._size = 0
        self._gap = False

    def add(self, change: Change) -> None:
        """Add a change."""
        size = _size_of(change.key) + _size_of(change.value)
        with self._mutex:
            self._size += size
            too_large = self._size > LARGEST_BACKLOG and self._size > size
            if too_large or len(self._changes) >= LONGEST_BACKLOG:
                self._gap = True
            if self._gap:
                self._changes.clear()
            else:
                self._changes.append(change)
        self._notify()

    def add_gap(self) -> None:
        """Record that changes may have been missed."""
        self._gap = True
        self._notify()

    def take(self) -> FeedUpdate:
        """Return the changes so far; none after a gap, because all entries are read then."""
        with self._mutex:
            gap, self._gap = self._gap, False
            changes, self._changes, self._size = self._changes, [], 0
        return FeedUpdate([] if gap else [self._read(change) for change in changes], gap=gap)

    def close(self) -> None:
        """Stop adding changes."""
        self._leave(self)


def _size_of(document: Document) -> int:
    return len(document if isinstance(document, str) else encode(document))


class Versions:
    """A feed that polls a version of the channel's documents; reading the version must be cheap.

    Args:
        read: Returns the current version.
        pause: Seconds between two reads.
    """

    def __init__(self, read: Callable[[], object], pause: float) -> None:
        self.pause: float | None = pause
        self._read = read
        self._seen = read()

    def take(self) -> FeedUpdate:
        """Return whether the version has changed."""
        before, self._seen = self._seen, self._read()
        return FeedUpdate(must_read=self._seen != before)

    def close(self) -> None:
        """Do nothing: there are no resources."""


def start_thread(
    channel: str, name: str, work: Callable[..., None], *args: Any
) -> threading.Thread:
    """Start a daemon thread of a subscription.

    Raises:
        ChannelUnavailable: The system refuses another thread.
    """
    thread = threading.Thread(target=work, args=args, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        reason = f"no thread can be started for a subscription: {error}"
        advice = "raise the limit of threads, or close subscriptions that are not needed"
        raise ChannelUnavailable(channel, reason, advice) from error
    return thread


if not TYPE_CHECKING:  # type checkers would accept any name
    __getattr__ = renamed(__name__, {"News": "FeedUpdate"})
