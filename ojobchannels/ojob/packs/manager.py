"""The object ``manager`` in the code of the pack oJobManager.yaml."""

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from ojobchannels.errors import (
    JobLocked,
    JobMisuse,
    LockBusy,
    LockLost,
    RateLimited,
    describe_holder,
)
from ojobchannels.manager import JobRun
from ojobchannels.manager.local_launches.pool import release_slot
from ojobchannels.ojob.args.pack_args import PackArgs
from ojobchannels.ojob.args.pack_jobs import MANAGER
from ojobchannels.ojob.load.job_file import END, ERROR, START
from ojobchannels.ojob.run.job_context import JobContext, LaunchAttempt, SkipJob
from ojobchannels.ojob.run.manager_binding import Config, ManagerConfig
from ojobchannels.ojob.run.started_runs import record_args

_WAIT_SECONDS: Final = 1.0
_ALONE: Final = (
    "the locks are only in the memory of this process, where no other process sees them: set "
    "`chLocks`, or write `chLocks: {type: simple}` if one process is enough"
)


class ManagerBridge:
    """The object ``manager`` in the code of a bundled pack: the manager of the run, for one job."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._session = context.session

    def init(self, jobs: Config, locks: Config) -> None:
        """Open the channels of the manager."""
        opened = self._session.binding.init(self._context.caller, ManagerConfig(jobs, locks))
        if opened is None:
            return
        if self._session.binding.locks_alone:
            self._context.log("warn", _ALONE)

    def start(self, args: Mapping[str, Any]) -> None:
        """Start a run, or do what `ifRunning` says if another one holds the lock.

        Raises:
            JobLocked: Another run holds the lock.
            RateLimited: The job has started too often.
            SkipJob: Likewise, and the job is to be skipped.
        """
        context, job = self._context, self._context.caller
        pack_args = PackArgs(job, args, MANAGER)
        name, timeout = pack_args.text("name"), pack_args.seconds("timeout", 3_600_000)
        on_timeout = pack_args.value("onTimeout", context.job.on_timeout)
        if on_timeout is None and args.get("timeout") is not None:
            on_timeout = "fail"
        if any(run.name == name for run in context.runs.open()):
            raise JobMisuse(job, f"it has already started {name!r}", f"call {END!r} first")
        manager = self._session.binding.required(job, START)
        options: dict[str, Any] = {
            "timeout": timeout,
            "args": record_args(context.args.values),
            "secret": self._session.file.secrets,
            "on_timeout": "fail" if on_timeout in ("fail", "kill") else "warn",
            "lock_at_least_for": pack_args.seconds("lockAtLeastFor", 0),
            "max_concurrent": pack_args.number("maxConcurrent", 1),
            "rate_limit": pack_args.value("rateLimit"),
        }
        attempt = None
        if context.phase == "from" and not context.runs.started:
            tick, attempt = context.tick, context.attempt
            if context.requested is not None:
                options["extra"] = {"requested": context.requested}
            options["fire_time"] = context.fire_time or (tick and tick.next_run(name))
        overall = self._session.binding.if_running
        if_running = overall or pack_args.value("ifRunning", context.if_running)
        start = self._waited if if_running == "wait" else manager.start
        if attempt is not None:
            options["extra"] = attempt.extra
            start = manager.start if if_running == "skip" else partial(self._start_now, attempt)
        with self._session.interrupts.shield():
            try:
                run = start(name, **options)
                run._notifies = False  # its failure is the job's, whose `catch` is called
                context.add_run(run, on_timeout)
            except RateLimited as limited:
                if if_running == "fail":
                    raise
                raise SkipJob(limited.summary(), recorded=True) from limited
            except LockBusy as busy:
                if if_running == "fail":
                    facts = busy.channel, busy.name, busy.holder, busy.remaining, busy.waited
                    raise JobLocked(*facts, busy.slots) from None
                raise SkipJob(_already_running(busy), recorded=True) from busy

    def _start_now(self, attempt: LaunchAttempt, name: str, **options: Any) -> JobRun:
        """Start a run for a durable launch, which is put back if that is not possible now.

        Raises:
            SkipJob: Another run holds the lock, or the job has started too often.
        """
        manager = self._session.binding.required(self._context.caller, START)
        try:
            return manager.start(name, **options, record_busy=False)
        except (LockBusy, RateLimited) as busy:
            attempt.busy = busy
            raise SkipJob(busy.summary(), recorded=True) from busy

    def _waited(self, name: str, **options: Any) -> JobRun:
        """Start a run once the lock is free.

        Raises:
            LockBusy, RateLimited: The run could not start until the run of the file shut down.
            JobMisuse: A job that called this one holds the lock.
        """
        manager = self._session.binding.required(self._context.caller, START)
        if self._context.runs.open_around(name) >= options["max_concurrent"]:
            reason = f"it would wait forever for {name!r}, which the calling job has started"
            advice = "launch the job, or give it another name"
            raise JobMisuse(self._context.caller, reason, advice)
        while True:
            try:
                with release_slot():
                    return manager.start(name, **options, wait=_WAIT_SECONDS, record_busy=False)
            except (LockBusy, RateLimited):
                if self._session.stopping.is_set():
                    raise

    def end(self, name: object) -> None:
        """End a run that this job has started, as completed."""
        runs = self._context.runs
        with self._session.interrupts.shield(), runs.ending():
            runs.find(END, name).end()

    def error(self, name: object, error: object) -> None:
        """End runs that this job has started as failed: in a `catch` all open ones, else one."""
        context = self._context
        if context.phase == "catch":
            runs = list(context.runs.open())
            cause: object = context.error
        else:
            runs = [context.runs.find(ERROR, name)]
            cause = error or context.error or sys.exc_info()[1] or f"{ERROR!r} was called"
        with self._session.interrupts.shield(), context.runs.ending():
            for run in runs:
                _fail(run, cause if isinstance(cause, BaseException) else str(cause))


def _already_running(busy: LockBusy) -> str:
    expiry = f"its lease expires in {busy.remaining:.1f} s unless renewed"
    return f"{busy.name!r} is already running ({describe_holder(busy.holder)}); {expiry}"


def _fail(run: JobRun, error: BaseException | str) -> None:
    """End a run as failed; its `LockLost` is not raised again if that is the very error."""
    try:
        run.fail(error)
    except LockLost as lost:
        if not isinstance(error, LockLost) or error.name != lost.name:
            raise
