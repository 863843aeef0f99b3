"""The worker of a manager: it takes durable launches of the jobs that the manager knows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ojobchannels.channels.lease import Lease
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
    retries_of,
)
from ojobchannels.manager.durable_launches.store import LaunchStore
from ojobchannels.manager.jobs import Job
from ojobchannels.manager.local_launches.pool import start
from ojobchannels.manager.registry import JobRegistry
from ojobchannels.manager.runs.run import JobRun
from ojobchannels.masking import mask_text, secret_values
from ojobchannels.recipes.queue import Message

POLL_SECONDS: Final = 1.0
BUSY_SECONDS: Final = 1.0
"""The pause of a launch whose job is running elsewhere, or has started too often."""

_UNRECORDED: Final = ("running", "completed")
"""The status of a run whose end raised an error after the function had ended."""

_log = logging.getLogger("ojobchannels.jobs")


class LaunchWorker:
    """Takes launches on a thread of its own, and runs them on the threads of the manager.

    Args:
        store: The launches.
        jobs: The jobs that it takes.
        capacity: Returns the number of launches that may be in progress at a time.
        submit: Runs a call on a thread; its name is that of the job.
    """

    def __init__(
        self,
        store: LaunchStore,
        jobs: JobRegistry,
        capacity: Callable[[], int],
        submit: Callable[[str, Callable[[], None]], object],
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._capacity = capacity
        self._submit = submit
        self._busy = 0
        self._lock = threading.Lock()
        self._wakeup = Wakeup()
        self._stopped = False
        self._failing = False
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

    def close(self) -> None:
        """Take no more launches; those that run continue."""
        self._stopped = True
        self._wakeup.set()
        if self._thread.is_alive():
            self._thread.join()

    def take_due(self) -> None:
        """Take the launches that are due, as many as there are free threads.

        Raises:
            ChannelError: The channel cannot be reached.
        """
        names = self._jobs.names()
        self._announce(names)
        while not self._stopped and self._busy < self._capacity():
            message = self._store.take(names)
            if message is None:
                return
            self._begin(message)

    def _work(self) -> None:
        while not self._stopped:
            try:
                self.take_due()
                self._failing = False
            except Exception as error:  # noqa: BLE001  the next second must not depend on it
                if not self._failing:
                    known = isinstance(error, ChannelError)
                    text = "cannot take launches, retrying each second: %s"
                    _log.warning(text, error, exc_info=not known)
                self._failing = True
            if not self._stopped:
                self._wakeup.wait(POLL_SECONDS)
        with suppress(ChannelError):
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
        with self._lock:
            self._busy += 1
        try:
            self._submit(message.job, lambda: self._run(message))
        except BaseException:
            with self._lock:
                self._busy -= 1
            message.give_back()
            raise

    def _run(self, message: Message) -> None:
        try:
            with tracing.launched_from(context_of(message.data)):
                self._attempt(message)
        except LockLost as error:
            _log.warning("launch %s of job %r: %s", message.id, message.job, error)
        except Exception as error:  # noqa: BLE001  a thread of the manager must not depend on it
            text = "launch %s of job %r cannot be continued; it will be taken again: %s"
            unexpected = not isinstance(error, ChannelError)
            _log.warning(text, message.id, message.job, error, exc_info=unexpected)
        finally:
            with suppress(ChannelError):
                message.leave()
            with self._lock:
                self._busy -= 1
            self._wakeup.set()

    def _attempt(self, message: Message) -> None:
        job = self._jobs.get(message.job)
        args, retries = args_of(message.data), retries_of(message.data)
        retries = job._retries if retries is None else retries
        attempt = begun_of(message.entry) + 1
        if attempt > retries + 1:
            text = "its process died while it was running"
            self._ended(message, "abandoned", run_id=None, error=text)
            return
        try:
            run = job._new_launched_run(args, attempt, retries, message.id)
        except Exception as error:  # noqa: BLE001  as of arguments that the job does not take
            text = mask_text(summary(error), secret_values(args))
            self._ended(message, "failed", run_id=None, error=text)
            return

        def begun() -> None:
            message.note(run=run.run_id, begun=attempt)

        results: list[Any] = []
        try:
            job._attempt(run, args, begun, results.append, is_last=attempt > retries)
        except BaseException as error:  # noqa: BLE001  it is the result of the launch
            if not (results and run.status in _UNRECORDED):
                self._after(message, job, run, error, attempt <= retries)
                return
            text = "the end of run %s of job %r is not in its record: %s"
            _log.warning(text, run.run_id, job.name, error)
        self._ended(message, "completed", run_id=run.run_id, result=results[0])

    def _after(
        self,
        message: Message,
        job: Job[..., Any],
        run: JobRun,
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
            job._notify(run)
            state: LaunchEnd = "failed"
            if run.status in ("lost", "cancelled"):
                state = "lost" if run.status == "lost" else "cancelled"
            self._ended(message, state, run_id=run.run_id, error=_text(run, error))

    def _after_no_start(
        self, message: Message, job: Job[..., Any], run: JobRun, error: BaseException
    ) -> None:
        if isinstance(error, LockBusy | RateLimited) and job._skips:
            self._ended(message, "skipped", run_id=run.run_id, error=error.summary())
            return
        if not isinstance(error, LockBusy | RateLimited):
            _log.warning("launch %s of job %r cannot start now: %s", message.id, job.name, error)
        message.give_back(BUSY_SECONDS)

    def _ended(self, message: Message, state: LaunchEnd, **facts: Any) -> None:
        """End a launch; in an outage, when the channel is reachable again, if the lease lasts."""
        while True:
            try:
                is_kept = self._store.end(message, state, **facts)
                break
            except STORE_ERRORS as error:
                message.check()
                text = "launch %s of job %r has ended (%s), which cannot be stored yet: %s"
                _log.warning(text, message.id, message.job, state, error)
                time.sleep(POLL_SECONDS)
        if not is_kept:
            text = "the end (%s) of launch %s of job %r is not kept: another process has taken it"
            _log.warning(text, state, message.id, message.job)


def _text(run: JobRun, error: BaseException) -> str:
    """Return the error of a run as its record has it, without secrets."""
    recorded = run.record.get("error")
    return recorded if isinstance(recorded, str) else mask_text(summary(error))
