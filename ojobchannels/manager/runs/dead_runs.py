"""Runs whose process died: they are found in the records, and closed as abandoned.

Where the storage has an index, the records of running runs are read, however many others there are.

A running run holds its lock. A record that says running while its lock is free, or is held with
another fence, belongs to a run that died. Only the locks under which it was started show that, so a
record has their identifier, and managers with other locks leave it alone. On the host of the run it
shows earlier, by the identity of its process; its lock is left to expire nevertheless, because
processes that it has started may still work.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, cast

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.hookspecs import LockInfo
from ojobchannels.host.forks import forget_in_children
from ojobchannels.manager import not_run, records
from ojobchannels.manager.records import Record
from ojobchannels.manager.schedules import fire_times

_KEY: Final = {"deadRuns": "found until"}
_NOTICES: Final = {"deadRuns": "notices left"}
_MOST_NOTICES_LEFT: Final = 100
_PAUSE_SECONDS: Final = 1.0
_READ_BEFORE_SAVE: Final = 256
_ASKED_ONE_BY_ONE: Final = 8

_Running: TypeAlias = dict[tuple[str, int], Record]


class Manager(Protocol):
    """The manager whose runs are looked at."""

    jobs: Channel
    locks: Channel

    @property
    def state(self) -> Channel:
        """The channel in which the search is remembered."""

    def _locks_id(self) -> str | None:
        """Return the identifier of the locks, if they have one."""

    def _is_indexed(self) -> bool:
        """Return whether the records are found by their status."""

    def _abandoned(self, record: Record) -> None:
        """Report a run that was found dead and closed."""

    def _notice_for(self, name: str) -> object:
        """Return the failure notice for the runs of a job, or None."""

    def _notify(self, record: Record) -> None:
        """Report a failed run to the notice of its job."""


def close_previous(manager: Manager, name: str, lease: Lease) -> None:
    """Close the run that held a lock before and did not release it, for the new holder."""
    previous = lease.previous
    if previous is None:
        return
    record = records.find(manager.jobs, previous, previous["fence"])
    if record is None and "fireTime" in previous:
        record = fire_times.add_missing(manager, name, previous)
    closed = record and records.abandon(manager.jobs, record, lease.fence)
    if closed is not None:
        manager._abandoned(closed)


def leave_notice(state: Channel, record: Record) -> None:
    """Leave the notice of a closed run to the next manager that has one for its job."""
    key = records.key_of(record)
    _change_notices(state, lambda left: [*left, key][-_MOST_NOTICES_LEFT:])


def _take_notices(manager: Manager) -> None:
    """Give the notices that other managers have left, each once."""
    left: Any = manager.state.get(_NOTICES)
    for key in left["keys"] if isinstance(left, dict) else ():
        if manager._notice_for(key["name"]) is None:
            continue
        if _change_notices(manager.state, partial(_without, taken=key)):
            record = manager.jobs.get(key)
            if records.is_record(record):
                manager._notify(cast("Record", record))


def _without(keys: list[Any], taken: Any) -> list[Any]:
    return [key for key in keys if key != taken]


def _change_notices(state: Channel, change: Callable[[list[Any]], list[Any]]) -> bool:
    """Change the list of notices that were left; return whether it is different now."""
    while True:
        present: Any = state.get(_NOTICES)
        if present is None:
            state.add(_NOTICES, {"keys": []})
            continue
        changed = change(present["keys"])
        if changed == present["keys"]:
            return False
        if state.get_set(present, _NOTICES, {"keys": changed}) is not None:
            return True


def _lock_info(locks: Channel, slot: tuple[str, int]) -> LockInfo | None:
    return locks.lock_info(slot[0], slot=slot[1])


class DeadRuns:
    """Finds the dead runs: by an index, or among the records that changed since the last search.

    Without an index, where it is and which runs were running then is remembered in the state
    channel, so that a new process need not read the whole history. A search begins where the one
    before the last ended: storages may show changes that happen at the same time in another order.
    """

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self.forget()
        forget_in_children(self)
        self._after = 0
        self._reached = 0
        self._running: _Running | None = None
        self._unsaved = 0
        self._searched = -_PAUSE_SECONDS

    def forget(self) -> None:
        """Leave a search that is running to the parent, in a forked child."""
        self._lock = threading.Lock()

    def search_is_due(self) -> bool:
        """Return whether the last search was more than a second ago."""
        return time.monotonic() - self._searched >= _PAUSE_SECONDS

    def close(self, *, all: bool = False) -> int:
        """Close the dead runs, and return their number.

        Args:
            all: Whether to search the whole history.
        """
        with self._lock:
            self._searched = time.monotonic()
            running = self._running_since_last(all)
            closed: list[Record] = []
            for key, lock in self._dead(running):
                closed += self._close(running[key], lock)
                del running[key]
            if self._unsaved >= _READ_BEFORE_SAVE:
                self._save(running)
        for record in closed:  # outside the lock: a notice may read the records
            self._manager._abandoned(record)
        _take_notices(self._manager)
        return len(closed)

    def _running_since_last(self, all: bool) -> _Running:
        """Return the runs that were running at the last search, and what has changed since."""
        jobs = self._manager.jobs
        if self._manager._is_indexed():
            return self._running_by_index(older_too=all or self._running is None)
        running = {} if all else self._load() if self._running is None else self._running
        newest = next(iter(jobs.items(limit=1, newest_first=True)), None)
        position = newest.position if newest else 0
        if all or position < self._reached:  # the newest record was removed, or all of them
            self._after = self._reached = 0
        if position > self._reached:
            if "processes" in jobs.capabilities or self._running is None:
                self._read(running)
            else:
                self._read_in_memory(running, position)
        self._running = running
        return running

    def _running_by_index(self, *, older_too: bool) -> _Running:
        """Return the running runs; `older_too` moves what older versions have written, too.

        A run that ends while they are read may be among them: it is closed only if it has not.
        """
        if older_too:
            for status in not_run.STATUSES:
                for item in self._manager.jobs.items({"status": status}):
                    self._move(item[1])
        found = [item[1] for item in self._manager.jobs.items({"status": "running"})]
        self._running = {
            (record["name"], record["startTime"]): record
            for record in found
            if records.is_record(record)
        }
        return self._running

    def _move(self, record: Any) -> None:
        """Move a record that an older version has written beside those of runs that began."""
        if records.is_record(record):
            not_run.move(record, self._manager.jobs, self._manager.state, None)

    def _read(self, running: _Running) -> None:
        reached = self._reached
        for item in self._manager.jobs.items(after=self._after or None):
            reached = max(reached, item.position)
            self._unsaved += 1
            record = item[1]
            if not records.is_record(record):
                continue
            key = record["name"], record["startTime"]
            running.pop(key, None)
            if record["status"] == "running":
                running[key] = record
            elif record["status"] in not_run.STATUSES:
                self._move(record)
        self._after, self._reached = self._reached, reached

    def _read_in_memory(self, running: _Running, position: int) -> None:
        """Read what has changed in memory; no later process needs to know what was read.

        Only records of running runs are decoded, since a process may have thousands of runs a
        second. A run that has ended meanwhile is closed only if it has not, as with an index.
        """
        for item in self._manager.jobs.items({"status": "running"}, after=self._after or None):
            if records.is_record(item[1]):
                running[item[1]["name"], item[1]["startTime"]] = item[1]
        self._unsaved += position - self._after
        self._after, self._reached = self._reached, position

    def _dead(self, running: _Running) -> list[tuple[tuple[str, int], LockInfo | None]]:
        """Return the keys of those that are dead, and their locks, if these are still held."""
        if not running:
            return []
        locks, locks_id = self._manager.locks, self._manager._locks_id()
        find: Callable[[tuple[str, int]], LockInfo | None]
        if len(running) > _ASKED_ONE_BY_ONE:
            find = {(lock.name, lock.slot): lock for lock in locks.locks()}.get
        else:
            find = partial(_lock_info, locks)
        found = ((key, each, find(records.slot_of(each))) for key, each in running.items())
        return [(key, lock) for key, each, lock in found if records.is_dead(each, lock, locks_id)]

    def _close(self, record: Record, lock: LockInfo | None) -> list[Record]:
        closed = records.abandon(self._manager.jobs, record, None, lock)
        return [] if closed is None else [closed]

    def _load(self) -> _Running:
        match self._manager.state.get(_KEY):
            case {"after": int(after), "running": list(keys)}:
                self._after = self._reached = after
            case _:
                return {}
        stored = (self._manager.jobs.get(key) for key in keys)
        known = (record for record in stored if records.is_record(record))
        return {
            (record["name"], record["startTime"]): record
            for record in known
            if record["status"] == "running"
        }

    def _save(self, running: _Running) -> None:
        keys = [records.key_of(record) for record in running.values()]
        self._manager.state.set(_KEY, {"after": self._after, "running": keys})
        self._unsaved = 0
