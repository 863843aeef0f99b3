"""Backends with a defect that shows between processes."""

from __future__ import annotations

from typing import Any

from broken_backends import BrokenFile

from ojobchannels.backends import lock_record
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.documents import Document, Key
from ojobchannels.hookspecs import MISSING, Busy, Compared, Granted


class DeathUnnoticed(BrokenFile):
    """Only the ttl frees the lock of a dead holder although `crash_release` is claimed."""

    caught_by = "test_the_death_of_a_holder_is_noticed_at_once"

    def left(self, record: LockRecord) -> int:
        return lock_record.remaining(record, self.clock)


class ProcessesCompareThenSet(BrokenFile):
    """`get_set` is atomic within a process, but not between processes."""

    caught_by = "test_no_update_is_lost_between_processes"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        present = self.get(key)
        if present is MISSING or present != match:
            return Compared(False, present)
        self.set(key, value, fence)
        return Compared(True, present)


class ProcessesCacheReads(BrokenFile):
    """A process caches what it has read, and ignores writes of other processes."""

    caught_by = "test_a_process_sees_writes_of_another_process"

    def get(self, key: Key) -> Document:
        kept = self.__dict__.setdefault("kept", {})
        if kept.get(key, MISSING) is MISSING:
            kept[key] = super().get(key)
        return kept[key]

    def set(self, key: Key, value: Document, fence: int | None) -> Any:
        self.__dict__.setdefault("kept", {})[key] = value
        return super().set(key, value, fence)


class LocksOfOneProcess(BrokenFile):
    """Each process has its own locks, in memory."""

    caught_by = "test_a_lock_of_another_process_is_held"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        import os

        return super().lock(f"{name} of {os.getpid()}", token, ttl, holder)
