"""JobRun: one execution of a job, under its lock and with its record."""

import functools
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Token
from typing import Any, Literal

from ojobchannels import errors
from ojobchannels.channels.acquire import new_token
from ojobchannels.channels.keepalive.scheduler import KEEP_ALIVE
from ojobchannels.channels.lease import Lease
from ojobchannels.manager import records
from ojobchannels.manager.actions.cancel import Cancellable
from ojobchannels.manager.output import OutputLevel
from ojobchannels.manager.output.buffer import OutputBuffer
from ojobchannels.manager.output.current import CAPTURE, make_current, restore_current
from ojobchannels.manager.output.lines import LEVELS
from ojobchannels.manager.run_record import RunRecord, sealed
from ojobchannels.manager.runs import dead_runs
from ojobchannels.manager.runs.run_end import (
    lost_because,
    release,
    write_end,
    write_failure,
    write_skip,
)
from ojobchannels.manager.runs.run_options import RunManager, RunOptions
from ojobchannels.manager.runs.run_start import RunStart
from ojobchannels.masking import masked

_log = logging.getLogger("ojobchannels.jobs")


class JobRun(Cancellable):
    """One run of a job, made by `JobManager.run`; a ``with`` block starts and ends it.

    Attributes:
        name: The name of the job and of its lock.
        run_id: The unique identifier of the run.
        timeout: The timeout in seconds.
        lease: The lease of the lock, once the run has started.
        record: The record as last written.
        cancellation: Who has cancelled it, and why; or None.
        output: What it has logged and printed, until that is stored.
        keeps_lock: Whether its end keeps the lock for `lock_at_least_for`.
        notifies: Whether its failure is reported to the manager's `on_failure`.

    Example:
        >>> import ojobchannels as oc
        >>> manager = oc.JobManager()
        >>> with manager.run("daily-report", timeout=3600) as run:
        ...     run.update(progress=0.5)
        >>> manager.runs("daily-report")[0]["status"]
        'completed'
    """

    lease: Lease
    record: RunRecord
    output: OutputBuffer | None = None
    _keeps_lock = True
    _notifies = True

    def __init__(self, manager: RunManager, name: str, options: RunOptions) -> None:
        self.manager = manager
        self.name = name
        self.timeout = options.timeout
        self.run_id = new_token()
        self._options = options
        self._began = 0
        self._state: Literal["new", "open", "over"] = "new"
        self._process = 0
        self._acquired: Callable[[], Lease] | None = None
        self._lock = threading.RLock()
        self._context: Token[JobRun | None] | None = None
        super().__init__()

    @property
    def open(self) -> bool:
        """Whether it has started and not ended, in this process and not before a fork."""
        return self._state == "open" and self._process == os.getpid()

    @property
    def fence(self) -> int:
        """The fence of its lease; pass it to writes that only the holder of the lock may do."""
        return self.lease.fence

    @property
    def status(self) -> str:
        """The status in the record; ``new`` while there is no record."""
        return "new" if self._state == "new" else str(self.record["status"])

    def start(self) -> "JobRun":
        """Acquire the lock and write a record with status running.

        Raises:
            LockBusy: The job is running elsewhere; this run is recorded as skipped.
            RateLimited: The job has started too often; this run is recorded as skipped.
            FireTimeTaken: Another run has claimed the fire time; no record is written.
        """
        if self._state != "new":
            raise errors.RunNotStarted("start", self.name)
        self.manager._before_start()
        start = RunStart(self.manager, self.name, self.run_id, self._options)
        lease: Lease | None = None
        try:
            start.check_unclaimed()
            lease = self.lease = self._acquire(start)
            dead_runs.close_previous(self.manager, self.name, lease)
            self._open(start, lease)
        except BaseException as error:
            recorded = lease is not None and self._abort(error)
            if lease is not None and not recorded:
                self._state = "new"
                start.withdraw(lease.fence)
            if not recorded and self._notifies:
                run = self.name, self.run_id, self._options.args
                self.manager._report_not_started(*run, error)
            raise
        return self

    def _start_with(self, acquired: Callable[[], Lease]) -> None:
        """Start like `start`, for a caller that waited for the lock, with `_lock_options`.

        Args:
            acquired: Returns the lease, or raises LockBusy.
        """
        self._acquired = acquired
        self.start()

    def _lock_options(self) -> dict[str, Any]:
        """Return the arguments for its lock, beside its name and `wait`."""
        start = RunStart(self.manager, self.name, self.run_id, self._options)
        return start.lock_options(self._on_lost())

    def end(self) -> None:
        """Record the run as completed, then release the lock.

        Raises:
            RunNotStarted: The run is not open.
            LockLost: The lock was lost; the run is recorded as lost.
            JobTimeout: The timeout is exceeded and `on_timeout` is ``fail``; the run is recorded as
                failed.
        """
        self._check_open("end")
        if self._is_overdue():
            error = errors.JobTimeout(self.name, self.timeout)
            self._finish("failed", error)
            raise error
        self._finish("completed", None)

    def fail(self, error: BaseException | str) -> None:
        """Record the run as failed, with the error and its traceback; otherwise like `end`."""
        self._finish("failed", error)

    def skip(self, reason: str) -> None:
        """Record the run among those that did not begin, as skipped; otherwise like `fail`."""
        self._finish("skipped", None, reason=reason)

    def update(self, **fields: Any) -> None:
        """Write your own fields, such as ``progress=0.5``, into the record of the open run.

        Raises:
            RunNotStarted: The run is not open.
            LockLost: The lock was lost; the record is not changed.
            InvalidOption: A field is set by the manager.
        """
        records.check_fields(fields)
        with self._lock:
            self._check_open("update")
            self.lease.check()
            jobs, running = self.manager.jobs, {"status": "running"}
            changed = records.amend(jobs, self.record, masked(fields), running, self.fence)
            if changed is None:
                raise lost_because(self.lease, "its record was closed or removed")
            self.record = sealed(changed)

    def log(self, text: str, level: OutputLevel = "info") -> None:
        """Add lines to the output of the run.

        What code logs with `logging` or prints, in the thread and within the ``with`` block of the
        run, is added without this.

        Raises:
            InvalidOption: The level is not known.
        """
        if level not in LEVELS:
            raise errors.InvalidOption(
                "level", f"{level!r} is not known", f"pass {', '.join(LEVELS)}"
            )
        if self.output is not None:
            self.output.add(level, text)

    def check(self) -> None:
        """Return if the run may continue; call it regularly in long work.

        Raises:
            RunNotStarted: The run is not open.
            LockLost: The lock was lost.
            RunCancelled: An operator has cancelled the run.
            JobTimeout: The timeout is exceeded and `on_timeout` is ``fail``.
        """
        self._check_open("check")
        self.lease.check()
        self._check_cancelled()
        if self._is_overdue():
            raise errors.JobTimeout(self.name, self.timeout)

    def _give_up(self, error: BaseException) -> None:
        """Release the lock of a run whose end could not be recorded, and add a note to `error`.

        If the run is not open, do nothing.
        """
        if not self.open:
            return
        self._close()
        try:
            self.lease.release()
            outcome = "was released"
        except errors.ChannelError:
            outcome = "will expire"
        errors.add_note(error, f"run {self.run_id} will be shown as abandoned; its lock {outcome}")

    def __enter__(self) -> "JobRun":
        try:
            if self.open:
                self.lease.check()
            elif self._state != "open":
                self.start()
            self._context = make_current(self)
        except BaseException as error:
            if self.open and not isinstance(error, errors.ChannelError):
                self._abort(error)
            raise
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            context, self._context = self._context, None
            if context is not None:
                restore_current(context)
            if self.open:
                self._end_after(error)
        except BaseException as failure:
            if not isinstance(failure, Exception) and self._process == os.getpid():
                self._abort(failure if error is None else error)
            raise

    def __repr__(self) -> str:
        return f"<JobRun {self.name!r} {self.run_id} {self.status}>"

    def _acquire(self, start: RunStart) -> Lease:
        try:
            return start.acquire(self._on_lost(), self._acquired)
        except (errors.LockBusy, errors.RateLimited) as busy:
            if self._options.record_busy:
                self._state = "over"
                self.record = sealed(start.begun("skipped"))
                self.record = sealed(start.record_skipped(self.record, busy.summary()))
            raise

    def _open(self, start: RunStart, lease: Lease) -> None:
        self._began = lease.channel.clock.now()
        self.record = sealed(start.record_running(lease))
        self.output = self.manager._new_output(self.record, self._options.secrets)
        self._state = "open"
        self._process = os.getpid()
        self.manager._set_open(self, True)
        CAPTURE.begin(self)
        self._set_alarm()
        self.manager._report_run(self.record, notifies=False)

    def _end_after(self, error: BaseException | None) -> None:
        try:
            self.end() if error is None else self.fail(error)
        except Exception as failure:
            self._give_up(failure)
            if error is None:
                raise
            notes = errors.notes_of(failure)
            text = f"and at the end of the run: {errors.safe_str(failure)}"
            errors.add_note(error, "\n".join((text, *notes)))

    def _abort(self, error: BaseException) -> bool:
        """Close the run after an exception that may have interrupted its start or its end.

        Returns:
            Whether there is a record of the run.
        """
        recorded = False
        with suppress(Exception):
            run = self.name, self.run_id, self.fence
            record = write_failure(
                self.manager.jobs, *run, self._elapsed(), error, self._options.secrets
            )
            if record is not None:
                self.record, recorded = sealed(record), True
        self._close()
        with suppress(Exception):
            self.lease.release()
        if recorded:
            self.manager._report_run(self.record, notifies=self._notifies)
        return recorded

    def _set_alarm(self) -> None:
        if self._options.on_timeout != "continue":
            due = self._began + round(self.timeout * 1e6)
            KEEP_ALIVE.set_alarm(self, self.lease.channel.clock, due, self._log_overdue)

    def _log_overdue(self) -> None:
        fields = {"run_name": self.name, "runId": self.run_id}
        _log.warning(
            "job %r has exceeded its timeout of %g s", self.name, self.timeout, extra=fields
        )

    def _is_overdue(self) -> bool:
        return self._options.on_timeout == "fail" and self._ran() >= self.timeout * 1e6

    def _on_lost(self) -> Callable[[Lease], None]:
        # Not a method: a run and its lease that refer to each other are garbage to be searched for.
        return functools.partial(_log_lost, self.name, self.run_id)

    def _finish(self, status: str, error: BaseException | str | None, **more: Any) -> None:
        with self._lock:
            self._check_open("end")
            if self.cancellation is not None and status == "failed":
                status, error = "cancelled", self.cancellation.caused(self.name, self.run_id, error)
            start = self.record["startTime"]
            ending = (
                records.ending(start, status, self._elapsed(), error, self._options.secrets) | more
            )
            jobs = self.manager.jobs
            try:
                if status == "skipped":
                    state = self.manager.state
                    record, lost = write_skip(jobs, state, self.lease, self.record, ending)
                else:
                    record, lost = write_end(jobs, self.lease, self.record, ending)
            except Exception as failure:
                ended = f"run {self.run_id} of job {self.name!r} has ended ({status})"
                errors.add_note(failure, f"{ended}, but its record still says that it is running")
                raise
            self.record = sealed(record)
            self._close()
        try:
            if lost is not None:
                raise lost
            keeps = self._keeps_lock and status != "skipped"
            kept = self._options.lock_at_least_for if keeps else 0
            release(self.lease, kept and kept - self._elapsed() / 1000)
        finally:
            self.manager._report_run(self.record, notifies=self._notifies)

    def _elapsed(self) -> int:
        return max(self._ran(), 0) // 1000

    def _ran(self) -> int:
        return self.lease.channel.clock.now() - self._began

    def _check_open(self, what: str) -> None:
        if not self.open:
            raise errors.RunNotStarted(what, self.name)

    def _stop_capture(self) -> None:
        """Keep no more of what the code prints and logs."""
        CAPTURE.end(self)
        if self.output is not None:
            self.output.end()

    def _close(self) -> None:
        self._stop_capture()
        self._state = "over"
        KEEP_ALIVE.drop_alarm(self)
        KEEP_ALIVE.drop(self.lease)
        self.manager._set_open(self, False)


def _log_lost(name: str, run_id: str, _: Lease) -> None:
    _log.error(
        "job %r lost its lock while running (run %s): it must stop, another run may start now",
        name,
        run_id,
        extra={"run_name": name, "runId": run_id},
    )
