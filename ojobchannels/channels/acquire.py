"""How a lock is acquired: the request, the wait, and the token and holder info of a lease."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from ojobchannels.channels.lease import Lease, own_deadline
from ojobchannels.errors import LockBusy, LockLost, WouldDeadlock
from ojobchannels.hookspecs import Busy, Granted

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel


def acquire(
    channel: Channel,
    name: str,
    ttl: int,
    wait: int | None,
    holder: Mapping[str, Any] | None,
    token: str,
    on_lost: Callable[[Lease], None] | None,
    on_end: Callable[[Lease], None],
) -> Lease:
    """Acquire a lock within `wait` milliseconds (None: without a limit).

    After any other error than those below the caller must unlock, because the lock may have been
    granted.

    Raises:
        LockBusy: Another holder had the lock for all that time.
        WouldDeadlock: This thread keeps the lock, and `wait` has no limit.
        LockLost: Acquiring the lock took longer than its ttl.
        ChannelClosed: The channel was closed before the lock was granted.
    """
    info = this_holder()
    if holder:
        info.update(holder)
    hook, clock = channel.hook, channel.clock
    began = sent = clock.now()
    while True:
        result: Granted | Busy = hook.lock(
            name=name, token=token, ttl=ttl, holder=info, waits=wait != 0
        )
        if isinstance(result, Granted):
            deadline, (fence, previous) = own_deadline(sent, ttl), result
            if clock.now() < deadline:
                return Lease(channel, name, token, fence, ttl, deadline, previous, on_lost, on_end)
            hook.unlock(name=name, token=token)
            reason = "acquiring the lock took longer than its ttl"
            raise LockLost(channel.name, name, fence, reason)
        waited = (clock.now() - began) // 1000
        left = None if wait is None else wait - waited
        if left is not None and left <= 0:
            if wait:
                hook.unlock(name=name, token=token)
            remaining = result.remaining / 1000
            spent = waited / 1000 if wait else 0
            raise LockBusy(channel.name, name, result.holder, remaining, spent)
        if left is None and channel.is_kept_by_caller(name, result.fence):
            raise WouldDeadlock(channel.name, name, result.holder, result.remaining / 1000, 0)
        hook.wait(name=name, seen_fence=result.fence, token=token, timeout=left)
        sent = clock.now()


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


def new_token() -> str:
    """Return 128 random bits in hexadecimal, the proof of ownership of one lease."""
    return secrets.token_hex(16)
