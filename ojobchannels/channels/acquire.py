"""How a lock is acquired: the request, the wait, and the token and holder info of a lease."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ojobchannels.channels.lease import Lease, own_deadline, unlocking
from ojobchannels.channels.slots import compare_counts, slot_name
from ojobchannels.channels.steps import Queue, Wait
from ojobchannels.errors import LockBusy, LockLost, WouldDeadlock
from ojobchannels.hookspecs import Busy, Granted
from ojobchannels.steps import Steps, drive

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel


class Caller(Protocol):
    """A thread or a task that requests a lock."""

    def _is_kept_by_caller(self, name: str, fence: int) -> bool:
        """Return whether the caller holds that lease and has it renewed until it releases it."""

    def _keeps_slots(self, name: str, slots: int) -> bool:
        """Return whether the caller holds that many leases of a lock; cheap, and not certain."""


def new_token() -> str:
    """Return 128 random bits in hexadecimal, the proof of ownership of one lease."""
    return os.urandom(16).hex()  # as `secrets.token_hex`, without its four calls


@dataclass(slots=True)
class Request:
    """The request for a lock.

    Attributes:
        channel: The channel of the lock.
        name: The name of the lock.
        ttl: The length of the lease in milliseconds.
        wait: Milliseconds to wait; None for no limit.
        holder: More holder info.
        on_lost: As in `Lease`.
        on_end: As in `Lease`.
        hook: The operations of the channel, also after it was closed.
        slots: The number of slots of the lock.
        token: The token of the lease; after an error of which it is not known whether the lock was
            granted before, the caller must unlock `backend_name` with it.
        backend_name: The backend's name of the lock that was requested last; "" before that.
        task: The task that requests it; None for the calling thread.
        cleanups: Their steps are due, those of the last one first, when the acquisition ends in any
            way.
    """

    channel: Channel
    name: str
    ttl: int
    wait: int | None
    holder: Mapping[str, Any] | None
    on_lost: Callable[[Lease], None] | None
    on_end: Callable[[Lease], None]
    hook: Any
    slots: int = 1
    token: str = field(default_factory=new_token)
    backend_name: str = ""
    task: Caller | None = None
    cleanups: list[Callable[[], Steps[object]]] = field(default_factory=list)

    @property
    def caller(self) -> Caller:
        """The thread or task that requests it."""
        return self.task or self.channel

    def deadlock(self, holder: dict[str, Any], remaining: int) -> WouldDeadlock:
        """Return the error for a caller that has the lock, for `remaining` milliseconds more."""
        caller: Literal["thread", "task"] = "task" if self.task else "thread"
        left = remaining / 1000
        return WouldDeadlock(self.channel.name, self.name, holder, left, 0, self.slots, caller)

    def cleaning_up(self) -> Steps[None]:
        """Yield the steps of the cleanups."""
        while self.cleanups:
            yield from self.cleanups.pop()()

    def withdrawing(self) -> Steps[None]:
        """Yield the steps that give back what was granted, or the place in a queue."""
        yield from self.cleaning_up()
        if self.backend_name:
            yield from unlocking(self.hook, self.backend_name, self.token)

    def info(self) -> dict[str, Any]:
        """Return the holder info of the lease."""
        info = this_holder()
        if self.holder:
            info.update(self.holder)
        return info

    def send(self, info: dict[str, Any]) -> Granted | Busy:
        """Send the request for a lock without slots to the backend, and return its result."""
        result: Granted | Busy = self.hook.lock(
            name=self.name, token=self.token, ttl=self.ttl, holder=info, waits=self.wait != 0
        )
        return result

    def leasing(self, sent: int, granted: Granted, slot: int = 1) -> Steps[Lease]:
        """Return the lease that a request was granted which was sent at `sent`.

        Raises:
            LockLost: Acquiring the lock took longer than its ttl.
        """
        lease = self.lease(sent, granted, slot)
        if lease is None:
            yield partial(self.hook.unlock, name=self.backend_name, token=self.token)
            reason = "acquiring the lock took longer than its ttl"
            raise LockLost(self.channel.name, self.name, granted.fence, reason)
        return lease

    def lease(self, sent: int, granted: Granted, slot: int = 1) -> Lease | None:
        """Return the lease that `leasing` returns; None if it has expired already."""
        channel, name, (fence, previous) = self.channel, self.name, granted
        deadline = own_deadline(sent, self.ttl)
        if channel.clock.now() >= deadline:
            return None
        lease = Lease(
            channel,
            name,
            self.token,
            fence,
            self.ttl,
            deadline,
            previous,
            self.on_lost,
            self.on_end,
        )
        if self.slots > 1:
            lease.slot, lease.slots, lease._lock_name = slot, self.slots, slot_name(name, slot)
        return lease


def acquire(request: Request) -> Lease:
    """Acquire a lock.

    After any other error than those below the caller must unlock, because the lock may have been
    granted.

    Raises:
        LockBusy: Another holder had the lock for all that time.
        WouldDeadlock: This thread keeps the lock, and the wait has no limit.
        LockLost: Acquiring the lock took longer than its ttl.
        ChannelClosed: The channel was closed before the lock was granted.
    """
    info = request.info()
    request.backend_name = request.name
    sent = request.channel.clock.now()
    result = request.send(info)
    if isinstance(result, Granted):  # a free lock, the usual case, needs no other steps
        return request.lease(sent, result) or drive(request.leasing(sent, result))
    return drive(_waiting(request, partial(request.send, info), sent, result))


def acquiring(request: Request) -> Steps[Lease]:
    """Yield the steps of `acquire`, and return the lease."""
    clock = request.channel.clock
    began = clock.now()
    if request.wait != 0:
        yield Queue(request.name, request.wait)
    lock = partial(request.send, request.info())
    request.backend_name = request.name  # a task may be cancelled once it is sent
    sent = clock.now()
    result: Granted | Busy = yield lock
    if isinstance(result, Granted):
        return (yield from request.leasing(sent, result))
    return (yield from _waiting(request, lock, began, result))


def _waiting(
    request: Request, lock: Callable[[], Granted | Busy], began: int, refusal: Busy
) -> Steps[Lease]:
    """Yield the steps after the first refusal, and return the lease."""
    channel, name, token, wait = request.channel, request.name, request.token, request.wait
    hook, clock = request.hook, channel.clock
    while True:
        compare_counts(channel.name, name, 1, refusal.holder)
        waited = (clock.now() - began) // 1000
        left = None if wait is None else wait - waited
        if left is not None and left <= 0:
            if wait:
                yield partial(hook.unlock, name=name, token=token)
            remaining = refusal.remaining / 1000
            spent = waited / 1000 if wait else 0
            raise LockBusy(channel.name, name, refusal.holder, remaining, spent)
        if left is None and request.caller._is_kept_by_caller(name, refusal.fence):
            raise request.deadlock(refusal.holder, refusal.remaining)
        yield Wait(hook, name, refusal.fence, token, left)
        sent = clock.now()
        result: Granted | Busy = yield lock
        if isinstance(result, Granted):
            return (yield from request.leasing(sent, result))
        refusal = result


@cache
def this_host() -> str:
    """Return the name of this host, as it was at the first call."""
    return socket.gethostname()


def this_holder() -> dict[str, Any]:
    """Return the holder info of this thread: host, pid and thread name."""
    thread = threading.current_thread().name[:100]
    if not thread.isascii():
        thread = thread.encode("utf-8", "replace").decode()
    return {"host": this_host(), "pid": os.getpid(), "thread": thread}
