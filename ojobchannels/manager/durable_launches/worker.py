"""The worker of a process: it takes durable launches of the jobs that the process knows."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from ojobchannels.channels.lease import Lease
from ojobchannels.documents import Document
from ojobchannels.errors import (
    STORE_ERRORS,
    ChannelError,
    LockBusy,
    LockLost,
    RateLimited,
    summary,
)
from ojobchannels.host.wakeup import Wakeup
from ojobchannels.manager import tracing
from ojobchannels.manager.durable_launches.info import (
    LaunchEnd,
    args_of,
    begun_of,
    context_of,
    refusals_of,
    retries_of,
)
from ojobchannels.manager.durable_launches.last_run import Runs, is_active, last_run
from ojobchannels.manager.durable_launches.launchable import (
    LaunchableJob,
    LaunchableJobs,
    LaunchedRun,
    NotNow,
)
from ojobchannels.manager.durable_launches.rests import Rests
from ojobchannels.manager.durable_launches.store import LaunchStore
from ojobchannels.manager.local_launches.launcher import DidNotRun
from ojobchannels.manager.local_launches.pool import start
from ojobchannels.manager.records import Record
from ojobchannels.masking import mask_text, secret_values
from ojobchannels.printable import storable
from ojobchannels.recipes.queue import Message

POLL_SECONDS: Final = 1.0
BUSY_SECONDS: Final = 1.0
"""The pause of a job that could not be started: it is running elsewhere, has started too often…"""

_LONGEST_PAUSE: Final = 60.0
"""The longest pause of a launch that cannot be started for another reason; the first is 1 s."""

_UNRECORDED: Final = ("running", "completed")
"""The status of a run whose end raised an error after the function had ended."""

_log = logging.getLogger("ojobchannels.jobs")


class LaunchWorker:
    """Takes launches on a thread of its own, and runs them on other threads.

    Args:
        store: The launches.
        jobs: The jobs that it takes.
        runs: The records and locks of their runs.
        capacity: Returns the number of launches that may be in progress at a time.
        submit: Runs a call on a thread; its name is that of the job.
    """

    def __init__(
        self,
        store: LaunchStore,
        jobs: LaunchableJobs,
        runs: Runs,
        capacity: Callable[[], int],
        submit: Callable[[str, Callable[[], None]], object],
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._runs = runs
        self._capacity = capacity
        self._submit = submit
        self._active: Counter[str] = Counter()
        self._refused: dict[str, float] = {}
        self._lock = threading.Lock()
        self._wakeup = Wakeup()
        self._stopped = False
        self._failing = False
        self._rests = Rests(self._wakeup.set)
        self._found_nothing = False
        self._announced: tuple[tuple[str, ...], Lease | None] = (), None
        self._thread = threading.Thread(
            target=self._work, name="ojobchannels-launch-worker", daemon=True
        )

    def start(self) -> None:
        """Start the thread.

        Raises:
            NoThread: The system refuses it.
        """
        start(self._thread, "durable launches")

    @property
    def is_alive(self) -> bool:
        """Whether it takes launches; it does not in a child that was forked."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Look for launches now."""
        self._wakeup.set()

    def stop(self) -> None:
        """Take no more launches; those that run continue."""
        self._stopped = True
        self._wakeup.set()

    def close(self, timeout: float | None = None) -> None:
        """Take no more launches, and wait for the thread, at most `timeout` seconds."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def take_due(self) -> None:
        """Take the launches that are due, as many as there are free threads.

        Raises:
            ChannelError: The channel cannot be reached.
        """
        self._announce(self._jobs.names())
        self._found_nothing = False
        while not self._stopped and self._active.total() < self._capacity():
            names = self._startable()
            message = self._store.take(names) if names else None
            if message is None:
                self._found_nothing = bool(names) and self._store.found_nothing
                return
            self._begin(message)

    def _startable(self) -> list[str]:
        """Return the jobs that may have another run, as far as this process knows.

        The launches of the others would be taken, tried and put back, one after the other.
        """
        now = self._store.now()
        return [
            name
            for name in self._jobs.names()
            if self._active[name] < self._jobs.get(name)._max_concurrent
            and not 0 <= now - self._refused.get(name, -math.inf) < BUSY_SECONDS
        ]

    def _work(self) -> None:
        while not self._stopped:
            self._found_nothing = False
            try:
                self._rests.before_look(self._store.channel)
                self.take_due()
                self._failing = False
            except Exception as error:  # noqa: BLE001  the next second must not depend on it
                if not self._failing:
                    known = isinstance(error, ChannelError)
                    text = "cannot take launches, retrying each second: %s"
                    _log.warning(text, error, exc_info=not known)
                self._failing = True
            if not self._stopped:
                rest = self._rests.after_look(POLL_SECONDS, found_nothing=self._found_nothing)
                self._wakeup.wait(rest)
        with suppress(ChannelError):
            self._rests.close()
            self._announce(())

    def _announce(self, names: tuple[str, ...]) -> None:
        """Make known which jobs this process takes."""
        known, lease = self._announced
        if names == known and (lease is None or not lease.lost):
            return
        self._announced = (), None
        if lease is not None and not lease.lost:
            lease.release()
        if names:
            self._announced = names, self._store.announce(names)

    def _begin(self, message: Message) -> None:
        self._count(message.job, 1)
        try:
            self._submit(message.job, lambda: self._run(message))
        except BaseException:
            self._count(message.job, -1)
            message.give_back()
            raise

    def _count(self, job: str, change: int) -> None:
        with self._lock:
            self._active[job] += change

    def _run(self, message: Message) -> None:
        try:
            with tracing.launched_from(context_of(message.data)):
                self._attempt(message)
        except LockLost as error:
            _log.warning("launch %s of job %r: %s", message.id, message.job, error)
        except Exception as error:  # noqa: BLE001  the thread must not depend on it
            text = "launch %s of job %r cannot be continued; it will be taken again: %s"
            unexpected = not isinstance(error, ChannelError)
            _log.warning(text, message.id, message.job, error, exc_info=unexpected)
        finally:
            with suppress(ChannelError):
                message.leave()
            self._count(message.job, -1)
            self._wakeup.set()

    def _secrets(self, message: Message, job: LaunchableJob) -> set[str]:
        return secret_values(args_of(message.data), job._secret_args)

    def _attempt(self, message: Message) -> None:
        job = self._jobs.get(message.job)
        args, retries = args_of(message.data), retries_of(message.data)
        retries = job._retries if retries is None else retries
        attempt = begun_of(message.entry) + 1
        last = last_run(self._runs, message.entry)
        if last is not None and is_active(self._runs, last):
            self._put_back(message, f"its run {last['runId']} is still active")
            return
        if self._settle(message, job, last, may_retry=attempt <= retries + 1):
            return
        try:
            run = job._new_launched_run(args, attempt, retries, message.id)
        except Exception as error:  # noqa: BLE001  as of arguments that the job does not take
            text = mask_text(summary(error), self._secrets(message, job))
            self._ended(message, job, "failed", run_id=None, error=text)
            return

        def begun() -> None:
            self._refused.pop(job.name, None)
            start = run.record.get("startTime")
            message.note(run=run.run_id, start=start, begun=attempt, reason=None, refusals=None)

        results: list[Any] = []
        try:
            job._attempt(run, args, begun, results.append, is_last=attempt > retries)
        except BaseException as error:  # noqa: BLE001  it is the result of the launch
            if not (results and run.status in _UNRECORDED):
                self._after(message, job, run, error, attempt <= retries)
                return
            text = "the end of run %s of job %r is not in its record: %s"
            _log.warning(text, run.run_id, job.name, error)
        finally:
            if run.status != "new":
                self._refused.pop(job.name, None)  # others could not start because of it
        self._ended(message, job, "completed", run_id=run.run_id, result=results[0])

    def _settle(
        self, message: Message, job: LaunchableJob, last: Record | None, *, may_retry: bool
    ) -> bool:
        """End a launch as its last run, whose process died before it did that; return whether."""
        status = "abandoned" if last is None else last["status"]
        if may_retry and status not in ("completed", "skipped", "cancelled", "lost"):
            return False
        if last is None or status in ("abandoned", "running"):
            text = "its process died while it was running"
            self._ended(message, job, "abandoned", run_id=None, error=text)
        elif status == "completed":
            text = "its process died before it could be stored"
            self._ended(message, job, "completed", run_id=last["runId"], omitted=text)
        else:
            if status in ("failed", "lost"):
                job._report_failed(last)
            error = last.get("error") or last.get("reason")
            ended = cast("LaunchEnd", status)
            self._ended(message, job, ended, run_id=last["runId"], error=error)
        return True

    def _after(
        self,
        message: Message,
        job: LaunchableJob,
        run: LaunchedRun,
        error: BaseException,
        may_retry: bool,
    ) -> None:
        """End a launch after an error, or have it tried again."""
        if run.status in ("new", "skipped"):
            self._after_no_start(message, job, run, error)
        elif run.status in ("failed", *_UNRECORDED) and may_retry:
            pause = job._pause_after(begun_of(message.entry))
            message.failed(_text(run, error), pause)
        else:
            if run.status in ("failed", "lost"):
                job._report_failed(run.record)
            state: LaunchEnd = "failed"
            if run.status in ("lost", "cancelled"):
                state = "lost" if run.status == "lost" else "cancelled"
            self._ended(message, job, state, run_id=run.run_id, error=_text(run, error))

    def _after_no_start(
        self, message: Message, job: LaunchableJob, run: LaunchedRun, error: BaseException
    ) -> None:
        if isinstance(error, NotNow):
            self._put_back(message, error.reason)
        elif isinstance(error, DidNotRun):
            self._ended(message, job, "skipped", run_id=run.run_id, error=error.reason)
        elif not isinstance(error, LockBusy | RateLimited):
            _log.warning("launch %s of job %r cannot start now: %s", message.id, job.name, error)
            refusals = refusals_of(message.entry)
            pause = min(2.0 ** min(refusals, 64), _LONGEST_PAUSE)
            reason = mask_text(summary(error), self._secrets(message, job))
            self._put_back(message, reason, pause, refusals=refusals + 1)
        elif job._skips:
            self._ended(message, job, "skipped", run_id=run.run_id, error=error.summary())
        else:
            where = "the job is running elsewhere: " if isinstance(error, LockBusy) else ""
            self._put_back(message, f"{where}{error.summary()}")

    def _put_back(
        self, message: Message, reason: str, pause: float = 0, **fields: Document
    ) -> None:
        """Put a launch back that cannot start now; other launches of the job would not either."""
        self._refused[message.job] = self._store.now()
        message.give_back(pause, reason=storable(reason), **fields)

    def _ended(self, message: Message, job: LaunchableJob, state: LaunchEnd, **facts: Any) -> None:
        """End a launch; in an outage, when the channel is reachable again, if the lease lasts."""
        while True:
            try:
                is_kept = self._store.end(message, state, secret=job._secret_args, **facts)
                break
            except STORE_ERRORS as error:
                message.check()
                text = "launch %s of job %r has ended (%s), which cannot be stored yet: %s"
                _log.warning(text, message.id, message.job, state, error)
                time.sleep(POLL_SECONDS)
        if not is_kept:
            text = "the end (%s) of launch %s of job %r is not kept: another process has taken it"
            _log.warning(text, state, message.id, message.job)


def _text(run: LaunchedRun, error: BaseException) -> str:
    """Return the error of a run as its record has it, without secrets."""
    recorded = run.record.get("error")
    return recorded if isinstance(recorded, str) else mask_text(summary(error))
