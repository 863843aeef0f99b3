"""JobManager: runs, managed jobs, launches, and queries on the records."""

import logging
import threading
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar

from ojobchannels.alerts.rules import Alert
from ojobchannels.alerts.watch import Alerts
from ojobchannels.channels.arguments import Duration, milliseconds
from ojobchannels.channels.keepalive import KEEP_ALIVE
from ojobchannels.channels.slots import check_count
from ojobchannels.documents import check_name, check_value
from ojobchannels.errors import RunNotStarted, UnknownJob
from ojobchannels.host.wakeup import Latch
from ojobchannels.manager import records, run_end
from ojobchannels.manager.actions.cancel import CancelWatch
from ojobchannels.manager.channels import ChannelConfig, ManagerChannels
from ojobchannels.manager.dead_runs import leave_notice
from ojobchannels.manager.jobs import IfRunning, Job, Notice, check_notice, check_notices, notify
from ojobchannels.manager.launcher import Launch, Launcher
from ojobchannels.manager.limits.rate import check_rate_limit
from ojobchannels.manager.operations import Operations
from ojobchannels.manager.output import OutputLimits
from ojobchannels.manager.output.lines import DEFAULT_LIMITS
from ojobchannels.manager.records import Record
from ojobchannels.manager.run import JobRun
from ojobchannels.manager.run_options import OnTimeout, RunOptions, check_on_timeout
from ojobchannels.manager.schedules import fire_times
from ojobchannels.manager.schedules.fire_times import FireTime
from ojobchannels.masking import masked, secret_values
from ojobchannels.metrics.job_metrics import JobMetrics
from ojobchannels.suggestions import closest

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_log = logging.getLogger("ojobchannels.jobs")


class JobManager(Operations):
    """Runs each job at most once at a time, and keeps a record of every run.

    Args:
        jobs: The channel of run records.
        locks: The channel of locks. All processes that run the jobs must share both channels.
        state: The channel of everything else that must be remembered; by default it is in the same
            storage as the run records.
        threads: The maximum number of launched jobs that run at a time.
        on_failure: The failure notice for all jobs that have none of their own.
        output: How much is kept of what each run logs and prints; see `output`.
        alerts: The rules of what is reported, once over all processes: `ojobchannels.alerts.Alert`.

    Attributes:
        jobs: The channel ``oJobManager-jobs``, with the records of runs that have begun, under
            ``{name, startTime}``, and nothing else.
        locks: The channel ``oJobManager-locks``, with one lock for each job name.

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
        output: OutputLimits = DEFAULT_LIMITS,
        alerts: Sequence[Alert] = (),
    ) -> None:
        self.closing = Latch()
        self._launcher = Launcher(threads)
        super().__init__(ManagerChannels(jobs, locks, state))
        self._limits = output
        check_notice(on_failure)
        self._on_failure = on_failure
        self._known: dict[str, Job[..., Any]] = {}
        self._running: dict[str, JobRun] = {}
        self._free_from: dict[str, int] = {}
        self._lock = threading.Lock()
        self._cancels = CancelWatch(lambda: self.state, lambda: tuple(self._running.values()))
        self._metrics = JobMetrics(self)
        self.alerts = Alerts(self)
        self.alerts.replace(alerts)

    def run(
        self,
        name: str,
        *,
        timeout: Duration = 3600,
        args: Mapping[str, Any] | None = None,
        secret: Collection[str] = (),
        wait: Duration | None = 0,
        keep_alive: bool = True,
        on_timeout: OnTimeout = "warn",
        extra: Mapping[str, Any] | None = None,
        lock_at_least_for: Duration = 0,
        fire_time: FireTime | None = None,
        record_busy: bool = True,
        max_concurrent: int = 1,
        rate_limit: str | None = None,
    ) -> JobRun:
        """Return a run of a job; a ``with`` block starts and ends it, and records an exception.

        Args:
            name: The name of the job.
            timeout: The timeout of the run, in seconds.
            args: Arguments, stored in the record; what is named or looks like a secret is masked.
            secret: Names of further arguments whose values are secrets.
            wait: Seconds to wait if the job is running elsewhere; None for no limit.
            keep_alive: Use a lease of at most a minute and renew it while the run is active;
                otherwise the lease lasts for `timeout`.
            on_timeout: What happens when the timeout is exceeded: ``warn`` logs a warning; ``fail``
                makes `JobRun.check` raise and records the run as failed; ``continue`` does nothing.
            extra: Additional fields for the record.
            lock_at_least_for: Seconds after the start for which the lock stays held even if the
                run ends before. A second server whose clock is late then finds it held, and does
                not repeat a short job.
            record_busy: Whether to record a run as skipped if the job is running elsewhere.
            fire_time: The time at which a schedule starts the run, in milliseconds since 1970, or
                the `LaunchTime` of the job that launches it. Of all processes that share the
                channels, one claims it. It is stored in the record as ``fireTime``.
            max_concurrent: The number of runs that may be active at a time, up to 1000; all
                processes must pass the same number. Each run has a slot of the lock.
            rate_limit: How often the job may start, over all processes: ``10/1m`` for ten starts
                in any minute. A run over it does not start, as if the job were running.

        Raises:
            InvalidOption: An option is not valid.
            InvalidValue: The arguments are not JSON.
            LockBusy: At the start, if the job is running elsewhere.
            RateLimited: At the start, if the job has started too often.
            FireTimeTaken: At the start, if another run has claimed the fire time.
        """
        check_value(dict(args or {}))
        records.check_fields(extra or {})
        options = RunOptions(
            timeout=milliseconds("timeout", timeout) / 1000,
            args=masked(args or {}, secret),
            secrets=frozenset(secret_values(args or {}, secret)),
            wait=None if wait is None else _seconds("wait", wait),
            keep_alive=keep_alive,
            on_timeout=check_on_timeout(on_timeout),
            extra=dict(extra or {}),
            fire_time=fire_time,
            record_busy=record_busy,
            lock_at_least_for=_seconds("lock_at_least_for", lock_at_least_for),
            max_concurrent=check_count("max_concurrent", max_concurrent),
            rate_limit=check_rate_limit(rate_limit),
        )
        return JobRun(self, check_name("job", name), options)

    def start(self, name: str, **options: Any) -> JobRun:
        """Start a run with the options of `run`, for code that cannot use ``with``.

        End it with `end` or `error`.

        Raises:
            LockBusy: The job is running elsewhere; this run is recorded as skipped.
        """
        return self.run(name, **options).start()

    def end(self, run: JobRun | str) -> None:
        """End a run that this manager started as completed.

        Args:
            run: The run, or the name of its job.

        Raises:
            RunNotStarted: This manager has no such open run.
            LockLost: The run had lost its lock.
        """
        self._find("end", run).end()

    def error(self, run: JobRun | str, error: BaseException | str) -> None:
        """End a run as failed, and store the error in its record; otherwise like `end`."""
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
        lock_at_least_for: Duration = 0,
        max_concurrent: int = 1,
        rate_limit: str | None = None,
    ) -> Callable[[Callable[_Arguments, _Result]], Job[_Arguments, _Result]]:
        """Make a function a managed job, which `launch` finds by its name.

        Args:
            name: The name of the job.
            timeout: The timeout of a run, in seconds.
            if_running: What a call does if the job is running elsewhere: ``skip`` returns None,
                ``wait`` waits, ``fail`` raises LockBusy. A run that did not start is recorded as
                skipped.
            wait: The longest wait with ``wait``, in seconds; None for no limit.
            retries: The number of further attempts after a failure, each with its own record.
            backoff: Seconds before the first retry, doubled for each further one.
            on_failure: The notice after the last failed attempt: a callable that takes the record,
                or the name of a job to launch with the record as ``run``.
            on_timeout: As in `run`.
            lock_at_least_for: As in `run`, from the start of the last attempt.
            max_concurrent: As in `run`; the job is running elsewhere if it has that many runs.
            rate_limit: As in `run`; `if_running` says what a call over it does.

        Raises:
            InvalidOption: An option is not valid, or `on_failure` leads back to this job through
                the notices of other jobs.
        """

        def decorate(function: Callable[_Arguments, _Result]) -> Job[_Arguments, _Result]:
            job = Job(
                self,
                check_name("job", name),
                function,
                milliseconds("timeout", timeout) / 1000,
                if_running,
                None if wait is None else _seconds("wait", wait),
                retries,
                _seconds("backoff", backoff),
                on_failure,
                on_timeout,
                _seconds("lock_at_least_for", lock_at_least_for),
                check_count("max_concurrent", max_concurrent),
                rate_limit if check_rate_limit(rate_limit) else None,
            )
            with self._lock:
                known: dict[str, Job[..., Any]] = {**self._known, name: job}
                check_notices(name, known, self._on_failure)
                self._known = known
            return job

        return decorate

    def launch(self, name: str, args: Mapping[str, Any] | None = None) -> Launch:
        """Run a managed job on the threads of the manager, and return its handle at once.

        Raises:
            UnknownJob: There is no job of that name; `job` registers jobs.
        """
        job = self._known.get(name)
        if job is None:
            raise UnknownJob(name, tuple(sorted(self._known)), closest(name, self._known))
        values = dict(args or {})
        return self._launcher.submit(name, lambda launch: job.launched(launch, values))

    def launch_alert(self, name: str, notice: Mapping[str, Any]) -> Launch:
        """Run the job of an alert."""
        return self.launch(name, {"notice": notice})

    def metrics(self) -> str:
        """Return metrics of the runs of all hosts, in the text format of Prometheus.

        The first call counts the latest 10,000 records, later ones what has changed since.
        """
        return self._metrics.text()

    def abandoned(self, record: Record) -> None:
        """Log a run that was closed as abandoned, and notify of it, or leave that to others."""
        run_end.log_run(record)
        if self.notice_for(record["name"]) is None:
            leave_notice(self.state, record)
        else:
            self.notify(record)

    def report_run(self, record: Record, *, notifies: bool) -> None:
        """Log the start or the end of a run; if it failed and `notifies`, notify of that."""
        run_end.log_run(record)
        self._cancels.ended(record)
        self.alerts.wake()
        if notifies and record["status"] in ("failed", "lost"):
            self.notify(record)

    def notice_for(self, name: str) -> Notice | None:
        """Return the failure notice for the runs of a job.

        A job is not notified of its own failure: it would probably fail again.
        """
        job = self._known.get(name)
        notice = (job and job.on_failure) or self._on_failure
        return None if notice == name else notice

    def record_not_run(
        self,
        name: str,
        status: Literal["skipped", "depsfail"],
        reason: str,
        args: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        fire_time: FireTime | None = None,
    ) -> Record:
        """Write and return the record of a run that did not start.

        It is kept in the state channel. Its start time is later than that of the run that holds the
        lock, by any wall clock.

        Raises:
            FireTimeTaken: Another run has claimed the fire time.
        """
        record = records.begun(name, run_id or uuid.uuid4().hex, status, args or {})
        record["reason"] = reason
        held = self.locks.lock_info(name)
        after = records.start_of(held.fence) + 1 if held else 0
        start = max(self.locks.clock.wall() // 1000, after)
        if fire_time is not None:
            stored = fire_times.record_not_run(self, record, fire_time, start)
        else:
            stored = records.add(self.state, record, start)
        run_end.log_run(stored)
        return stored

    def notify(self, record: Record) -> None:
        """Report a failed run to the notice of its job, or else of the manager."""
        notice = self.notice_for(record["name"])
        if notice is not None:
            notify(self, notice, record)

    def record_start(self, record: Record) -> Record:
        """Store the record of a run that starts at the first free start time, and return it.

        Many runs of one job that start in one millisecond occupy the start times that follow. The
        next run skips those that were occupied at the last start.
        """
        name, first = record["name"], records.start_of(record["fence"])
        record = record | {"locksId": self._channels.locks_id(create=True)}
        stored = records.add(self.jobs, record, max(first, self._free_from.get(name, first)))
        if stored["startTime"] > first:
            self._free_from[name] = stored["startTime"] + 1
        else:
            self._free_from.pop(name, None)
        return stored

    def set_open(self, run: JobRun, open: bool) -> None:
        """Remember that a run has started, or that it has ended."""
        with self._lock:
            if open:
                self._running[run.run_id] = run
                self._cancels.start()
            else:
                self._running.pop(run.run_id, None)
                if not self._running:
                    self._cancels.stop()

    def launch_known(self, name: str, args: Mapping[str, Any]) -> bool:
        """Launch a job if this manager has it, and return whether it does."""
        if known := name in self._known:
            self.launch(name, self._known[name].keywords(args))
        return known

    def close(self) -> None:
        """Wait for launched jobs, then close the channels and so release all locks."""
        self.closing.set()
        self._launcher.wait()
        self.alerts.close()
        self._launcher.close()
        self.alerts.end()
        with self._lock:
            left_open, self._running = tuple(self._running.values()), {}
        self._cancels.stop()
        for run in left_open:
            KEEP_ALIVE.drop_alarm(run)
            run.stop_capture()
        self._writer.close()
        self._channels.close()

    def __enter__(self) -> "JobManager":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<JobManager jobs {self.jobs.type!r} locks {self.locks.type!r}>"

    def _find(self, what: str, run: JobRun | str) -> JobRun:
        with self._lock:
            for found in reversed(self._running.values()):
                if run in (found, found.name):
                    return found
        raise RunNotStarted(what, run.name if isinstance(run, JobRun) else run)


def _seconds(option: str, duration: Duration) -> float:
    return milliseconds(option, duration, shortest=0) / 1000
