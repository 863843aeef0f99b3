"""JobRun: one execution of a job, under its lock and with its record."""

from __future__ import annotations

import copy
import functools
import logging
import os
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from ojobchannels.channels.keepalive import KEEP_ALIVE, TAKEN_OVER
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import (
    ChannelError,
    FireTimeTaken,
    InvalidOption,
    JobTimeout,
    LockBusy,
    LockLost,
    RunNotStarted,
    StaleFence,
)
from ojobchannels.manager import fire_times, records
from ojobchannels.manager.current import CURRENT
from ojobchannels.manager.records import Record

if TYPE_CHECKING:
    from ojobchannels.manager.manager import JobManager

OnTimeout: TypeAlias = Literal["warn", "fail", "continue"]

_log = logging.getLogger("ojobchannels.jobs")
_LONGEST_LEASE = 60.0
_SETTLED = 0.25
"""Seconds after which who holds a lock for a fire time has seen whether that is still free."""


class JobRun:
    """One run of a job; `JobManager.run` makes it, ``with`` starts and ends it.

    Attributes:
        manager: The manager that it belongs to.
        name: The job, and the lock's name.
        run_id: Identifies this run for ever.
        timeout: Seconds that it may take.
        lease: Its lease, once started.
        record: Its record as last written.

    Example:
        >>> import ojobchannels as oc
        >>> manager = oc.JobManager()
        >>> with manager.run("daily-report", timeout=3600) as run:
        ...     run.update(progress=0.5)
        >>> manager.runs("daily-report")[0]["status"]
        'completed'
    """

    lease: Lease
    record: Record

    def __init__(
        self,
        manager: JobManager,
        name: str,
        timeout: float,
        args: Mapping[str, Any] | None,
        wait: float | None,
        keep_alive: bool,
        on_timeout: OnTimeout,
        extra: Mapping[str, Any],
        fire_time: int | None = None,
        record_busy: bool = True,
    ) -> None:
        self.manager = manager
        self.name = name
        self.timeout = timeout
        self.run_id = uuid.uuid4().hex
        self._args = copy.deepcopy(dict(args or {}))
        self._wait = wait
        self._keep_alive = keep_alive
        self._on_timeout = on_timeout
        self._extra = dict(extra)
        self._fire_time = fire_time
        self._record_busy = record_busy
        self._began = 0
        self._state: Literal["new", "open", "over"] = "new"
        self._process = 0
        self._lock = threading.RLock()
        self._context: Token[JobRun | None] | None = None

    @property
    def open(self) -> bool:
        """Whether it has started and not ended; a forked child has no part in its parent's run."""
        return self._state == "open" and self._process == os.getpid()

    @property
    def fence(self) -> int:
        """The fence of its lease; give it to the writes that this job alone may do."""
        return self.lease.fence

    @property
    def status(self) -> str:
        """The status in its record, ``new`` while there is none."""
        return "new" if self._state == "new" else str(self.record["status"])

    def start(self) -> JobRun:
        """Takes the lock and writes the record of a running run.

        Raises:
            LockBusy: The job runs elsewhere; a record says that this run was skipped.
            FireTimeTaken: Another run has taken the fire time; no record is written.
        """
        if self._state != "new":
            raise RunNotStarted("start", self.name)
        due = self._fire_time
        if due is not None and not fire_times.is_unclaimed(self.manager, self.name, due):
            raise FireTimeTaken(self.name, due)
        lease: Lease | None = None
        try:
            lease = self.lease = self._take_lock()
            self._clear_up_after(lease.previous)
            self._open(lease)
        except BaseException as error:
            if lease is not None and not self._cut_off(error):
                self._state = "new"
                if due is not None:
                    fire_times.release(self.manager.state, self.name, due, self.run_id)
            raise
        return self

    def end(self) -> None:
        """Records the run as completed, then releases the lock.

        Raises:
            RunNotStarted: It is not open.
            LockLost: The lease was lost before; the record says so, and the lock is left alone.
            JobTimeout: It took too long and `on_timeout` is ``fail``; the record says so.
        """
        self._check_open("end")
        if self._is_overdue():
            error = JobTimeout(self.name, self.timeout)
            self._finish("failed", error)
            raise error
        self._finish("completed", None)

    def fail(self, error: BaseException | str) -> None:
        """Records the run as failed, with the error and its traceback, then releases the lock.

        Raises:
            RunNotStarted: It is not open.
            LockLost: The lease was lost before; the record says so, and the lock is left alone.
        """
        self._finish("failed", error)

    def skip(self, reason: str) -> None:
        """Records that the job did not run after all, and why, then releases the lock.

        Raises:
            RunNotStarted: It is not open.
            LockLost: The lease was lost before; the record says so, and the lock is left alone.
        """
        self._finish("skipped", None, reason=reason)

    def update(self, **fields: Any) -> None:
        """Writes fields of your own, such as ``progress=0.5``, into the record of the open run.

        Raises:
            RunNotStarted: It is not open.
            LockLost: Its lease is over; the record is left as it is.
            InvalidOption: A field is the record's own.
        """
        records.check_fields(fields)
        with self._lock:
            self._check_open("update")
            self.lease.check()
            jobs, running = self.manager.jobs, {"status": "running"}
            changed = records.amend(jobs, self.record, copy.deepcopy(fields), running, self.fence)
            if changed is None:
                raise self._lost_because("its record was closed or removed")
            self.record = changed

    def check(self) -> None:
        """Returns if the run may go on; call it now and then in long work.

        Raises:
            LockLost: Its lease is over.
            JobTimeout: It took too long and `on_timeout` is ``fail``.
        """
        self._check_open("check")
        self.lease.check()
        if self._is_overdue():
            raise JobTimeout(self.name, self.timeout)

    def give_up(self, trouble: BaseException) -> None:
        """Gives back the lock of a run whose end could not be recorded, and notes it on `trouble`.

        Nothing happens if the run is not open.
        """
        if not self.open:
            return
        self._close()
        try:
            self.lease.release()
            freed = "was given back"
        except ChannelError:
            freed = "is left to its ttl"
        trouble.add_note(f"run {self.run_id} will be told as abandoned; its lock {freed}")

    def __enter__(self) -> JobRun:
        try:
            if self.open:
                self.lease.check()
            elif self._state != "open":
                self.start()
            self._context = CURRENT.set(self)
        except BaseException as error:
            if self.open and not isinstance(error, ChannelError):
                self._cut_off(error)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            context, self._context = self._context, None
            if context is not None:
                CURRENT.reset(context)
            if self.open:
                self._end_after(error)
        except BaseException as trouble:
            if not isinstance(trouble, Exception) and self._process == os.getpid():
                self._cut_off(error or trouble)
            raise

    def __repr__(self) -> str:
        return f"<JobRun {self.name!r} {self.run_id} {self.status}>"

    def _take_lock(self) -> Lease:
        ttl = min(self.timeout, _LONGEST_LEASE) if self._keep_alive else self.timeout
        lock = functools.partial(
            self.manager.locks.lock,
            self.name,
            ttl=ttl,
            keep_alive=self._keep_alive,
            on_lost=self._tell_lost,
            holder={"job": self.name, "run": self.run_id, **self._due()},
        )
        try:
            try:
                return lock(wait=self._wait)
            except LockBusy as busy:
                if self._fire_time is None:
                    raise
                self._check_whether_it_is_this(busy)
            return lock(wait=_SETTLED)
        except LockBusy as busy:
            self._check_whether_it_is_this(busy)
            if self._record_busy:
                self._state = "over"
                self.record = records.begun(self.name, self.run_id, "skipped", self._args)
                try:
                    self.record = self.manager.record_not_run(
                        self.name,
                        "skipped",
                        busy.summary(),
                        self._args,
                        self.run_id,
                        self._fire_time,
                    )
                except ChannelError as trouble:
                    if self._fire_time is not None:  # it is there for whoever tries again
                        raise
                    _log.warning("no record tells that job %r was skipped: %s", self.name, trouble)
            raise

    def _check_whether_it_is_this(self, busy: LockBusy) -> None:
        """Refuses to count a fire time as skipped that is the very one that the holder runs."""
        if self._fire_time is not None and busy.holder.get("fireTime") == self._fire_time:
            raise FireTimeTaken(self.name, self._fire_time) from busy

    def _due(self) -> Record:
        return {} if self._fire_time is None else records.due(self._fire_time)

    def _open(self, lease: Lease) -> None:
        self._began = lease.channel.clock.now()
        running = {
            **records.begun(self.name, self.run_id, "running", self._args),
            **self._extra,
            **self._due(),
            "fence": lease.fence,
            "timeout": round(self.timeout * 1000),
        }
        if self._fire_time is not None:
            fire_times.claim(self.manager.state, self.name, self._fire_time, self.run_id)
        self.record = self.manager.record_start(running)
        self._state = "open"
        self._process = os.getpid()
        self.manager.add_open_run(self)
        self._set_alarm()

    def _end_after(self, error: BaseException | None) -> None:
        try:
            self.end() if error is None else self.fail(error)
        except Exception as trouble:
            self.give_up(trouble)
            if error is None:
                raise
            notes = getattr(trouble, "__notes__", ())
            error.add_note("\n".join((f"and at the end of the run: {trouble}", *notes)))

    def _cut_off(self, error: BaseException) -> bool:
        """Closes what an exception of a signal handler, or of the system, has left half done.

        Returns:
            Whether there is a record that tells of the run.
        """
        recorded = False
        with suppress(Exception):
            jobs, fence = self.manager.jobs, self.fence
            there = records.look_up(jobs, self.name, self.run_id, fence)
            if there is not None:
                failed = records.ending(there["startTime"], "failed", self._elapsed(), error)
                amended = records.amend(jobs, there, failed, {"status": "running"}, fence)
                self.record = amended or there
                recorded = True
        self._close()
        with suppress(Exception):
            self.lease.release()
        return recorded

    def _clear_up_after(self, previous: Mapping[str, Any] | None) -> None:
        if previous is None:
            return
        record = records.find(self.manager.jobs, previous, previous["fence"])
        if record is None and "fireTime" in previous:
            record = fire_times.add_missing(self.manager, self.name, previous)
        if record is not None and records.abandon(self.manager.jobs, record, self.lease.fence):
            _log.warning(
                "the last run of job %r was abandoned: its process ended without a word (run %s)",
                self.name,
                record["runId"],
            )

    def _set_alarm(self) -> None:
        clock = self.lease.channel.clock
        if self._on_timeout != "continue":
            KEEP_ALIVE.set_alarm(self, clock, self._began + round(self.timeout * 1e6), self._warn)

    def _is_overdue(self) -> bool:
        ran = self.lease.channel.clock.now() - self._began
        return self._on_timeout == "fail" and ran >= self.timeout * 1e6

    def _warn(self) -> None:
        _log.warning("job %r runs longer than its timeout of %g s", self.name, self.timeout)

    def _tell_lost(self, _: Lease) -> None:
        _log.error(
            "job %r lost its lock while running (run %s): it must stop, another may run now",
            self.name,
            self.run_id,
        )

    def _finish(self, status: str, error: BaseException | str | None, **more: Any) -> None:
        with self._lock:
            self._check_open("end")
            start = self.record["startTime"]
            over = records.ending(start, status, self._elapsed(), error) | more
            try:
                lost = self._loss() or self._record_end(over)
                if lost is not None:
                    self._record_loss(over, lost)
            except Exception as trouble:
                said = f"run {self.run_id} of job {self.name!r} is over ({status})"
                trouble.add_note(f"{said}, but its record still says that it is running")
                raise
            self._close()
        if lost is not None:
            raise lost
        try:
            self.lease.release()
        except LockLost as late:
            _log.warning("job %r had ended (%s) when its lock went: %s", self.name, status, late)

    def _elapsed(self) -> int:
        return max(self.lease.channel.clock.now() - self._began, 0) // 1000

    def _record_end(self, over: Record) -> LockLost | None:
        ended = {**self.record, **over}
        try:
            self.manager.jobs.set(records.key_of(ended), ended, fence=self.fence)
        except StaleFence:
            return self._lost_because("it was taken over")
        self.record = ended
        return None

    def _loss(self) -> LockLost | None:
        try:
            self.lease.check()
        except LockLost as lost:
            return lost
        if records.is_live(self.record, self.manager.locks.lock_info(self.name)):
            return None
        return self._lost_because(TAKEN_OVER)

    def _lost_because(self, reason: str) -> LockLost:
        return LockLost(self.lease.channel.name, self.name, self.fence, reason)

    def _record_loss(self, over: Record, lost: LockLost) -> None:
        told = over | {"status": "lost", "inError": True, "error": over.get("error", str(lost))}
        for status in ("running", "abandoned"):
            written = records.amend(self.manager.jobs, self.record, told, {"status": status})
            if written is not None:
                self.record = written
                return
        self.record = {**self.record, **told}

    def _check_open(self, what: str) -> None:
        if not self.open:
            raise RunNotStarted(what, self.name)

    def _close(self) -> None:
        self._state = "over"
        KEEP_ALIVE.drop_alarm(self)
        KEEP_ALIVE.drop(self.lease)
        self.manager.remove_open_run(self)


def check_on_timeout(on_timeout: OnTimeout) -> OnTimeout:
    """Refuses what is none of the ways to treat a run beyond its timeout."""
    if on_timeout not in get_args(OnTimeout):
        raise InvalidOption("on_timeout", repr(on_timeout), "give warn, fail or continue")
    return on_timeout
