"""JobManager: runs, managed jobs, launches, and queries on the records."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, ParamSpec, TypeVar

from ojobchannels.alerts.rules import Alert
from ojobchannels.alerts.watch import Alerts
from ojobchannels.channels.arguments import Duration, milliseconds
from ojobchannels.channels.slots import check_count
from ojobchannels.documents import check_name, check_value
from ojobchannels.host.wakeup import Latch
from ojobchannels.manager import records
from ojobchannels.manager.channels import ChannelConfig, ManagerChannels
from ojobchannels.manager.hooks.events import RunCallback
from ojobchannels.manager.hooks.spec import RunEvent
from ojobchannels.manager.jobs import IfRunning, Job, Notice, notify
from ojobchannels.manager.limits.rate import check_rate_limit
from ojobchannels.manager.local_launches.launcher import SIGNAL_POLL_SECONDS
from ojobchannels.manager.local_launches.signals import stop_signals
from ojobchannels.manager.managed_schedules import ManagedSchedules
from ojobchannels.manager.output import OutputLimits
from ojobchannels.manager.output.lines import DEFAULT_LIMITS
from ojobchannels.manager.records import Record
from ojobchannels.manager.registry import JobRegistry
from ojobchannels.manager.runs.run import JobRun
from ojobchannels.manager.runs.run_options import (
    OnTimeout,
    RunOptions,
    check_on_timeout,
    checked_args,
)
from ojobchannels.manager.schedules.fire_times import FireTime
from ojobchannels.manager.schedules.options import checked_schedule
from ojobchannels.manager.schedules.rules import Misfire
from ojobchannels.masking import masked, secret_values
from ojobchannels.metrics.job_metrics import JobMetrics

_NO_SECRETS: Final = frozenset[str]()
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_Callback = TypeVar("_Callback", bound=RunCallback)


class JobManager(ManagedSchedules):
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
        plugins: Objects with hooks of `ojobchannels.manager.RunSpec`, called for its runs.

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
        plugins: Sequence[object] = (),
    ) -> None:
        self._closing = Latch()
        channels = ManagerChannels(jobs, locks, state)
        try:
            super().__init__(channels, JobRegistry(on_failure), plugins, threads)
            self._limits = output
            self._metrics = JobMetrics(self)
            self.alerts = Alerts(self)
            self.alerts.replace(alerts)
        except BaseException:
            channels.close()
            raise

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
        if args:
            check_value(checked_args(args))
        if extra:
            records.check_fields(extra)
        options = RunOptions(
            timeout=milliseconds("timeout", timeout) / 1000,
            args=masked(args, secret) if args else {},
            secrets=frozenset(secret_values(args, secret)) if args else _NO_SECRETS,
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
        self._find_open("end", run).end()

    def error(self, run: JobRun | str, error: BaseException | str) -> None:
        """End a run as failed, and store the error in its record; otherwise like `end`."""
        self._find_open("error", run).fail(error)

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
        cron: str | None = None,
        interval: Duration | None = None,
        timezone: str = "UTC",
        jitter: Duration = 0,
        misfire: Misfire = "latest",
        overdue_after: Duration | None = None,
    ) -> Callable[[Callable[_Arguments, _Result]], Job[_Arguments, _Result]]:
        """Make a function a managed job, which `launch` finds by its name.

        With `cron` or `interval` it also runs at these times, in the processes that `serve` or call
        `start_schedules`: each fire time once over all of them, and over job files whose job has
        the same name. A fire time is skipped while the job is running elsewhere.

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
            cron: When it runs: a cron expression of five fields, or of six with seconds first.
            interval: Run it every `interval` seconds, at multiples of that since 1970 (UTC).
            timezone: The time zone of `cron`: ``UTC``, ``local`` (the zone of the host), or a name
                such as ``Europe/Lisbon``.
            jitter: Delay each fire time by up to this number of seconds, so that jobs with the same
                times do not start together; all processes agree on the delay.
            misfire: Which fire times are run later that were missed while no process served them:
                the ``latest``, ``all`` or ``none``.
            overdue_after: Seconds after a fire time from which the schedule counts as overdue if no
                run has begun; by default a minute.

        Raises:
            InvalidOption: An option is not valid, or `on_failure` leads back to this job through
                the notices of other jobs.
        """

        def decorate(function: Callable[_Arguments, _Result]) -> Job[_Arguments, _Result]:
            schedule = checked_schedule(
                function,
                cron=cron,
                interval=interval,
                timezone=timezone,
                jitter=jitter,
                misfire=misfire,
                overdue_after=overdue_after,
            )
            job = Job(
                self,
                check_name("job", name),
                function,
                _in_seconds(milliseconds("timeout", timeout)),
                if_running,
                None if wait is None else _seconds("wait", wait),
                retries,
                _seconds("backoff", backoff),
                on_failure,
                on_timeout,
                _seconds("lock_at_least_for", lock_at_least_for),
                check_count("max_concurrent", max_concurrent),
                rate_limit if check_rate_limit(rate_limit) else None,
                schedule,
            )
            self._register(job)
            return job

        return decorate

    def on(self, *events: RunEvent) -> Callable[[_Callback], _Callback]:
        """Call a function with the record of each run to which one of the events happens.

        It is called in the thread that starts or ends the run, or that finds it dead; its errors
        are logged. `off` ends that.

        Args:
            events: ``started``, ``succeeded``, ``failed``, ``skipped``, ``abandoned``, ``lost`` or
                ``cancelled``; without any, all of them.

        Raises:
            InvalidOption: An event is unknown, or the function cannot be called, or is a coroutine
                function.

        Example:
            >>> import ojobchannels as oc
            >>> with oc.JobManager() as manager:
            ...     @manager.on("succeeded")
            ...     def tell(record: oc.RunRecord) -> None:
            ...         print(record.name, record.status)
            ...     with manager.run("load"):
            ...         pass
            load completed
        """

        def decorate(callback: _Callback) -> _Callback:
            self._events.add(callback, events)
            return callback

        return decorate

    def off(self, callback: RunCallback) -> None:
        """Stop calling a function that was passed to `on`."""
        self._events.remove(callback)

    def _notify(self, record: Record) -> None:
        """Report a failed run to the notice of its job, or else of the manager."""
        notice = self._notice_for(record["name"])
        if notice is not None:
            notify(self, notice, record)

    def metrics(self) -> str:
        """Return metrics of the runs of all hosts, in the text format of Prometheus.

        The first call counts the latest 10,000 records, later ones what has changed since.
        """
        return self._metrics.text()

    def serve(self) -> None:
        """Run schedules and take durable launches until SIGTERM, SIGINT or `close`.

        Then nothing new starts, and this returns when the active runs have ended. Signals are
        handled if this is called on the main thread.

        Raises:
            ManagerClosed: The manager is closed.
        """
        with stop_signals() as stopped:
            self.start_worker()
            self.start_schedules()
            while not (stopped() or self._closing.wait(SIGNAL_POLL_SECONDS)):
                pass
        self._end_serving()

    def close(self) -> None:
        """Wait for launched jobs, then close the channels and so release all locks."""
        if not self._closing.is_set():
            self._warn_of_unserved()
        self._closing.set()
        self._end_serving()
        self.alerts.close()
        self._launcher.close()
        self.alerts.end()
        self._leave_open_runs()
        self._writer.close()
        self._channels.close()

    def __enter__(self) -> "JobManager":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<JobManager jobs {self.jobs.type!r} locks {self.locks.type!r}>"


def _seconds(option: str, duration: Duration) -> float:
    return _in_seconds(milliseconds(option, duration, shortest=0))


@lru_cache(maxsize=1_000)
def _in_seconds(milliseconds: int) -> float:
    """Convert milliseconds; very many jobs share the numbers."""
    return milliseconds / 1000
