"""The jobs of a file as a daemon runs them for durable launches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from ojobchannels.errors import STORE_ERRORS, LockBusy, RateLimited
from ojobchannels.hookspecs import MISSING
from ojobchannels.manager import JobManager, JobRun, Launch
from ojobchannels.manager.durable_launches.launchable import NotNow
from ojobchannels.manager.durable_launches.worker import LaunchWorker
from ojobchannels.manager.local_launches.launcher import DidNotRun
from ojobchannels.manager.records import Record
from ojobchannels.masking import mask_text
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.load.job_file import Job, JobFile
from ojobchannels.ojob.report.outcomes import Outcome
from ojobchannels.ojob.run.job_call import JobCall
from ojobchannels.ojob.run.launches import INTERRUPTED
from ojobchannels.ojob.run.session import Session
from ojobchannels.recipes.retry_policy import RetryPolicy

_STOP_SECONDS: Final = 5.0


class FileAttempt:
    """One attempt at a durable launch of a job of the file.

    Attributes:
        extra: The fields for the record of its run.
        busy: Why its run could not start now; None otherwise.
        call: The call of the job.
    """

    def __init__(self, call: JobCall, extra: Mapping[str, Any]) -> None:
        self.extra: Mapping[str, Any] = extra
        self.busy: LockBusy | RateLimited | None = None
        self.call = call
        self.on_begin: Callable[[], None] = lambda: None
        self._run: JobRun | None = None
        self._has_begun = False
        self._end: tuple[str, dict[str, Any]] = "new", {}

    def begin(self, run: JobRun | None) -> None:
        """Count the attempt, with its run if the job has started one; only the first call does."""
        if not self._has_begun:
            self._has_begun, self._run, self._end = True, run, ("running", {})
            self.on_begin()
            self.call.report_started()

    @property
    def run_id(self) -> str | None:
        """The identifier of its record; None if the job keeps none."""
        return None if self._run is None else self._run.run_id

    @property
    def status(self) -> str:
        """The status in its record; ``new`` until it has begun."""
        return self._end[0] if self._run is None else self._run.status

    @property
    def record(self) -> Record:
        """Its record; empty if the job keeps none."""
        return self._end[1] if self._run is None else self._run.record

    def end(self, outcome: Outcome) -> None:
        """Take note of the end of the call.

        Raises:
            LockBusy: The job is running elsewhere.
            RateLimited: Its run may start at a later time.
            NotNow: Nothing has begun, since the daemon is stopping.
            DidNotRun: The job was skipped.
            BaseException: The job has failed.
        """
        if self.busy is not None:
            raise self.busy
        if outcome.status == "skipped":
            if not self._has_begun and self.call.session.stopping.is_set():
                raise NotNow(INTERRUPTED)
            self._end = "skipped", {}
            raise DidNotRun("skipped", outcome.reason or "")
        if (error := outcome.error) is None:
            self._end = "completed", {}
            return
        if not (self._has_begun or isinstance(error, STORE_ERRORS)):
            self.begin(None)
        if self._has_begun:
            text = mask_text(outcome.reason or "", outcome.secrets)
            self._end = "failed", {"error": text}
        raise error


class LaunchedJob:
    """A job of the file that is launched durably.

    Args:
        session: The run of the job file.
        job: The job.
    """

    _retries = 0
    _skips = False  # what `ifRunning` says is done where the run starts

    def __init__(self, session: Session, job: Job) -> None:
        self.name = job.name
        self._session = session
        self._job = job

    @property
    def _max_concurrent(self) -> int:
        """The number of its runs that may be active at a time: its args may give them names."""
        return self._session.file.settings.num_threads

    @property
    def _secret_args(self) -> Collection[str]:
        return self._session.file.secrets

    def _new_launched_run(
        self, args: Mapping[str, Any], attempt: int, retries: int, launch_id: str
    ) -> FileAttempt:
        """Return the run of one attempt."""
        extra: dict[str, Any] = {"launchId": launch_id}
        if retries:
            extra["attempt"] = attempt
        if attempt <= retries:
            extra["retryIn"] = round(self._pause_after(attempt) * 1000)
        call = JobCall(self._session, self._job, [self._session.command_line, Layer(args, False)])
        call.attempt = made = FileAttempt(call, extra)
        return made

    def _attempt(
        self,
        run: FileAttempt,
        args: Mapping[str, Any],  # noqa: ARG002  the call has them
        begun: Callable[[], None],
        returned: Callable[[Any], None],
        *,
        is_last: bool,  # noqa: ARG002  its end releases the lock of the run
    ) -> None:
        """Make one attempt; what is under `catch` runs after each failure."""
        call, session = run.call, self._session
        if session.stopping.is_set():
            raise NotNow(INTERRUPTED)
        run.on_begin = begun
        call.launch = Launch(self.name)
        try:
            with session.launches.running(call):
                outcome = call.run()
        finally:
            if call.returned is not MISSING:
                returned(call.returned)
        run.end(outcome)

    def _pause_after(self, attempt: int) -> float:
        return RetryPolicy().pause_after(attempt)

    def _report_failed(self, record: Record) -> None:
        """Report nothing: what is under `catch` was called."""


class LaunchedJobs:
    """The jobs of the file whose durable launches a daemon takes: not those whose deps failed.

    Args:
        session: Returns the run of the job file, with the latest version of the file.
    """

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session
        self._known: tuple[JobFile, tuple[str, ...]] | None = None

    def names(self) -> tuple[str, ...]:
        """Return their names."""
        session = self._session()
        if self._known is None or self._known[0] is not session.file:
            names = tuple(name for name in session.jobs if _is_launchable(session, name))
            self._known = session.file, names
        return self._known[1]

    def get(self, name: str) -> LaunchedJob:
        """Return the job of a name.

        Raises:
            UnknownJob: The file has no job of that name.
        """
        session = self._session()
        return LaunchedJob(session, session.find(name))


def _is_launchable(session: Session, name: str) -> bool:
    deps = session.file.deps_of(name)
    return not session.jobs[name].bundled and session.progress.blocked_reason(deps) is None


class LaunchTaker:
    """Takes durable launches of the jobs of the file, from when the manager is open.

    Args:
        session: Returns the run of the job file, with the latest version of the file.
    """

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session
        self._jobs = LaunchedJobs(session)
        self._worker: LaunchWorker | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start to take launches, unless that was done or the manager is not open yet.

        Raises:
            NoThread: The system refuses the thread.
        """
        manager = self._session().binding.manager
        with self._lock:
            if manager is not None and self._worker is None and not self._stopped:
                self._worker = self._started(manager)

    def _started(self, manager: JobManager) -> LaunchWorker:
        launches = self._session().launches
        worker = LaunchWorker(
            manager._store,
            self._jobs,
            manager,
            lambda: launches.capacity,
            lambda name, call: launches.run_on_pool(name, lambda _: call()),
        )
        worker.start()
        return worker

    def stop(self) -> None:
        """Take no more launches; those that run continue."""
        with self._lock:
            self._stopped = True
        if self._worker is not None:
            self._worker.stop()

    def close(self) -> None:
        """Likewise, and wait for the thread, unless the store does not react."""
        self.stop()
        if self._worker is not None:
            self._worker.close(_STOP_SECONDS)
