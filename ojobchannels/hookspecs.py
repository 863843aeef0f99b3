"""The two hook specs: what a plugin offers, and what an open channel does.

A backend is an object whose methods carry ``@hookimpl`` and the names of `ChannelSpec`. It gets
checked arguments: keys arrive as `ojobchannels.documents.Key`, values as plain JSON documents, lock
names as checked strings, times as whole milliseconds. It raises only errors of
`ojobchannels.errors`. An extension is an object whose methods carry ``@hookimpl(wrapper=True)``.
"""

# mypy: disable-error-code="empty-body"
# A hook spec has no body.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, NamedTuple

import pluggy

from ojobchannels.changes import Feed
from ojobchannels.documents import Document, Item, Key

PROJECT: Final = "ojobchannels"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Sentinel(Enum):
    """What an operation answers or takes where null would be a value."""

    MISSING = "missing"
    ABSENT = "absent"

    def __repr__(self) -> str:
        return self.name


MISSING: Final = Sentinel.MISSING
ABSENT: Final = Sentinel.ABSENT


class Granted(NamedTuple):
    """The lock was granted. `previous` is what a holder that never unlocked told, and its fence."""

    fence: int
    previous: dict[str, Any] | None


class Busy(NamedTuple):
    """The lock is held: by whom, under which fence, for how many milliseconds yet."""

    fence: int
    holder: dict[str, Any]
    remaining: int


class Adopted(NamedTuple):
    """A live lease was taken over: its fence, its ttl and what remains of it in milliseconds."""

    fence: int
    ttl: int
    remaining: int


class Compared(NamedTuple):
    """Whether a compare-and-set stored, and what stood there before (or MISSING)."""

    stored: bool
    previous: Document


class LockInfo(NamedTuple):
    """A held lock, told to people. Times are milliseconds of the epoch, UTC."""

    name: str
    fence: int
    holder: dict[str, Any]
    since: int
    until: int


class LeaseRequest(NamedTuple):
    """One lease to extend: its remaining time is set to `ttl` milliseconds."""

    name: str
    token: str
    ttl: int


@dataclass(frozen=True, slots=True)
class Option:
    """One option that a channel type takes; no message quotes the value of a secret one."""

    name: str
    type: type
    help: str
    default: Any = None
    required: bool = False
    secret: bool = False


@dataclass(frozen=True, slots=True)
class ChannelType:
    """What a plugin says of one channel type.

    Attributes:
        name: The short name in configuration, such as ``db``.
        summary: One line for people.
        open: Called as ``open(channel_name, options)``; answers the backend.
        options: What it takes; anything else is refused.
        schemes: URL schemes that mean this type.
        parse_url: Turns a URL of one of the schemes into options.
        capabilities: What it promises beyond the core: ``durable``, ``processes`` (one storage is
            shared by processes), ``atomic_batches``, ``fifo`` (locks are granted in the order of
            asking), ``crash_release`` (the death of a holder frees its locks at once), ``clock``
            (an option of that name judges its leases, so that a test can let time pass),
            ``events_every`` (a subscription gets each change, in order) or ``events_coalesced`` (it
            gets the latest state of each key that changed).
            Where some depend on the server, the backend tells those in an attribute of the same
            name.
        exists: Called as ``exists(options)``; returns whether a channel was opened there before,
            and creates nothing. Without it, a channel is taken to exist.
    """

    name: str
    summary: str
    open: Callable[[str, Mapping[str, Any]], object] = field(repr=False)
    options: tuple[Option, ...] = ()
    schemes: tuple[str, ...] = ()
    parse_url: Callable[[str], Mapping[str, Any]] | None = field(default=None, repr=False)
    capabilities: frozenset[str] = frozenset()
    exists: Callable[[Mapping[str, Any]], bool] | None = field(default=None, repr=False)


class DiscoverySpec:
    """What the plugin manager asks of every plugin, once."""

    @hookspec
    def ojobchannels_channel_types(self) -> Iterable[ChannelType]:
        """Returns the channel types that the plugin offers; called before the first open."""


HOOKS_ELSEWHERE: Final = {"ojobchannels_languages": "ojobchannels.ojob.languages.LanguageSpec"}
"""Hooks of plugins whose spec stands with the part of the package that calls them."""


class ChannelSpec:
    """The operations of an open channel; a null is a value, so no operation answers None for it."""

    @hookspec(firstresult=True)
    def get(self, key: Key) -> Document:
        """Returns the value, or MISSING."""

    @hookspec(firstresult=True)
    def set(self, key: Key, value: Document, fence: int | None) -> None:
        """Stores. With a fence, marks the key, or raises StaleFence if its mark is higher."""

    @hookspec(firstresult=True)
    def unset(self, key: Key, fence: int | None) -> bool:
        """Removes; returns whether it was there. The fence's mark stays."""

    @hookspec(firstresult=True)
    def get_all(self, match: Document) -> list[Document]:
        """Returns the values that match (all for None), in the order of their last change."""

    @hookspec(firstresult=True)
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        """Returns one page of at most `limit` items that stand behind the position `after`."""

    @hookspec(firstresult=True)
    def get_keys(self) -> list[Document]:
        """Returns the keys as last written, in the order of their last change."""

    @hookspec(firstresult=True)
    def size(self) -> int:
        """Returns the number of entries."""

    @hookspec(firstresult=True)
    def set_all(self, items: list[tuple[Key, Document]]) -> None:
        """Stores all in one step, or none."""

    @hookspec(firstresult=True)
    def unset_all(self, keys: list[Key]) -> int:
        """Removes all in one step, or none; returns how many were there."""

    @hookspec(firstresult=True)
    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        """Stores if the present value matches, or for ABSENT if nothing stands there."""

    @hookspec(firstresult=True)
    def pop(self) -> Document:
        """Takes out the entry that was changed last and returns its value, or MISSING."""

    @hookspec(firstresult=True)
    def shift(self) -> Document:
        """Takes out the entry whose last change is the oldest and returns its value, or MISSING."""

    @hookspec(firstresult=True)
    def lock(
        self, name: str, token: str, ttl: int, holder: dict[str, Any], waits: bool
    ) -> Granted | Busy:
        """Grants the lock in one atomic step, or says who holds it.

        Who `waits` will, if it is refused, `wait` or `unlock` next: a backend that keeps a queue
        may give it its place at once. Others leave the argument out.
        """

    @hookspec(firstresult=True)
    def unlock(self, name: str, token: str) -> bool:
        """Returns whether the token still held the lock; gives up a place in its queue too."""

    @hookspec(firstresult=True)
    def extend(self, name: str, token: str, ttl: int) -> bool:
        """Sets the remaining time to `ttl`; returns whether the token still held the lock."""

    @hookspec(firstresult=True)
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool | None]:
        """Extends several leases, in one command where it can, within `timeout` milliseconds.

        None in the place of an answer means that this lease is to be asked for again; so that one
        that hangs holds up no other.
        """

    @hookspec(firstresult=True)
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        """Takes over a live lease by its token, or answers False.

        With holder None the lease is left to nobody: from then on only its ttl ends it.
        """

    @hookspec(firstresult=True)
    def lock_info(self, name: str) -> LockInfo | None:
        """Returns who holds the lock, or None for a free one; changes nothing."""

    @hookspec(firstresult=True)
    def locks(self) -> list[LockInfo]:
        """Returns all held locks; changes nothing."""

    @hookspec(firstresult=True)
    def force_unlock(self, name: str) -> LockInfo | None:
        """Frees the lock, wakes waiters, keeps the fence; returns whom it put out, or None."""

    @hookspec(firstresult=True)
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> None:
        """Returns when the lock may be had by the token, or after `timeout` milliseconds.

        Returns at once if the lock is free or its fence is no longer `seen_fence`, so that no
        release between a refusal and the wait is missed.
        """

    @hookspec(firstresult=True)
    def share(self, name: str, token: str) -> list[int] | bool:
        """Returns file descriptors to leave open in a child process.

        While any copy is open, the lease counts as held by a living process. Empty where the
        backend does not watch over the life of holders; False if the token does not hold the lock.
        """

    @hookspec(firstresult=True)
    def subscribe(self, ring: Callable[[], None]) -> Feed:
        """Returns a feed of what changes from now on; `ring` has somebody ask the feed soon.

        `ring` may be called on any thread, under any lock, and more often than needed. Only
        backends that claim ``events_every`` or ``events_coalesced`` are asked.
        """

    @hookspec(firstresult=True)
    def close(self) -> None:
        """Gives back what the backend holds and wakes its waiters with ChannelClosed."""

    @hookspec(firstresult=True)
    def destroy(self) -> None:
        """Removes all documents of the channel, but no lock and no fence."""
