"""JobManager: the channels of the manager, and everything that is done through it."""

from __future__ import annotations

import difflib
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar

from ojobchannels.channels.arguments import Duration, milliseconds
from ojobchannels.channels.channel import Channel
from ojobchannels.channels.keepalive import KEEP_ALIVE
from ojobchannels.channels.opening import open_channel
from ojobchannels.documents import check_name, check_value
from ojobchannels.errors import ChannelError, InvalidOption, RunNotStarted, UnknownJob
from ojobchannels.hookspecs import LockInfo
from ojobchannels.host.clock import now_ms
from ojobchannels.manager import fire_times, history, records
from ojobchannels.manager.history import Pruned
from ojobchannels.manager.jobs import IfRunning, Job, Notice, check_notices, notify
from ojobchannels.manager.launcher import Launch, Launcher
from ojobchannels.manager.records import STATUSES, Record
from ojobchannels.manager.run import JobRun, OnTimeout, check_on_timeout

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")

ChannelConfig: TypeAlias = Mapping[str, Any] | str | Channel | None
"""``{"type": …, "args": {…}}``, a URL, or an open channel; ``simple`` for None."""

_log = logging.getLogger("ojobchannels.jobs")

JOBS = "oJobManager-jobs"
LOCKS = "oJobManager-locks"
STATE = "oJobManager-state"


class JobManager:
    """Runs jobs so that none runs twice at once, and keeps a record of every run.

    Args:
        jobs: Where the run records are kept.
        locks: Where the locks are held. Both must be shared by all who run the jobs.
        state: Where the rest is kept that must be remembered; beside the run records by default.
        threads: How many launched jobs run at a time.
        on_failure: Given notice of every failed run of a job that names no notice of its own.

    Attributes:
        jobs: The channel ``oJobManager-jobs``: run records under ``{name, startTime}``, nothing
            else.
        locks: The channel ``oJobManager-locks``: one lock for each job name.

    Example:
        >>> import ojobchannels as oc
        >>> with oc.JobManager() as manager:
        ...     @manager.job("cleanup", timeout=600, if_running="skip")
        ...     def cleanup(days: int) -> str:
        ...         return f"removed what was older than {days} days"
        ...     cleanup(7)
        'removed what was older than 7 days'
    """

    def __init__(
        self,
        jobs: ChannelConfig = None,
        locks: ChannelConfig = None,
        *,
        state: ChannelConfig = None,
        threads: int = 4,
        on_failure: Notice | None = None,
    ) -> None:
        self._own: list[Channel] = []
        self._state: Channel | None = None
        self._state_config = jobs if state is None else state
        self.closing = threading.Event()
        self._launcher = Launcher(threads)
        try:
            self.jobs = self._open(JOBS, jobs)
            self.locks = self._open(LOCKS, locks)
        except BaseException:
            self._close_channels()
            raise
        self._on_failure = on_failure
        self._known: dict[str, Job[..., Any]] = {}
        self._running: dict[str, JobRun] = {}
        self._free_from: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def state(self) -> Channel:
        """The channel ``oJobManager-state``, for what must be remembered and is no run record.

        Raises:
            InvalidOption: The jobs channel was given open, and nothing was said of the state.
        """
        with self._lock:
            if self._state is None:
                if self._state_config is self.jobs:
                    reason = "the jobs channel was given open, and holds run records alone"
                    raise InvalidOption("state", reason, "give JobManager a state channel too")
                self._state = self._open(STATE, self._state_config)
            return self._state

    def run(
        self,
        name: str,
        *,
        timeout: Duration = 3600,
        args: Mapping[str, Any] | None = None,
        wait: Duration | None = 0,
        keep_alive: bool = True,
        on_timeout: OnTimeout = "warn",
        extra: Mapping[str, Any] | None = None,
        fire_time: int | None = None,
        record_busy: bool = True,
    ) -> JobRun:
        """Returns a run of a job; ``with`` starts and ends it, and records an exception.

        Args:
            name: The job's name; no two runs of one name are on at once.
            timeout: Seconds that the run may take.
            args: Kept in the record.
            wait: Seconds to wait if the job runs elsewhere; None waits for ever.
            keep_alive: Renew the lease, of a minute at most, for as long as the run works;
                otherwise the lease lasts as long as `timeout`.
            on_timeout: When the timeout is over: ``warn`` logs it; ``fail`` has `JobRun.check`
                raise, and records the run as failed at its end; ``continue`` does nothing.
            extra: More fields for the record.
            record_busy: Whether a record tells of a run that did not start because the job runs
                elsewhere.
            fire_time: When a schedule says that this run is due, in milliseconds since 1970: of all
                who share the channels, one takes it. It stands in the record as ``fireTime``.

        Raises:
            LockBusy: At the start, if the job runs elsewhere.
            FireTimeTaken: At the start, if another run has taken the fire time.
        """
        check_name("job", name)
        check_value(dict(args or {}))
        records.check_fields(extra or {})
        check_on_timeout(on_timeout)
        seconds = milliseconds("timeout", timeout) / 1000
        waiting = None if wait is None else milliseconds("wait", wait, shortest=0) / 1000
        fields = dict(extra or {})
        return JobRun(
            self,
            name,
            seconds,
            args,
            waiting,
            keep_alive,
            on_timeout,
            fields,
            fire_time,
            record_busy,
        )

    def start(self, name: str, **options: Any) -> JobRun:
        """Starts a run, with the options of `run`, for those who cannot use ``with``.

        End it with `end` or `error`.

        Raises:
            LockBusy: The job runs elsewhere; a record says that this run was skipped.
        """
        return self.run(name, **options).start()

    def end(self, run: JobRun | str) -> None:
        """Ends a run that this manager started, given itself or by its job's name, as completed.

        Raises:
            RunNotStarted: This manager has no such open run.
            LockLost: The run had lost its lock.
        """
        self._find("end", run).end()

    def error(self, run: JobRun | str, error: BaseException | str) -> None:
        """Ends a run that this manager started as failed; no other run is touched.

        Raises:
            RunNotStarted: This manager has no such open run.
            LockLost: The run had lost its lock.
        """
        self._find("error", run).fail(error)

    def job(
        self,
        name: str,
        *,
        timeout: Duration = 3600,
        if_running: IfRunning = "fail",
        wait: Duration | None = None,
        retries: int = 0,
        backoff: Duration = 1,
        on_failure: Notice | None = None,
        on_timeout: OnTimeout = "warn",
    ) -> Callable[[Callable[_Arguments, _Answer]], Job[_Arguments, _Answer]]:
        """Makes a function a managed job, known to `launch` by its name.

        Args:
            name: The job's name.
            timeout: Seconds that a run may take.
            if_running: If the job runs elsewhere: ``skip`` returns None, ``wait`` waits, ``fail``
                raises LockBusy. A run that did not start is recorded as skipped.
            wait: Seconds that ``wait`` waits; None waits for ever.
            retries: How often a failed run is followed by another, each with a record of its own.
            backoff: Seconds before the first of them; doubled before each further one.
            on_failure: Given notice when the last attempt failed: a callable that takes the record,
                or the name of a job to launch with the record as ``run``.
            on_timeout: As in `run`.

        Raises:
            InvalidOption: An option is wrong, or `on_failure` leads back to the job itself by that
                of others.
        """

        def decorate(function: Callable[_Arguments, _Answer]) -> Job[_Arguments, _Answer]:
            job = Job(
                self,
                check_name("job", name),
                function,
                milliseconds("timeout", timeout) / 1000,
                if_running,
                None if wait is None else milliseconds("wait", wait, shortest=0) / 1000,
                retries,
                milliseconds("backoff", backoff, shortest=0) / 1000,
                on_failure,
                on_timeout,
            )
            with self._lock:
                known: dict[str, Job[..., Any]] = {**self._known, name: job}
                check_notices(name, known, self._on_failure)
                self._known = known
            return job

        return decorate

    def launch(self, name: str, args: Mapping[str, Any] | None = None) -> Launch:
        """Has a known job run on the manager's threads, and returns a handle at once.

        Raises:
            UnknownJob: `job` was not called with that name.
        """
        job = self._known.get(name)
        if job is None:
            hint = next(iter(difflib.get_close_matches(name, self._known, 1)), None)
            raise UnknownJob(name, tuple(sorted(self._known)), hint)
        given = dict(args or {})
        return self._launcher.submit(name, lambda launch: job.launched(launch, given))

    def runs(
        self,
        name: str | None = None,
        status: str | None = None,
        since: datetime | float | None = None,
        limit: int | None = 100,
    ) -> list[Record]:
        """Returns run records, latest first; those of runs that died are told as abandoned.

        Args:
            name: Only this job's.
            status: Only those of this status.
            since: Only those that started then or later (a datetime, or seconds since 1970).
            limit: So many at most; None for all.
        """
        if status is not None and status not in STATUSES:
            known = ", ".join(STATUSES)
            raise InvalidOption("status", f"{status!r} is not among them", f"give {known}")
        return history.runs(self.jobs, self.locks, name, status, since, limit)

    def running(self) -> list[Record]:
        """Returns the records of the runs that are on, latest first."""
        return history.running(self.jobs, self.locks)

    def report(self) -> list[dict[str, Any]]:
        """Sums up the records by job.

        Each row has ``name``, ``runs``, a count for each status, ``averageDuration`` of those that
        ran to an end (ms; None if none did), ``lastStart`` (ms, UTC) and ``lastStatus``.
        """
        return history.report(self.jobs, self.locks)

    def prune(self, older_than: float | timedelta) -> Pruned:
        """Removes records of runs that ended more than `older_than` seconds ago.

        Runs whose lease is over, and that are still told as running, are marked as abandoned.
        """
        seconds = older_than.total_seconds() if isinstance(older_than, timedelta) else older_than
        return history.prune(self.jobs, self.locks, seconds)

    def record_not_run(
        self,
        name: str,
        status: Literal["skipped", "depsfail"],
        reason: str,
        args: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        fire_time: int | None = None,
    ) -> Record:
        """Writes, and returns, the record of a run that did not come about.

        It stands behind that of the run that holds the lock, whatever the wall clock says.

        Raises:
            FireTimeTaken: Another run has taken the fire time.
        """
        record = records.begun(name, run_id or uuid.uuid4().hex, status, args or {})
        record["reason"] = reason
        held = self.locks.lock_info(name)
        start = max(self.locks.clock.wall() // 1000, records.start_of(held.fence) if held else 0)
        if fire_time is not None:
            return fire_times.record_not_run(self, record, fire_time, start)
        return records.add(self.jobs, record, start)

    def force_unlock(
        self, name: str, note: str | None = None, fence: int | None = None
    ) -> LockInfo | None:
        """Frees a job's lock, with a note in the record of the run that held it; returns who did.

        That run learns at its next renewal, or at its end, that it has lost the lock.

        Args:
            name: The job's name.
            note: What the record is to say of it, behind the time.
            fence: The lease that is meant. If by now the lock is free, or another lease holds it,
                nothing is done and None returned.
        """
        if fence is not None:
            held = self.locks.lock_info(name)
            if held is None or held.fence != fence:
                return None
        put_out = self.locks.force_unlock(name)
        if put_out is not None:
            self._leave_note(put_out, note or "its lock was freed by force")
        return put_out

    def notify(self, notice: Notice | None, record: Record) -> None:
        """Gives notice of a failed run, to the manager's own notice if None is given.

        A job gets none of its own failure: it would fail at that, too.
        """
        chosen = notice or self._on_failure
        if chosen is not None and chosen != record["name"]:
            notify(self, chosen, record)

    def record_start(self, record: Record) -> Record:
        """Stores the record of a run that starts at the first free start time, and returns it so.

        Where one job begins many runs in a millisecond, they reach far into the next ones; what our
        last run found taken need not be asked for again.
        """
        name, first = record["name"], records.start_of(record["fence"])
        stored = records.add(self.jobs, record, max(first, self._free_from.get(name, first)))
        if stored["startTime"] > first:
            self._free_from[name] = stored["startTime"] + 1
        else:
            self._free_from.pop(name, None)
        return stored

    def add_open_run(self, run: JobRun) -> None:
        """Takes note of a run that started."""
        with self._lock:
            self._running[run.run_id] = run

    def remove_open_run(self, run: JobRun) -> None:
        """Takes note of a run that is over."""
        with self._lock:
            self._running.pop(run.run_id, None)

    def close(self) -> None:
        """Waits for launched jobs, then closes the channels, and with them what is still locked."""
        self.closing.set()
        self._launcher.close()
        with self._lock:
            left_open = list(self._running.values())
        for run in left_open:
            KEEP_ALIVE.drop_alarm(run)
        self._close_channels()

    def __enter__(self) -> JobManager:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<JobManager jobs {self.jobs.type!r} locks {self.locks.type!r}>"

    def _open(self, name: str, config: ChannelConfig) -> Channel:
        if isinstance(config, Channel):
            return config
        channel = open_channel(name, config)
        self._own.append(channel)
        return channel

    def _close_channels(self) -> None:
        while self._own:
            self._own.pop().close()

    def _leave_note(self, put_out: LockInfo, by: str) -> None:
        try:
            record = records.find(self.jobs, put_out.holder, put_out.fence)
            if record is not None:
                note = f"{records.iso(now_ms())} {by}"
                records.amend(self.jobs, record, {"note": note})
        except ChannelError as trouble:
            name = put_out.name
            _log.warning("the lock of %r is free, but no record tells by whom: %s", name, trouble)

    def _find(self, what: str, run: JobRun | str) -> JobRun:
        with self._lock:
            for one in reversed(self._running.values()):
                if run in (one, one.name):
                    return one
        raise RunNotStarted(what, run.name if isinstance(run, JobRun) else run)
