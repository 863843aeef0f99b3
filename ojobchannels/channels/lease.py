"""Lease: the temporary ownership of a lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from ojobchannels.channels.arguments import Duration, milliseconds
from ojobchannels.channels.keepalive.scheduler import KEEP_ALIVE, TAKEN_OVER
from ojobchannels.channels.slots import waking_first_waiter
from ojobchannels.errors import ChannelError, LockLost, OutcomeUnknown, add_note
from ojobchannels.steps import Steps, drive

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel


class Lease:
    """The temporary ownership of a lock, returned by `Channel.lock` and `Channel.try_lock`.

    Use it in a ``with`` statement, or call `release`. A lease belongs to the process that acquired
    it: in a forked child `release`, ``with`` and renewal do nothing.

    Attributes:
        channel: The channel of the lock.
        name: The name of the lock.
        token: The proof of ownership, new for every lease. Keep it secret.
        fence: A number that grows with every lease of this lock, or of this slot; pass it to
            protected writes.
        slot: The number of the slot, from 1.
        slots: The number of slots of the lock, as this holder requested it; 1 without slots.
        ttl: The length of the lease in seconds, as last requested.
        deadline: Until when the holder may rely on it, in microseconds of the channel's clock.
        previous: The holder info of the previous holder if it never unlocked, otherwise None.

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
        on_end: Callable[[Lease], None],
    ) -> None:
        self.channel = channel
        self.name = self._lock_name = name
        self.slot = self.slots = 1
        self.token = token
        self.fence = fence
        self.previous = previous
        self.on_lost = on_lost
        self._on_end = on_end
        self._ttl = ttl
        self.deadline = deadline
        self._state: Literal["held", "lost", "released", "detached"] = "held"
        self._reason = "the lease expired"
        self._lock = threading.Lock()
        self._releasing = threading.RLock()
        self._extending = threading.Lock()
        self._unlock_in_doubt = False
        self._process = os.getpid()
        self._thread = threading.get_ident()

    @property
    def ttl(self) -> float:
        """The length of the lease in seconds, as last requested."""
        return self._ttl / 1000

    @property
    def lost(self) -> bool:
        """Whether the lease has ended although it was not released."""
        if self._state == "held":
            return self.channel.clock.now() >= self.deadline or not self._is_mine()
        return self._state == "lost"

    @property
    def held(self) -> bool:
        """Whether this process still holds the lock, by its own clock."""
        return self._state == "held" and not self.lost

    def remaining(self) -> float:
        """Return the seconds left, counted from before the request, less 1 % of the ttl."""
        if self._state != "held" or not self._is_mine():
            return 0.0
        return max(self.deadline - self.channel.clock.now(), 0) / 1e6

    def check(self) -> None:
        """Raise an error unless the lease is held; call it before any step that needs the lock.

        Raises:
            LockLost: The lease is no longer held.
        """
        if not self.held:
            raise self._loss()

    def extend(self, ttl: Duration | None = None) -> None:
        """Set the remaining time to `ttl` seconds (by default the ttl of the lease).

        Raises:
            LockLost: The lease has ended; it cannot be revived.
        """
        self.check()
        with self._extending:
            drive(self._extend_steps(self.channel.hook, ttl))

    def release(self) -> None:
        """Unlock. A second call does nothing, nor does a call in a forked child.

        Raises:
            LockLost: The lease had already ended; another holder may have changed what it protects.
            OutcomeUnknown: The lease has ended or soon will, but it is not known whether it was
                held until now.
            ChannelError: The channel could not unlock; call again, or let the lease expire.
        """
        if not self._is_mine():
            return
        try:
            with self._releasing:
                drive(self._release_steps(self.channel.hook))
        except ChannelError:
            raise
        except BaseException:
            self._give_up()
            raise

    def _extend_steps(self, hook: Any, ttl: Duration | None = None) -> Steps[None]:
        """Yield the steps of `extend`, one extension at a time."""
        self.check()
        new_ttl = self._ttl if ttl is None else milliseconds("ttl", ttl)
        sent = self.channel.clock.now()
        held = yield partial(hook.extend, name=self._lock_name, token=self.token, ttl=new_ttl)
        if not held:
            KEEP_ALIVE.lose(self, TAKEN_OVER)
            raise self._loss()
        self._renewed(sent, new_ttl)
        if self._state != "held":  # the loss was reported before the reply came
            raise self._loss()
        KEEP_ALIVE.follow(self)

    def _give_up(self) -> None:
        """Unlock if possible, after an exception that is not ours.

        A signal handler may raise anywhere in `release`; the lock must not stay held because of it.
        """
        with self._releasing:
            drive(self._give_up_steps(self.channel.hook))

    def _give_up_steps(self, hook: Any) -> Steps[None]:
        if not self._is_mine() or self._state in ("released", "detached"):
            return
        KEEP_ALIVE.drop(self)
        yield from unlocking(hook, self._lock_name, self.token)
        if self.slots > 1:
            yield from waking_first_waiter(hook, self.name)
        self._on_end(self)
        self._state = "released"

    def _release_steps(self, hook: Any) -> Steps[None]:
        """Yield the steps of `release`, one release at a time."""
        if not self._is_mine() or self._state in ("released", "detached"):
            return
        KEEP_ALIVE.drop(self)
        was_lost = self.lost
        held = yield from self._unlock(hook, was_lost)
        with self._lock:
            if self._state == "held" and (was_lost or not held):
                self._state = "lost"
                self._reason = self._reason if was_lost else TAKEN_OVER
        self._on_end(self)
        if self._state == "lost":
            raise self._loss()
        self._state = "released"

    def _unlock(self, hook: Any, was_lost: bool) -> Steps[bool]:
        """Unlock; if a reply was lost before, an unheld lock may be the success of that request."""
        try:
            held: bool = yield partial(hook.unlock, name=self._lock_name, token=self.token)
        except OutcomeUnknown:
            self._unlock_in_doubt |= not was_lost
            raise
        if self.slots > 1:
            yield from waking_first_waiter(hook, self.name)
        if not held and self._unlock_in_doubt:
            self._on_end(self)
            self._state = "released"
            raise OutcomeUnknown(
                self.channel.name,
                "unlock",
                "this lease no longer holds the lock, but it is not known whether it was "
                "lost before",
            )
        return held

    def to_document(self) -> dict[str, Any]:
        """Detach the lease and return a document by which another process can take it over.

        From then on the lease ends only when it expires, unless `Channel.lease_from` adopts it; it
        survives the death of this process.

        Raises:
            LockLost: The lease has ended.
        """
        with self._extending:  # a renewal on its way would set the ttl of the next holder
            self.check()
            if not self.channel.hook.adopt(name=self._lock_name, token=self.token, holder=None):
                KEEP_ALIVE.lose(self, TAKEN_OVER)
                raise self._loss()
            KEEP_ALIVE.drop(self)
            self._state = "detached"
        self._on_end(self)
        document = {
            "channel": self.channel.name,
            "name": self.name,
            "token": self.token,
            "fence": self.fence,
        }
        return document | ({"slot": self.slot, "slots": self.slots} if self.slots > 1 else {})

    def share(self) -> list[int]:
        """Return file descriptors for ``subprocess.Popen(pass_fds=…)``.

        While the child has them open, the lock is not freed by the death of this process, but by
        the death of the last process that has them open, or when the lease expires. The list is
        empty if the backend does not detect the death of holders.

        Raises:
            LockLost: The lease has ended.
        """
        self.check()
        descriptors: list[int] | bool = self.channel.hook.share(
            name=self._lock_name, token=self.token
        )
        if isinstance(descriptors, bool):
            KEEP_ALIVE.lose(self, TAKEN_OVER)
            raise self._loss()
        return descriptors

    def _is_granted(self) -> bool:
        """Return whether the storage still has this lease, whatever this process knows of it."""
        found = self.channel.hook.lock_info(name=self._lock_name)
        return found is not None and bool(found.fence == self.fence)

    def _renewed(self, sent: int, ttl: int) -> None:
        """Record that a request sent at `sent` set the remaining time to `ttl` milliseconds."""
        with self._lock:
            self._ttl = ttl
            self.deadline = own_deadline(sent, ttl)

    def _mark_lost(self, reason: str) -> bool:
        """Record the loss; return False if the lease had already ended."""
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
            self._give_up()
            raise
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            with noted_on(error):
                self.release()
        except ChannelError:
            raise
        except BaseException:
            self._give_up()
            raise

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Lease cannot be pickled; hand it over with to_document and lease_from")

    def __repr__(self) -> str:
        state: str = self._state
        if state == "held" and not self.held:
            state = "expired" if self._is_mine() else "of the parent process"
        slot = f" slot {self.slot} of {self.slots}" if self.slots > 1 else ""
        return f"<Lease {self.name!r}{slot} on {self.channel.name!r} fence {self.fence} {state}>"

    def _is_mine(self) -> bool:
        return self._process == os.getpid()

    def _loss(self) -> LockLost:
        reason = {
            "released": "it was released",
            "detached": "it was handed over with to_document",
            "held": self._reason if self._is_mine() else "it belongs to the parent process",
            "lost": self._reason,
        }[self._state]
        return LockLost(self.channel.name, self.name, self.fence, reason)


@contextmanager
def noted_on(error: BaseException | None) -> Iterator[None]:
    """Note the failure of a release on the error by which the body ended, if there is one."""
    try:
        yield
    except ChannelError as release_error:
        if error is None:
            raise
        add_note(error, f"and the release of the lock failed: {release_error}")


def own_deadline(sent: int, ttl: int) -> int:
    """Return until when the holder may rely on its lease, in microseconds of its own clock.

    Args:
        sent: When the request was sent, in microseconds.
        ttl: The length of the lease in milliseconds; 1 % of it is kept as a reserve.
    """
    return sent + ttl * 990


def unlock(hook: Any, name: str, token: str) -> None:
    """Unlock if possible; otherwise the lease expires."""
    drive(unlocking(hook, name, token))


def unlocking(hook: Any, name: str, token: str) -> Steps[None]:
    """Yield the step of `unlock`."""
    with suppress(ChannelError):
        yield partial(hook.unlock, name=name, token=token)
