"""Queries on the run records, and their removal."""

import functools
import heapq
import itertools
import logging
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from ojobchannels.channels.arguments import check_limit, milliseconds, moment_ms
from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document, Item, encode
from ojobchannels.errors import ChannelError, InvalidOption
from ojobchannels.following import shared_memory
from ojobchannels.host.clock import now_ms
from ojobchannels.manager import not_run, records
from ojobchannels.manager.channels import ManagerChannels
from ojobchannels.manager.limits import counted_starts
from ojobchannels.manager.output import RunOutput
from ojobchannels.manager.output.buffer import OutputBuffer
from ojobchannels.manager.output.lines import DEFAULT_LIMITS
from ojobchannels.manager.output.stored import key_of, without_record
from ojobchannels.manager.output.writer import OutputWriter
from ojobchannels.manager.overview import lookup
from ojobchannels.manager.overview.overview import note_pruned
from ojobchannels.manager.records import STATUSES, Record
from ojobchannels.manager.report import kept
from ojobchannels.manager.run_record import RunRecord, sealed
from ojobchannels.manager.runs.dead_runs import DeadRuns
from ojobchannels.manager.schedules import launch_claims

_log = logging.getLogger("ojobchannels.jobs")
_BATCH = 500


class Pruned(NamedTuple):
    """The result of `JobManager.prune`: the numbers of removed runs, and of runs found dead."""

    removed: int
    abandoned: int


class RunHistory:
    """The records of runs, and the queries on them; a `JobManager` is one.

    Attributes:
        jobs: The channel ``oJobManager-jobs``, with the records of runs that have begun, under
            ``{name, startTime}``, and nothing else.
        locks: The channel ``oJobManager-locks``, with one lock for each job name.
        malformed: The entries of `jobs` that are not run records, by their key as JSON, each with
            the reason: those that the queries so far have met. They are left as they are.
    """

    def __init__(self, channels: ManagerChannels) -> None:
        self._channels = channels
        self.malformed: dict[str, str] = {}
        self.jobs, self.locks = channels.jobs, channels.locks
        self._dead_runs = DeadRuns(self)
        self._limits = DEFAULT_LIMITS
        self._writer = OutputWriter(lambda: channels.output)

    @property
    def state(self) -> Channel:
        """The channel ``oJobManager-state``, with everything else, also runs that did not begin."""
        return self._channels.state

    def runs(
        self,
        name: str | None = None,
        status: str | None = None,
        since: datetime | float | None = None,
        limit: int | None = 100,
    ) -> list[RunRecord]:
        """Return run records, latest first; runs whose process died are closed as abandoned before.

        Args:
            name: Return only runs of this job.
            status: Return only runs with this status.
            since: Return only runs that started since then (a datetime, or seconds since 1970).
            limit: Return at most this number of records; None for all.
        """
        if status is not None and status not in STATUSES:
            known = ", ".join(STATUSES)
            raise InvalidOption("status", f"{status!r} is not a status", f"pass {known}")
        check_limit(limit)
        if status != "running":
            self._before_reading()
        return [*map(sealed, _runs(self, name, status, since, limit))]

    def running(self) -> list[RunRecord]:
        """Return the records of the running runs, latest first."""
        return [*map(sealed, _running(self))]

    def report(self) -> list[dict[str, Any]]:
        """Return statistics for each job.

        Each row has ``name``, ``runs``, a count for each status, ``averageDuration`` of the runs
        that completed or failed (ms; None without such runs), ``lastStart`` (ms since 1970) and
        ``lastStatus``.
        """
        self._before_reading()
        return _report(self)

    def record(self, run_id: str) -> RunRecord | None:
        """Return the record of a run; None if there is none.

        Args:
            run_id: The identifier of the run, or the first characters of it, 6 at least. These are
                compared with the latest 10,000 records, and with older ones only if none of those
                has them. The whole identifier is found without a search, by the output of the run
                or by an index of the storage.

        Raises:
            WrongRun: Several of these runs begin with these characters; the message lists them.
        """
        found = lookup.find(self, self._channels.output, run_id)
        return None if found is None else sealed(found)

    def output(self, run_id: str) -> RunOutput | None:
        """Return what a run has logged and printed; None if nothing is kept of it.

        It is stored while the run is active, within about a second, and removed by `prune` together
        with the record.

        Args:
            run_id: The whole identifier of the run.
        """
        pending = self._writer.find(run_id)
        if pending is not None:
            return pending.content()
        return RunOutput.from_document(self._channels.output.get(key_of(run_id)))

    def _new_output(self, record: Record, secrets: Collection[str]) -> OutputBuffer | None:
        """Return where the output of a run goes; None if none is kept."""
        if not (self._limits.first or self._limits.last):
            return None
        run = {"runId": record["runId"], "name": record["name"], "startTime": record["startTime"]}
        return OutputBuffer(run, self._limits, secrets, self._writer.changed)

    def prune(self, older_than: float | timedelta) -> Pruned:
        """Remove the records of runs that ended `older_than` seconds ago or before.

        Durable launches that ended before then are removed too; they are not counted.

        Runs that are found dead are closed as abandoned; they have ended now.

        Raises:
            InvalidOption: `older_than` is negative, or more than a hundred years.
        """
        age = milliseconds("older_than", older_than, shortest=0)
        abandoned = self._dead_runs.close(all=True)
        cutoff = now_ms() - age + 1  # what ended within this millisecond has ended
        self._prune_launches(cutoff)
        return Pruned(_prune(self, self._channels.output, cutoff), abandoned)

    def close_dead_runs(self) -> int:
        """Close runs whose process died, as abandoned and with an error; return their number.

        Every start and query of this manager does so too. Runs that were started under other locks
        than those of this manager are left as they are.
        """
        return self._dead_runs.close()

    def _locks_id(self) -> str | None:
        """Return the identifier of the locks, if they were used."""
        return self._channels.locks_id()

    def _is_indexed(self) -> bool:
        """Return whether the records of runs that began are found by their status."""
        return self._channels.is_indexed(self.jobs)

    def _index_run_ids(self) -> None:
        """Have records found by the identifiers of their runs, where that is possible."""
        for channel in (self.jobs, self.state):
            self._channels.is_indexed(channel, ("runId", "name", "status"))

    def _before_start(self) -> None:
        """Close the dead runs, unless that was done in the last second; errors are logged."""
        if self._dead_runs.search_is_due():
            self._before_reading()

    def _before_reading(self) -> None:
        """Close the dead runs; errors are logged."""
        try:
            self._dead_runs.close()
        except ChannelError as error:
            _log.warning("runs whose process died could not be closed: %s", error)

    def _abandoned(self, record: Record) -> None:
        """Report a run that was closed as abandoned."""

    def _notice_for(self, name: str) -> object:
        """Return the failure notice for the runs of a job, or None."""

    def _notify(self, record: Record) -> None:
        """Report a failed run to the notice of its job."""

    def _prune_launches(self, cutoff: int) -> int:  # noqa: ARG002  a hook
        """Remove the launches that ended before a time; return their number."""
        return 0

    def _is_readable(self, key: object, document: object) -> bool:
        """Return whether an entry of the jobs channel is a run record; note one that is not."""
        reason = records.malformed(document, key)
        if reason is not None and encode(key) not in self.malformed:
            self.malformed[encode(key)] = reason
            _log.warning("entry %s of %r is set aside: %s", encode(key), self.jobs.name, reason)
        return reason is None


def _runs(
    channels: RunHistory,
    name: str | None,
    status: str | None,
    since: datetime | float | None,
    limit: int | None,
) -> list[Record]:
    """Return records, latest first; of runs that died just now, as abandoned."""
    earliest = 0 if since is None else moment_ms("since", since)
    if status == "running":
        found = (record for record in _running(channels) if name in (None, record["name"]))
        return [record for record in found if record["startTime"] >= earliest][:limit]
    latest: list[tuple[int, int, Record]] = []
    number = 0
    for source in _sources(channels, name, status):
        for record in source:
            full = limit is not None and len(latest) >= limit
            if full and (not latest or _ended_before(record, latest[0][0])):
                break
            if record["startTime"] >= earliest:
                number += 1
                (heapq.heappushpop if full else heapq.heappush)(
                    latest, (record["startTime"], -number, record)
                )
    return [record for *_, record in sorted(latest, reverse=True)]


def _running(channels: RunHistory) -> list[Record]:
    """Return the records of the running runs, latest first.

    A running run holds its lock. The records are found through the locks, so the number of all
    records does not matter.
    """
    found = []
    for held in channels.locks.locks():
        record = records.find(channels.jobs, held.holder, held.fence)
        if record is None or record["status"] != "running" or records.has_dead_holder(held):
            continue
        if records.is_live(record, held):
            found.append(record)
    return sorted(found, key=lambda record: record["startTime"], reverse=True)


def _report(channels: RunHistory) -> list[dict[str, Any]]:
    """Return statistics for each job, sorted by name."""
    totals = kept.totals_of(channels.jobs, channels.state, _shown(channels))
    is_indexed = channels._channels.is_indexed(channels.state)
    for status in not_run.STATUSES if is_indexed else (None,):
        for record in _not_begun(channels, None, status):
            totals.add(record)
    return totals.rows()


def _prune(channels: RunHistory, output: Channel, cutoff: int) -> int:
    """Remove the records of runs that ended before `cutoff`, in milliseconds; count them."""
    removed = 0
    removal = kept.Removal(channels.jobs, channels.state)
    for channel in (channels.jobs, channels.state):
        for ended in _ended(channels, channel, cutoff):
            number = _remove(channel, [key for key, _ in ended])
            if channel is channels.jobs:
                removal.add(ended, number)
            removed += number
            _remove(output, [key_of(record["runId"]) for _, record in ended if "runId" in record])
    removal.save()
    _remove(channels.state, launch_claims.outdated(channels.state, cutoff))
    _remove(channels.state, shared_memory.outdated(channels.state))
    _remove(channels.state, counted_starts.outdated(channels.state, now_ms()))
    _remove(output, without_record(output, channels.jobs, cutoff))
    if removed:
        note_pruned(channels.state, cutoff)
    return removed


def _ended(channels: RunHistory, channel: Channel, cutoff: int) -> Iterator[list[Item]]:
    """Yield the entries of the records of a channel that ended before `cutoff`, in parts.

    What is yielded is removed before the next part is read, where an index finds them.
    """

    def is_ended(key: object, document: Document) -> bool:
        if channel is channels.jobs:
            readable = channels._is_readable(key, document)
        else:
            readable = records.is_record(document)
        return readable and document.get("endTime", cutoff) < cutoff

    before: set[str] = set()
    while (page := channel.hook.below(field="endTime", bound=cutoff, limit=_BATCH)) is not None:
        yield [item for item in page if is_ended(*item)]
        if len(page) < _BATCH:
            return
        keys = {encode(key) for key, _ in page}
        if keys == before:  # a page of other documents, behind which there may be records
            break
        before = keys
    yield [item for item in channel.items() if is_ended(*item)]


def _sources(
    channels: RunHistory, name: str | None, status: str | None
) -> Iterator[Iterator[Record]]:
    """Yield the records of runs that began, then of others, each with the latest change first."""
    yield _begun(channels, name, status)
    if status in (None, *not_run.STATUSES):
        channels._channels.is_indexed(channels.state)
        yield _not_begun(channels, name, status)


def _not_begun(channels: RunHistory, name: str | None, status: str | None) -> Iterator[Record]:
    given = {"name": name, "status": status}
    match = {key: value for key, value in given.items() if value is not None}
    items = channels.state.items(match=match or None, newest_first=True)
    yield from (item[1] for item in items if records.is_record(item[1]))


def _begun(channels: RunHistory, name: str | None, status: str | None) -> Iterator[Record]:
    channels._is_indexed()
    shown = _shown(channels)
    for key, value in itertools.chain(*_matching(channels.jobs, name, status)):
        record = shown(key, value)
        if record is not None and status in (None, record["status"]):
            yield record


def _shown(channels: RunHistory) -> Callable[[Document, Document], Record | None]:
    """Return what returns the record in an entry as it is shown; None if there is none."""
    jobs, locks = channels.jobs, channels.locks
    lock_info = functools.cache(lambda name, slot: locks.lock_info(name, slot=slot))
    locks_id = functools.cache(channels._locks_id)

    def shown(key: Document, record: Any) -> Record | None:
        if not channels._is_readable(key, record):
            return None
        if record["status"] == "running" and records.is_dead(
            record, lock_info(*records.slot_of(record)), locks_id()
        ):
            record = jobs.get(records.key_of(record))  # it may have ended between the two reads
            if not records.is_record(record):
                return None
            if record["status"] == "running":
                record["status"] = "abandoned"
        return cast("Record", record)

    return shown


def _matching(jobs: Channel, name: str | None, status: str | None) -> Iterator[Iterator[Item]]:
    """Yield the entries that may be records of this job with this status, latest change first."""
    match: dict[str, Any] = {} if name is None else {"name": name}
    if status is not None:
        match["status"] = status
    yield jobs.items(match=match or None, newest_first=True)
    if status == "abandoned":  # a record of an abandoned run may say running
        yield jobs.items(match={**match, "status": "running"}, newest_first=True)


def _ended_before(record: Record, start: int) -> bool:
    """Return whether a run, and so every record changed before it, ended before `start`."""
    ended = ("completed", "failed", "cancelled", *not_run.STATUSES)
    return record["status"] in ended and record.get("endTime", start) < start


def _remove(channel: Channel, keys: list[dict[str, Any]]) -> int:
    step = _BATCH if "atomic_batches" in channel.capabilities else 1
    return sum(channel.unset_all(keys[start : start + step]) for start in range(0, len(keys), step))
