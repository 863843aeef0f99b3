"""The held locks of a channel: their description, and their release by force."""

from functools import partial
from typing import Any

from ojobchannels.channels.documents import DocumentStore
from ojobchannels.channels.slots import (
    check_count,
    check_lock,
    described,
    slot_name,
    waking_first_waiter,
)
from ojobchannels.hookspecs import LockInfo
from ojobchannels.steps import Steps, drive


class HeldLocks(DocumentStore):
    """The part of a `Channel` that describes its locks."""

    def lock_info(self, name: str, *, slot: int = 1) -> LockInfo | None:
        """Return holder info, fence, start and expiry of a held lock, or None if it is free.

        Args:
            name: The name of the lock.
            slot: The number of a slot, if it is a lock with slots; `locks` returns all of them.
        """
        return drive(describing(self.hook, name, slot))

    def locks(self) -> list[LockInfo]:
        """Return a description of each held lock; of a lock with slots, one of each held slot."""
        return drive(describing_all(self.hook))

    def force_unlock(self, name: str, *, slot: int = 1) -> LockInfo | None:
        """Force-release a lock, and return the evicted holder, or None if the lock was free.

        The evicted holder notices at its next renewal, write with its fence, or release.

        Args:
            name: The name of the lock.
            slot: The number of a slot, if it is a lock with slots.
        """
        return drive(evicting(self.hook, name, slot))


def describing(hook: Any, name: str, slot: int) -> Steps[LockInfo | None]:
    """Yield the steps of `HeldLocks.lock_info`."""
    found: LockInfo | None = yield partial(hook.lock_info, name=_slot(name, slot))
    return found and described(found)


def describing_all(hook: Any) -> Steps[list[LockInfo]]:
    """Yield the steps of `HeldLocks.locks`."""
    found: list[LockInfo] = yield hook.locks
    infos = [info for info in map(described, found) if info]
    return sorted(infos, key=lambda info: (info.name, info.slot))


def evicting(hook: Any, name: str, slot: int) -> Steps[LockInfo | None]:
    """Yield the steps of `HeldLocks.force_unlock`."""
    found: LockInfo | None = yield partial(hook.force_unlock, name=_slot(name, slot))
    info = found and described(found)
    if info and info.slots > 1:
        yield from waking_first_waiter(hook, name)
    return info


def _slot(name: str, slot: int) -> str:
    number = check_count("slot", slot)
    return slot_name(check_lock(name, number), number)
