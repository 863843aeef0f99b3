"""Backends that several processes share, broken on purpose."""

from __future__ import annotations

from typing import Any

from broken_backends import BrokenFile

from ojobchannels.backends import lock_record
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.documents import Document, Key
from ojobchannels.hookspecs import MISSING, Busy, Compared, Granted


class DeathGoesUnnoticed(BrokenFile):
    """`crash_release` is claimed, and the ttl alone frees the lock of a holder that died."""

    caught_by = "test_the_death_of_a_holder_is_seen_without_waiting"

    def left(self, record: LockRecord) -> int:
        return lock_record.remaining(record, self.clock)


class ProcessesCompareThenSet(BrokenFile):
    """`get_set` is one step for the threads of a process, and two for processes."""

    caught_by = "test_no_update_is_lost_between_processes"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        present = self.get(key)
        if present is MISSING or present != match:
            return Compared(False, present)
        self.set(key, value, fence)
        return Compared(True, present)


class ProcessesRememberReads(BrokenFile):
    """A process keeps what it read, and does not see what another writes."""

    caught_by = "test_a_process_sees_what_another_wrote_as_soon_as_it_is_told"

    def get(self, key: Key) -> Document:
        kept = self.__dict__.setdefault("kept", {})
        if kept.get(key, MISSING) is MISSING:
            kept[key] = super().get(key)
        return kept[key]

    def set(self, key: Key, value: Document, fence: int | None) -> Any:
        self.__dict__.setdefault("kept", {})[key] = value
        return super().set(key, value, fence)


class LocksOfOneProcess(BrokenFile):
    """Locks are kept in memory: each process has its own."""

    caught_by = "test_a_lock_of_another_process_is_held"

    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        import os

        return super().lock(f"{name} of {os.getpid()}", token, ttl, holder)
