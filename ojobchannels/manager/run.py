"""JobRun: one execution of a job, under its lock and with its record."""

from __future__ import annotations

import copy
import logging
import os
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from ojobchannels.errors import (
    ChannelError,
    InvalidOption,
    JobTimeout,
    LockBusy,
    LockLost,
    RunNotStarted,
    StaleFence,
)
from ojobchannels.keepalive import KEEPER
from ojobchannels.leases import Lease
from ojobchannels.manager import records
from ojobchannels.manager.records import Record

if TYPE_CHECKING:
    from ojobchannels.manager.core import JobManager

OnTimeout: TypeAlias = Literal["warn", "fail", "continue"]

_log = logging.getLogger("ojobchannels.jobs")
_LONGEST_LEASE = 60.0
_current: ContextVar[JobRun | None] = ContextVar("current_run", default=None)


def current_run() -> JobRun | None:
    """Returns the run that this code works for, or None.

    It is the one whose ``with`` block or job function the code is in; in a job of a job file, the
    one that it started last and that has not ended.
    """
    return _current.get()


def make_current(run: JobRun | None) -> None:
    """Has `current_run` answer `run` from now on, where no ``with`` stands around the code."""
    _current.set(run)


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
        """
        if self._state != "new":
            raise RunNotStarted("start", self.name)
        self.lease = self._take_lock()
        try:
            self._clear_up_after(self.lease.previous)
            running = {
                **records.begun(self.name, self.run_id, "running", self._args),
                **self._extra,
                "fence": self.lease.fence,
                "timeout": round(self.timeout * 1000),
            }
            self.record = records.add(
                self.manager.jobs, running, records.start_of(self.lease.fence)
            )
        except BaseException:
            with suppress(ChannelError):
                self.lease.release()
            raise
        self._state = "open"
        self._process = os.getpid()
        self.manager.took_up(self)
        self._set_alarm()
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
        check_fields(fields)
        with self._lock:
            self._check_open("update")
            self.lease.check()
            jobs, key = self.manager.jobs, records.key_of(self.record)
            changed = {**self.record, **(jobs.get(key) or {}), **copy.deepcopy(fields)}
            running = {"runId": self.run_id, "status": "running"}
            if jobs.get_set(running, key, changed, fence=self.fence) is None:
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

    def __enter__(self) -> JobRun:
        if self.open:
            self.lease.check()
        elif self._state != "open":
            self.start()
        self._context = _current.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        context, self._context = self._context, None
        if context is not None:
            _current.reset(context)
        if not self.open:
            return
        try:
            self.end() if error is None else self.fail(error)
        except Exception as trouble:
            self._let_go()
            if error is None:
                raise
            error.add_note(f"and at the end of the run: {trouble}")

    def __repr__(self) -> str:
        return f"<JobRun {self.name!r} {self.run_id} {self.status}>"

    def _take_lock(self) -> Lease:
        ttl = min(self.timeout, _LONGEST_LEASE) if self._keep_alive else self.timeout
        try:
            return self.manager.locks.lock(
                self.name,
                ttl=ttl,
                wait=self._wait,
                keep_alive=self._keep_alive,
                on_lost=self._tell_lost,
                holder={"job": self.name, "run": self.run_id},
            )
        except LockBusy as busy:
            self._state = "over"
            self.record = self.manager.record_not_run(
                self.name, "skipped", busy.told(), self._args, run_id=self.run_id
            )
            raise

    def _clear_up_after(self, previous: Mapping[str, Any] | None) -> None:
        if previous is None:
            return
        record = records.find(self.manager.jobs, previous, previous["fence"])
        if record is not None and records.abandon(self.manager.jobs, record, self.lease.fence):
            _log.warning(
                "the last run of job %r was abandoned: its process ended without a word (run %s)",
                self.name,
                record["runId"],
            )

    def _set_alarm(self) -> None:
        clock = self.lease.channel.clock
        self._began = clock.now()
        if self._on_timeout != "continue":
            KEEPER.set_alarm(self, clock, self._began + round(self.timeout * 1e6), self._warn)

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
            elapsed = max(self.lease.channel.clock.now() - self._began, 0) // 1000
            over = records.ended(self.record, status, elapsed, error) | more
            lost = self._loss()
            if lost is None:
                try:
                    self.manager.jobs.set(records.key_of(over), over, fence=self.fence)
                except StaleFence:
                    lost = self._lost_because("it was taken over")
                else:
                    self.record = over
            if lost is not None:
                self._record_loss(over, lost)
            self._close()
        if lost is not None:
            raise lost
        self.lease.release()

    def _loss(self) -> LockLost | None:
        try:
            self.lease.check()
        except LockLost as lost:
            return lost
        if records.is_live(self.record, self.manager.locks.lock_info(self.name)):
            return None
        return self._lost_because("somebody else holds the lock, or unlocked it")

    def _lost_because(self, reason: str) -> LockLost:
        return LockLost(self.lease.channel.name, self.name, self.fence, reason)

    def _record_loss(self, over: Record, lost: LockLost) -> None:
        jobs = self.manager.jobs
        for status in ("running", "abandoned"):
            present = jobs.get(records.key_of(over)) or self.record
            told = {**present, **over, "status": "lost", "inError": True}
            told["error"] = over.get("error", str(lost))
            mine = {"runId": self.run_id, "status": status}
            if jobs.get_set(mine, records.key_of(over), told) is not None:
                self.record = told
                return

    def _check_open(self, what: str) -> None:
        if not self.open:
            raise RunNotStarted(what, self.name)

    def _close(self) -> None:
        self._state = "over"
        KEEPER.drop_alarm(self)
        KEEPER.drop(self.lease)
        self.manager.let_go(self)

    def _let_go(self) -> None:
        if self._state == "open":
            self._close()
            try:
                self.lease.release()
            except ChannelError:
                _log.warning("the lock of job %r is left to its ttl", self.name)


def check_on_timeout(on_timeout: OnTimeout) -> OnTimeout:
    """Refuses what is none of the ways to treat a run beyond its timeout."""
    if on_timeout not in get_args(OnTimeout):
        raise InvalidOption("on_timeout", repr(on_timeout), "give warn, fail or continue")
    return on_timeout


def check_fields(fields: Mapping[str, Any]) -> None:
    """Refuses fields that a record has of its own."""
    reserved = next((one for one in records.FIELDS if one in fields), None)
    if reserved is not None:
        raise InvalidOption("field", f"{reserved!r} is the record's own", "use another name")
