"""Lease: one holding of a lock, and how one is acquired."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeAlias

from ojobchannels.channels.keepalive import KEEP_ALIVE, TAKEN_OVER
from ojobchannels.errors import (
    ChannelError,
    InvalidOption,
    LockBusy,
    LockLost,
    OutcomeUnknown,
)
from ojobchannels.hookspecs import Busy, Granted

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel

Duration: TypeAlias = float | timedelta
"""Seconds, or a timedelta."""

_SHORTEST_TTL: Final = 10
_LONGEST_TTL: Final = 100 * 365 * 86_400_000


class Lease:
    """One holding of a lock: `Channel.lock` and `Channel.try_lock` answer it, held.

    Use it in ``with``, or call `release`. A lease belongs to the process that acquired it: in a
    forked child `release`, ``with`` and renewal do nothing.

    Attributes:
        channel: The channel that the lock is on.
        name: The lock.
        token: The proof of ownership, new for every lease. Keep it to yourself.
        fence: Grows with every lease of this lock; give it to the writes that the lock protects.
        ttl: Length of the lease in seconds, as last asked for.
        deadline: Until when the holder may rely on it, in microseconds of the channel's clock.
        previous: What the holder before told of itself, if it never unlocked; else None.
        extending: Held while a request that extends the lease is on its way, one at a time.

    Example:
        >>> import ojobchannels as oc
        >>> with oc.open_channel("docs") as channel, channel.lock("nightly", ttl=30) as lease:
        ...     channel.set("report", {"rows": 3}, fence=lease.fence)
    """

    def __init__(
        self,
        channel: Channel,
        name: str,
        token: str,
        fence: int,
        ttl: int,
        deadline: int,
        previous: Mapping[str, Any] | None,
        on_lost: Callable[[Lease], None] | None,
    ) -> None:
        self.channel = channel
        self.name = name
        self.token = token
        self.fence = fence
        self.previous = previous
        self.on_lost = on_lost
        self._ttl = ttl
        self.deadline = deadline
        self._state: Literal["held", "lost", "released", "detached"] = "held"
        self._reason = "the lease expired"
        self._lock = threading.Lock()
        self._releasing = threading.RLock()
        self.extending = threading.Lock()
        self._unlock_in_doubt = False
        self._process = os.getpid()

    @property
    def ttl(self) -> float:
        """Length of the lease in seconds, as last asked for."""
        return self._ttl / 1000

    @property
    def lost(self) -> bool:
        """Whether the lease is over although it was not released."""
        if self._state == "held":
            return self.remaining() <= 0
        return self._state == "lost"

    @property
    def held(self) -> bool:
        """Whether this process still holds the lock, by its own clock."""
        return self._state == "held" and self.remaining() > 0

    def remaining(self) -> float:
        """Returns the seconds left, counted from before it was asked for, less 1 % of its ttl."""
        if self._state != "held" or not self._is_mine():
            return 0.0
        return max(self.deadline - self.channel.clock.now(), 0) / 1e6

    def check(self) -> None:
        """Returns if the lease is held; call it before what must not happen without the lock.

        Raises:
            LockLost: It is not.
        """
        if not self.held:
            raise self._loss()

    def extend(self, ttl: Duration | None = None) -> None:
        """Sets the remaining time to `ttl` (the lease's own by default).

        Raises:
            LockLost: The lease is over; it is never revived.
        """
        self.check()
        wanted = self._ttl if ttl is None else milliseconds("ttl", ttl)
        with self.extending:
            self.check()
            sent = self.channel.clock.now()
            if not self.channel.hook.extend(name=self.name, token=self.token, ttl=wanted):
                KEEP_ALIVE.lose(self, TAKEN_OVER)
                raise self._loss()
            self.renewed(sent, wanted)
        KEEP_ALIVE.follow(self)

    def release(self) -> None:
        """Unlocks. A second call does nothing, nor does a call in a forked child.

        Raises:
            LockLost: The lease was over before; what it protected may have been touched by others.
            OutcomeUnknown: The lock is not held by this lease any more, or soon; whether it was to
                the end is not known.
            ChannelError: The channel could not unlock; call again, or let the ttl end it.
        """
        if not self._is_mine():
            return
        try:
            self._release()
        except ChannelError:
            raise
        except BaseException:
            self.give_up()
            raise

    def give_up(self) -> None:
        """Unlocks as far as that can be done, after an exception that came from elsewhere.

        A signal handler may raise anywhere in `release`; the lock is not to stay held for that.
        """
        with self._releasing:
            if not self._is_mine() or self._state in ("released", "detached"):
                return
            KEEP_ALIVE.drop(self)
            unlock(self.channel.hook, self.name, self.token)
            self.channel.forget_lease(self)
            self._state = "released"

    def _release(self) -> None:
        with self._releasing:
            if self._state in ("released", "detached"):
                return
            KEEP_ALIVE.drop(self)
            was_lost = self.lost
            held = self._unlock(was_lost)
            with self._lock:
                if self._state == "held" and (was_lost or not held):
                    self._state = "lost"
                    self._reason = self._reason if was_lost else TAKEN_OVER
            self.channel.forget_lease(self)
            if self._state == "lost":
                raise self._loss()
            self._state = "released"

    def _unlock(self, was_lost: bool) -> bool:
        """Unlocks; where nothing is found after a reply was lost, the first may have done it."""
        try:
            held: bool = self.channel.hook.unlock(name=self.name, token=self.token)
        except OutcomeUnknown:
            self._unlock_in_doubt |= not was_lost
            raise
        if not held and self._unlock_in_doubt:
            self.channel.forget_lease(self)
            self._state = "released"
            raise OutcomeUnknown(
                self.channel.name,
                "unlock",
                "the lock is not held by this lease any more: whether it was to the end is not "
                "known",
            )
        return held

    def to_document(self) -> dict[str, Any]:
        """Detaches the lease and returns a document by which another process can take it over.

        From then on only the ttl ends it, unless `Channel.lease_from` adopts it: even the death of
        this process does not.

        Raises:
            LockLost: The lease is over.
        """
        self.check()
        KEEP_ALIVE.drop(self)
        if not self.channel.hook.adopt(name=self.name, token=self.token, holder=None):
            KEEP_ALIVE.lose(self, TAKEN_OVER)
            raise self._loss()
        self._state = "detached"
        self.channel.forget_lease(self)
        return {
            "channel": self.channel.name,
            "name": self.name,
            "token": self.token,
            "fence": self.fence,
        }

    def share(self) -> list[int]:
        """Returns file descriptors for ``subprocess.Popen(pass_fds=…)``.

        While the child has them open, the lease is not freed by the death of this process, but by
        the death of the last that has them, or by the ttl. Empty where the backend does not watch
        over the life of holders.

        Raises:
            LockLost: The lease is over.
        """
        self.check()
        descriptors: list[int] | bool = self.channel.hook.share(name=self.name, token=self.token)
        if isinstance(descriptors, bool):
            KEEP_ALIVE.lose(self, TAKEN_OVER)
            raise self._loss()
        return descriptors

    def renewed(self, sent: int, ttl: int) -> None:
        """Takes note that the lease was extended by a request sent at `sent`."""
        with self._lock:
            self._ttl = ttl
            self.deadline = own_deadline(sent, ttl)

    def mark_lost(self, reason: str) -> bool:
        """Takes note of the loss; returns False if the lease was over already."""
        with self._lock:
            if self._state != "held":
                return False
            self._state = "lost"
            self._reason = reason
            return True

    def __enter__(self) -> Lease:
        try:
            if self._is_mine():
                self.check()
        except ChannelError:
            raise
        except BaseException:
            self.give_up()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            self.release()
        except ChannelError as trouble:
            if error is None:
                raise
            error.add_note(f"and at its end: {trouble}")
        except BaseException:
            self.give_up()
            raise

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Lease cannot be pickled; hand it over with to_document and lease_from")

    def __repr__(self) -> str:
        return f"<Lease {self.name!r} on {self.channel.name!r} fence {self.fence} {self._state}>"

    def _is_mine(self) -> bool:
        return self._process == os.getpid()

    def _loss(self) -> LockLost:
        reason = {
            "released": "it was released",
            "detached": "it was handed over with to_document",
            "held": self._reason if self._is_mine() else "it belongs to the parent of this process",
            "lost": self._reason,
        }[self._state]
        return LockLost(self.channel.name, self.name, self.fence, reason)


def acquire(
    channel: Channel,
    name: str,
    ttl: int,
    wait: int | None,
    holder: Mapping[str, Any] | None,
    on_lost: Callable[[Lease], None] | None,
    token: str,
) -> Lease:
    """Acquires a lock within `wait` milliseconds (None: for ever).

    After any error but these the caller has to `unlock`, since the lock may have been granted.

    Raises:
        LockBusy: Somebody else holds it, and did for all that time.
        LockLost: Granting it took all of its ttl.
        ChannelClosed: The channel was closed before the lock was granted.
    """
    told = this_holder()
    if holder:
        told.update(holder)
    hook, clock = channel.hook, channel.clock
    began = sent = clock.now()
    while True:
        answer: Granted | Busy = hook.lock(
            name=name, token=token, ttl=ttl, holder=told, waits=wait != 0
        )
        if isinstance(answer, Granted):
            deadline = own_deadline(sent, ttl)
            if clock.now() < deadline:
                return Lease(
                    channel, name, token, answer.fence, ttl, deadline, answer.previous, on_lost
                )
            hook.unlock(name=name, token=token)
            raise LockLost(channel.name, name, answer.fence, "granting it took all of its ttl")
        waited = (clock.now() - began) // 1000
        left = None if wait is None else wait - waited
        if left is not None and left <= 0:
            if wait:
                hook.unlock(name=name, token=token)
            raise LockBusy(
                channel.name,
                name,
                answer.holder,
                answer.remaining / 1000,
                waited / 1000 if wait else 0,
            )
        hook.wait(name=name, seen_fence=answer.fence, token=token, timeout=left)
        sent = clock.now()


def milliseconds(what: str, duration: Duration, shortest: int = _SHORTEST_TTL) -> int:
    """Turns seconds or a timedelta into whole milliseconds."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidOption(what, f"{duration!r} is no duration", "give seconds or a timedelta")
    if not shortest / 1000 <= seconds <= _LONGEST_TTL / 1000:
        raise InvalidOption(
            what,
            f"{duration!r} is out of range",
            f"give {shortest / 1000:g} seconds at least, and a hundred years at most",
        )
    return round(seconds * 1000)


def own_deadline(sent: int, ttl: int) -> int:
    """Returns until when the holder may rely on its lease, on its own clock in microseconds."""
    return sent + ttl * 990


@cache
def this_host() -> str:
    """Returns the name of this host, as it was when first asked for."""
    return socket.gethostname()


def this_holder() -> dict[str, Any]:
    """Returns what a holder tells of itself, for people: host, pid and thread."""
    thread = threading.current_thread().name[:100]
    if not thread.isascii():
        thread = thread.encode("utf-8", "replace").decode()
    return {"host": this_host(), "pid": os.getpid(), "thread": thread}


def new_token() -> str:
    """Returns 128 random bits, the proof of ownership of one lease."""
    return secrets.token_hex(16)


def unlock(hook: Any, name: str, token: str) -> None:
    """Unlocks as far as that can be done; else the ttl ends the lease."""
    with suppress(ChannelError):
        hook.unlock(name=name, token=token)
