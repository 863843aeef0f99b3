"""The two hook specs: the discovery of channel types, and the operations of an open channel.

A backend is an object whose methods have the names of `ChannelSpec` and are marked ``@hookimpl``.
It gets checked arguments: keys as `ojobchannels.documents.Key`, values as JSON documents, names of
locks as strings, times as whole milliseconds. It raises only errors of `ojobchannels.errors`. An
extension is an object whose methods are marked ``@hookimpl(wrapper=True)``.
"""

# mypy: disable-error-code="empty-body"
# A hook spec has no body.

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

import pluggy

from ojobchannels.changes import Feed
from ojobchannels.documents import Document, Item, Key, matches

PROJECT: Final = "ojobchannels"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Sentinel(Enum):
    """Sentinels for operations where null is a valid value."""

    MISSING = "missing"
    ABSENT = "absent"

    def __repr__(self) -> str:
        return self.name


FIRST_FENCE: Final = 10**15
"""The fences of leases are higher: they follow the clock, in microseconds since 1970."""

MISSING: Final = Sentinel.MISSING
ABSENT: Final = Sentinel.ABSENT


class Granted(NamedTuple):
    """The lock was granted; `previous` is the holder info and fence of one that never unlocked."""

    fence: int
    previous: dict[str, Any] | None


class Busy(NamedTuple):
    """The lock is held: the holder info, the fence, and the remaining milliseconds of the lease."""

    fence: int
    holder: dict[str, Any]
    remaining: int


class Adopted(NamedTuple):
    """A live lease was taken over: its fence, its ttl and the remaining time, in milliseconds."""

    fence: int
    ttl: int
    remaining: int


class Compared(NamedTuple):
    """Whether a compare-and-set stored the value, and the previous value (or MISSING)."""

    stored: bool
    previous: Document


def fits(match: Document, present: Document) -> bool:
    """Return whether a compare-and-set may replace `present`, the value or MISSING."""
    if match is ABSENT or present is MISSING:
        return match is ABSENT and present is MISSING
    return matches(match, present)


class LockInfo(NamedTuple):
    """A description of a held lock. Times are milliseconds since 1970, UTC.

    The number of the slot and the number of slots are filled in by the channel; a backend describes
    the lock of the name that it was given.
    """

    name: str
    fence: int
    holder: dict[str, Any]
    since: int
    until: int
    slot: int = 1
    slots: int = 1


class LeaseRequest(NamedTuple):
    """One lease to extend: its remaining time is set to `ttl` milliseconds."""

    name: str
    token: str
    ttl: int


class LockWatch(Protocol):
    """One waiter for a lock that blocks no thread: the result of the hook ``watch``.

    Its methods may access the storage. They are called on any thread, one at a time.
    """

    @property
    def descriptor(self) -> int:
        """A file that becomes readable when `look` is due, or -1."""

    def look(self) -> float:
        """Return the seconds until the next look is due; 0 or less if the lock may be granted.

        Raises:
            ChannelClosed: The channel was closed.
        """

    def close(self) -> None:
        """End the wait. The token keeps its place in a queue until it locks or unlocks."""


class Finding(NamedTuple):
    """What an operator should know about a storage.

    Attributes:
        text: What was found, and what it leads to.
        advice: What to do.
        is_problem: Whether data, locks or runs are at risk; otherwise it is for information.
    """

    text: str
    advice: str
    is_problem: bool = True


class Health(NamedTuple):
    """The state of a storage, as ``ojob doctor`` shows it.

    Attributes:
        storage: The program that serves it, and its version, such as ``Redis 7.2.4``.
        wall: The wall clock of the server in milliseconds since 1970, UTC; None if it has no clock
            of its own.
        findings: What an operator should know.
    """

    storage: str
    wall: int | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a channel type.

    Attributes:
        name: The name in configuration.
        type: The type of its values.
        help: What it is, in a few words.
        default: Its value where it is not given.
        required: Whether it must be given.
        secret: Whether messages must not quote its value.
        is_path: Whether it is the path of a file. Then a relative one is made absolute at once, so
            that a later change of the working directory does not lead to another file.
    """

    name: str
    type: type
    help: str
    default: Any = None
    required: bool = False
    secret: bool = False
    is_path: bool = False


@dataclass(frozen=True, slots=True)
class ChannelType:
    """The description of one channel type by its plugin.

    Attributes:
        name: The short name in configuration, such as ``db``.
        summary: A one-line description.
        open: Called as ``open(channel_name, options)``; returns the backend.
        options: The options of the type; others are refused.
        schemes: The URL schemes of the type.
        parse_url: Converts a URL with one of the schemes to options.
        capabilities: The optional features: ``durable``, ``processes`` (processes share one
            storage), ``atomic_batches``, ``fifo`` (locks are granted in the order of the requests),
            ``crash_release`` (the death of a holder frees its locks at once), ``clock`` (the option
            ``clock`` judges leases, so that a test can advance the time), ``events_every``
            (a subscription gets each change, in order) or ``events_coalesced`` (a subscription gets
            the latest state of each changed key). Capabilities that depend on the server are in an
            attribute of the backend with the same name.
        exists: Called as ``exists(options)``; returns whether a channel was opened there before,
            and creates nothing. Without it, a channel is assumed to exist.
        async_threads: The number of threads on which an asynchronous channel may use the backend
            at once; 0 if no operation waits for files or a server, so that an event loop may call
            it.
        async_requests: The number of requests that it may have under way at once in its event loop,
            where the backend has the hook ``asynchronous``.
        health: Called as ``health(channel_name, options)``; opens the channel, and returns the
            state of its storage. Without it, ``ojob doctor`` only uses the channel.
    """

    name: str
    summary: str
    open: Callable[[str, Mapping[str, Any]], object] = field(repr=False)
    options: tuple[Option, ...] = ()
    schemes: tuple[str, ...] = ()
    parse_url: Callable[[str], Mapping[str, Any]] | None = field(default=None, repr=False)
    capabilities: frozenset[str] = frozenset()
    exists: Callable[[Mapping[str, Any]], bool] | None = field(default=None, repr=False)
    async_threads: int = 1
    async_requests: int = 32
    health: Callable[[str, Mapping[str, Any]], Health] | None = field(default=None, repr=False)


class DiscoverySpec:
    """The hooks that the plugin manager calls once for every plugin."""

    @hookspec
    def ojobchannels_channel_types(self) -> Iterable[ChannelType]:
        """Return the channel types of the plugin; called before the first open."""


_RUN_SPEC: Final = "ojobchannels.manager.RunSpec"
HOOKS_ELSEWHERE: Final = {
    "ojobchannels_languages": "ojobchannels.ojob.languages.LanguageSpec",
    "ojobchannels_run_started": _RUN_SPEC,
    "ojobchannels_run_succeeded": _RUN_SPEC,
    "ojobchannels_run_failed": _RUN_SPEC,
    "ojobchannels_run_skipped": _RUN_SPEC,
    "ojobchannels_run_abandoned": _RUN_SPEC,
    "ojobchannels_run_lost": _RUN_SPEC,
    "ojobchannels_run_cancelled": _RUN_SPEC,
}
"""Hooks whose spec is in the part of the package that calls them."""


class ChannelSpec:
    """The operations of an open channel; None is a stored null, MISSING means no value."""

    @hookspec(firstresult=True)
    def get(self, key: Key) -> Document:
        """Return the value, or MISSING."""

    @hookspec(firstresult=True)
    def set(self, key: Key, value: Document, fence: int | None) -> None:
        """Store a value. With a fence, mark the key, or raise StaleFence if its mark is higher."""

    @hookspec(firstresult=True)
    def unset(self, key: Key, fence: int | None) -> bool:
        """Remove a key and return whether it existed; the mark of its fence is kept."""

    @hookspec(firstresult=True)
    def get_all(self, match: Document) -> list[Document]:
        """Return the values that match (all for None), in the order of their last change."""

    @hookspec(firstresult=True)
    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        """Return one page of at most `limit` items that come after the position `after`."""

    @hookspec(firstresult=True)
    def index(self, fields: tuple[str, ...]) -> bool:
        """Let `items` find texts in these top-level fields by an index; return whether it does.

        Programs that do not call it use the channel as before. A backend may leave it out.
        """

    @hookspec(firstresult=True)
    def below(self, field: str, bound: int, limit: int) -> list[Item]:
        """Return items with a number below `bound` in a field, by an index, or None without one."""

    @hookspec(firstresult=True)
    def get_keys(self) -> list[Document]:
        """Return the keys as last written, in the order of their last change."""

    @hookspec(firstresult=True)
    def size(self) -> int:
        """Return the number of entries."""

    @hookspec(firstresult=True)
    def size_until(self, position: int) -> int:
        """Return the number of entries up to a position, by an index; optional."""

    @hookspec(firstresult=True)
    def set_all(self, items: list[tuple[Key, Document]]) -> None:
        """Store all items in one step, or none."""

    @hookspec(firstresult=True)
    def unset_all(self, keys: list[Key]) -> int:
        """Remove all keys in one step, or none; return how many existed."""

    @hookspec(firstresult=True)
    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        """Store if the current value matches, or for ABSENT if the key does not exist."""

    @hookspec(firstresult=True)
    def pop(self) -> Document:
        """Remove the entry that was changed last and return its value, or MISSING."""

    @hookspec(firstresult=True)
    def shift(self) -> Document:
        """Remove the entry whose last change is the oldest and return its value, or MISSING."""

    @hookspec(firstresult=True)
    def lock(
        self, name: str, token: str, ttl: int, holder: dict[str, Any], waits: bool
    ) -> Granted | Busy:
        """Grant the lock in one atomic step, or return the holder info.

        A caller that `waits` will, if it is refused, call `wait` or `unlock` next: a backend with a
        queue may add it to the queue in the same step. Other backends leave the argument out.
        """

    @hookspec(firstresult=True)
    def unlock(self, name: str, token: str) -> bool:
        """Release the lock, or leave its queue; return whether the token still held it."""

    @hookspec(firstresult=True)
    def extend(self, name: str, token: str, ttl: int) -> bool:
        """Set the remaining time to `ttl`; return whether the token still held the lock."""

    @hookspec(firstresult=True)
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool | None]:
        """Extend several leases, if possible in one command, within `timeout` milliseconds.

        A result of None means that this lease must be tried again, so that a lease that cannot be
        reached does not delay the others.
        """

    @hookspec(firstresult=True)
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        """Take over a live lease by its token, or return False.

        With holder None the lease is detached: from then on it ends only when it expires.
        """

    @hookspec(firstresult=True)
    def lock_info(self, name: str) -> LockInfo | None:
        """Return a description of a held lock, or None if it is free; changes nothing."""

    @hookspec(firstresult=True)
    def locks(self) -> list[LockInfo]:
        """Return all held locks; changes nothing."""

    @hookspec(firstresult=True)
    def force_unlock(self, name: str) -> LockInfo | None:
        """Free the lock, wake waiters, keep the fence; return the evicted holder, or None."""

    @hookspec(firstresult=True)
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> None:
        """Wait until the lock may be granted to the token, at most `timeout` milliseconds.

        Return at once if the lock is free or its fence is no longer `seen_fence`, so that no
        release between a refusal and the wait is missed.
        """

    @hookspec(firstresult=True)
    def watch(
        self, name: str, seen_fence: int, token: str, notify: Callable[[], None]
    ) -> LockWatch:
        """Return a waiter that does in steps what `wait` does; it does nothing before the first.

        `notify` may be called on any thread, under any lock, when the next look is due at once. A
        backend may leave this hook out: asynchronous channels then poll.
        """

    @hookspec(firstresult=True)
    def share(self, name: str, token: str) -> list[int] | bool:
        """Return file descriptors to keep open in a child process.

        While any copy is open, the lease counts as held by a live process. Return an empty list if
        the backend does not detect dead holders, and False if the token does not hold the lock.
        """

    @hookspec(firstresult=True)
    def subscribe(self, notify: Callable[[], None]) -> Feed:
        """Return a feed of later changes; the backend calls `notify` when there are any.

        `notify` may be called on any thread, under any lock, and more often than needed. This hook
        is called only if the type has the capability ``events_every`` or ``events_coalesced``.
        """

    @hookspec(firstresult=True)
    def asynchronous(self) -> object:
        """Return an `AsyncChannelSpec` for one event loop, or None; called outside the loop."""

    @hookspec(firstresult=True)
    def close(self) -> None:
        """Release all resources and wake the waiters with ChannelClosed."""

    @hookspec(firstresult=True)
    def destroy(self) -> None:
        """Remove all documents of the channel; locks and fences are kept."""
