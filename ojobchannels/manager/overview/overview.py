"""RunOverview: follows the records of all jobs, without reading the whole history each time."""

import logging
import time
from typing import Final, Protocol, cast

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError
from ojobchannels.manager import records
from ojobchannels.manager.overview.heads import Heads, JobHead, bucket_keys
from ojobchannels.manager.overview.reading import ChangeReader
from ojobchannels.manager.records import Record

_INDEX: Final = {"jobHeads": "read until"}
_SAVE_SECONDS: Final = 60.0
_CHANGES_BEFORE_SAVE: Final = 256

_log = logging.getLogger("ojobchannels.jobs")


class Manager(Protocol):
    """The manager whose records are read."""

    jobs: Channel
    locks: Channel

    @property
    def state(self) -> Channel:
        """The channel in which the overview is kept."""

    def _locks_id(self) -> str | None:
        """Return the identifier of the locks, if they have one."""


class RunOverview:
    """The last runs of every job, for pages and terminals that show all jobs.

    The first `refresh` reads what another process has left in the state channel, or else the
    newest records only; `read_older` then reads the rest, page by page. Not thread-safe.

    Attributes:
        complete: Whether the whole history has been read.
        records_read: The number of records that this process has read.

    Example:
        >>> import ojobchannels as oc
        >>> from ojobchannels.manager.overview import RunOverview
        >>> with oc.JobManager() as manager:
        ...     with manager.run("report"):
        ...         pass
        ...     overview = RunOverview(manager)
        ...     overview.refresh()
        ...     [(head.name, head.runs[0].status) for head in overview.heads()]
        True
        [('report', 'completed')]
    """

    def __init__(self, manager: Manager) -> None:
        self.records_read = 0
        self._manager = manager
        self._heads = Heads()
        self._readers: dict[str, ChangeReader] | None = None
        self._pruned = 0
        self._dead: set[tuple[str, int]] = set()
        self._unsaved = 0
        self._saved = -_SAVE_SECONDS

    @property
    def complete(self) -> bool:
        """Whether the whole history has been read."""
        return self._readers is not None and all(
            reader.complete for reader in self._readers.values()
        )

    def refresh(self) -> bool:
        """Read what has changed since the last call; return whether the overview is different."""
        if self._readers is None:
            self._readers = self._load()
        if self._readers["jobs"].was_emptied():
            self._start_over()
        changed = self._forget_pruned()
        for reader in self._readers.values():
            for document in reader.changes():
                changed |= self._add(document)
        changed |= self._find_dead()
        if self.complete:
            self._save_if_due()
        return changed

    def read_older(self) -> bool:
        """Read one more page of older records; return whether there is more to read."""
        for reader in (self._readers or {}).values():
            if not reader.complete:
                for document in reader.older():
                    self._add(document)
                break
        if self.complete:
            self._save_if_due()
        return not self.complete

    def heads(self) -> list[JobHead]:
        """Return every job with its last runs, sorted by name."""
        dead: dict[str, list[tuple[str, int]]] = {}
        for run in self._dead:
            dead.setdefault(run[0], []).append(run)
        return [self._heads.head(name, dead=dead.get(name, ())) for name in sorted(self._heads)]

    def _add(self, document: object) -> bool:
        if not records.is_record(document):
            return False
        record = cast("Record", document)
        if record.get("endTime", self._pruned) < self._pruned:
            return False
        self.records_read += 1
        added = self._heads.add(record)
        self._unsaved += added
        return added

    def _find_dead(self) -> bool:
        """Find the running runs whose process has died, and those whose record was removed."""
        before, self._dead = self._dead, set()
        gone = False
        for name, start in self._heads.running():
            key = {"name": name, "startTime": start}
            record = self._manager.jobs.get(key)
            if records.is_record(record) and record["status"] == "running":
                name, slot = records.slot_of(record)
                lock = self._manager.locks.lock_info(name, slot=slot)
                if not records.is_dead(record, lock, self._manager._locks_id()):
                    continue
                record = self._manager.jobs.get(key)  # it may have ended between the two reads
            if not records.is_record(record):
                self._heads.discard(name, start)
                gone = True
            elif record["status"] == "running":
                self._dead.add((name, start))
            else:
                gone |= self._add(record)
        return gone or self._dead != before

    def _load(self) -> dict[str, ChangeReader]:
        channels = {"jobs": self._manager.jobs, "state": self._manager.state}
        index = self._manager.state.get(_INDEX)
        match index:
            case {"jobs": int(), "state": int()}:
                for key in bucket_keys():
                    self._heads.join_bucket(self._manager.state.get(key))
                return {name: ChangeReader(each, index[name]) for name, each in channels.items()}
        return {name: ChangeReader(each, None) for name, each in channels.items()}

    def _start_over(self) -> None:
        """Forget everything, after all records were removed."""
        self._heads, self._dead, self._unsaved = Heads(), set(), 0
        for reader in (self._readers or {}).values():
            reader.reset()
        try:
            self._manager.state.unset(_INDEX)
            for key in bucket_keys():
                self._manager.state.unset(key)
        except ChannelError as error:
            _log.debug("the overview of runs was not removed: %s", error)

    def _forget_pruned(self) -> bool:
        pruned = pruned_before(self._manager.state)
        if pruned <= self._pruned:
            return False
        self._pruned = pruned
        self._heads.discard_ended_before(pruned)
        return True

    def _save_if_due(self) -> None:
        if self._unsaved < _CHANGES_BEFORE_SAVE:
            return
        if time.monotonic() - self._saved < _SAVE_SECONDS:
            return
        self._saved = time.monotonic()
        try:
            self._save()
        except ChannelError as error:  # a page may have the right to read only
            _log.debug("the overview of runs was not stored: %s", error)

    def _save(self) -> None:
        """Store what is known, joined with what others have stored, then up to where it was read.

        A process that is stopped in between leaves more than its index says, which is harmless.
        """
        readers, state = self._readers or {}, self._manager.state
        positions = {name: reader.sure_until for name, reader in readers.items()}
        keys = bucket_keys()
        for key in keys:
            self._heads.join_bucket(state.get(key))
        self._heads.discard_ended_before(self._pruned)
        for number, part in self._heads.buckets().items():
            if part or state.get(keys[number]) is not None:
                state.set(keys[number], part)
        state.set(_INDEX, positions)
        self._unsaved = 0


def pruned_before(state: Channel) -> int:
    """Return the time up to which ended runs were removed by `JobManager.prune`."""
    pruned = state.get(_PRUNED)
    return pruned if isinstance(pruned, int) else 0


def note_pruned(state: Channel, cutoff: int) -> None:
    """Let every overview forget the runs that ended before `cutoff`."""
    if cutoff > pruned_before(state):
        state.set(_PRUNED, cutoff)


_PRUNED: Final = {"jobHeads": "pruned before"}
