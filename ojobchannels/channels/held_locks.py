"""The held locks of a channel: their description, and their release by force."""

from ojobchannels.channels.documents import DocumentStore
from ojobchannels.channels.slots import (
    check_count,
    check_lock,
    described,
    slot_name,
    wake_first_waiter,
)
from ojobchannels.hookspecs import LockInfo


class HeldLocks(DocumentStore):
    """The part of a `Channel` that describes its locks."""

    def lock_info(self, name: str, *, slot: int = 1) -> LockInfo | None:
        """Return holder info, fence, start and expiry of a held lock, or None if it is free.

        Args:
            name: The name of the lock.
            slot: The number of a slot, if it is a lock with slots; `locks` returns all of them.
        """
        found: LockInfo | None = self.hook.lock_info(name=_slot(name, slot))
        return found and described(found)

    def locks(self) -> list[LockInfo]:
        """Return a description of each held lock; of a lock with slots, one of each held slot."""
        found: list[LockInfo] = self.hook.locks()
        infos = [info for info in map(described, found) if info]
        return sorted(infos, key=lambda info: (info.name, info.slot))

    def force_unlock(self, name: str, *, slot: int = 1) -> LockInfo | None:
        """Force-release a lock, and return the evicted holder, or None if the lock was free.

        The evicted holder notices at its next renewal, write with its fence, or release.

        Args:
            name: The name of the lock.
            slot: The number of a slot, if it is a lock with slots.
        """
        found: LockInfo | None = self.hook.force_unlock(name=_slot(name, slot))
        info = found and described(found)
        if info and info.slots > 1:
            wake_first_waiter(self.hook, name)
        return info


def _slot(name: str, slot: int) -> str:
    number = check_count("slot", slot)
    return slot_name(check_lock(name, number), number)
