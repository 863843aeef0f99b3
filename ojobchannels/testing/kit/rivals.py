"""Operations that a rival runs in another thread or process: arguments and results are JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import Granted, LeaseRequest

if TYPE_CHECKING:
    from ojobchannels.testing.kit.children import Child

A: Final = "a" * 32
B: Final = "b" * 32

# What a child process runs to be a rival.
SCRIPT: Final = f"""
from {__name__} import perform
send()
while (call := receive()) is not None:
    send(perform(channel, *call))
"""


def perform(channel: Channel, operation: str, *arguments: Any) -> Any:
    """Run one of the functions below; return its result, or the name of its error."""
    try:
        return OPERATIONS[operation](channel, *arguments)
    except ChannelError as error:
        return type(error).__name__


def ask(child: Child, operation: str, *arguments: Any) -> Any:
    """Have a child process that runs `SCRIPT` perform an operation, and return its result."""
    child.send([operation, *arguments])
    return child.receive()


def lock(channel: Channel, name: str, token: str = B, ttl: int = 60_000) -> int:
    """Request a lock; return the fence if it is granted, or 0."""
    request = {"name": name, "token": token, "ttl": ttl, "holder": {"by": token[:1]}}
    result = channel.hook.lock(**request, waits=False)
    return result.fence if isinstance(result, Granted) else 0


def unlock(channel: Channel, name: str, token: str = A) -> bool:
    """Unlock."""
    held: bool = channel.hook.unlock(name=name, token=token)
    return held


def extend(channel: Channel, name: str, token: str = A) -> bool:
    """Extend a lease to two minutes."""
    held: bool = channel.hook.extend(name=name, token=token, ttl=120_000)
    return held


def extend_all(channel: Channel, name: str, token: str = A) -> bool:
    """Extend a lease to two minutes, as the keep-alive does."""
    request = LeaseRequest(name, token, 120_000)
    return bool(channel.hook.extend_all(leases=[request], timeout=5000)[0])


def adopt(channel: Channel, name: str, token: str = A) -> bool:
    """Adopt a lease."""
    return bool(channel.hook.adopt(name=name, token=token, holder={"by": "adopter"}))


def share(channel: Channel, name: str, token: str = A) -> bool:
    """Share a lease with a child process that is never started."""
    return channel.hook.share(name=name, token=token) is not False


def take_from(channel: Channel, name: str) -> int:
    """Unlock the lease of A, and take the lock as B; return B's fence, or 0."""
    unlock(channel, name, A)
    return lock(channel, name, B)


def evict(channel: Channel, name: str) -> int:
    """Force-release the lock, and take it as B; return B's fence, or 0."""
    channel.force_unlock(name)
    return lock(channel, name, B)


def holder(channel: Channel, name: str) -> list[Any]:
    """Return fence and holder of a lock as `lock_info` has them; an empty list if it is free."""
    info = channel.lock_info(name)
    return [] if info is None else [info.fence, info.holder.get("by")]


def put(channel: Channel, key: Any, value: Any, fence: int | None = None) -> bool:
    """Store a value."""
    channel.set(key, value, fence=fence)
    return True


def replace(channel: Channel, match: Any, key: Any, value: Any, fence: int | None = None) -> bool:
    """Compare and set; return whether it stored."""
    return bool(channel.get_set(match, key, value, fence=fence, default="no") != "no")


OPERATIONS: Final = {
    **{each.__name__: each for each in (lock, unlock, extend, extend_all, adopt, share, holder)},
    **{each.__name__: each for each in (take_from, evict, put, replace)},
    "force_unlock": lambda channel, name: channel.force_unlock(name) is not None,
    "add": Channel.add,
    "unset": Channel.unset,
    "get": Channel.get,
    "get_all": Channel.get_all,
    "get_keys": Channel.get_keys,
    "items": lambda channel, match=None: [value for _, value in channel.items(match)],
    "size": Channel.size,
    "pop": Channel.pop,
    "shift": Channel.shift,
    "set_all": lambda channel, pairs: channel.set_all([tuple(pair) for pair in pairs]),
    "unset_all": Channel.unset_all,
    "destroy": Channel.destroy,
    "locks": lambda channel: sorted(info.name for info in channel.locks()),
}
