"""What a manager does for its runs: their records, their reports, and those that are open."""

import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from ojobchannels.alerts.watch import Alerts
from ojobchannels.channels.keepalive.scheduler import KEEP_ALIVE
from ojobchannels.errors import FireTimeTaken, LockBusy, RateLimited, RunNotStarted
from ojobchannels.host.forks import reset_in_children
from ojobchannels.manager import records
from ojobchannels.manager.actions.cancel import CancelWatch
from ojobchannels.manager.channels import ManagerChannels
from ojobchannels.manager.hooks.events import RunListeners
from ojobchannels.manager.jobs import Notice
from ojobchannels.manager.operations import Operations
from ojobchannels.manager.records import Record
from ojobchannels.manager.registry import JobRegistry
from ojobchannels.manager.runs import run_end
from ojobchannels.manager.runs.dead_runs import leave_notice
from ojobchannels.manager.runs.run import JobRun
from ojobchannels.manager.schedules import fire_times
from ojobchannels.manager.schedules.fire_times import FireTime

_DOES_NOT_RUN: Final = (LockBusy, RateLimited, FireTimeTaken)


class ManagedRuns(Operations):
    """Keeps the records of runs, reports their starts and ends, and knows which are open."""

    alerts: Alerts

    def __init__(
        self, channels: ManagerChannels, registry: JobRegistry, plugins: Sequence[object]
    ) -> None:
        super().__init__(channels)
        self._registry = registry
        self._events = RunListeners(self, plugins)
        self._free_from: dict[str, int] = {}
        self._forget_runs()
        reset_in_children(self, ManagedRuns._forget_runs)
        self._cancels = CancelWatch(lambda: self.state, lambda: tuple(self._running.values()))

    def _forget_runs(self) -> None:
        """Leave the open runs to the parent, in a forked child."""
        self._running: dict[str, JobRun] = {}
        self._lock = threading.Lock()

    def _abandoned(self, record: Record) -> None:
        """Log a run that was closed as abandoned, and notify of it, or leave that to others."""
        self._announce(record)
        if self._notice_for(record["name"]) is None:
            leave_notice(self.state, record)
        else:
            self._notify(record)

    def _report_run(self, record: Record, *, notifies: bool) -> None:
        """Log the start or the end of a run; if it failed and `notifies`, notify of that."""
        self._announce(record)
        self._cancels.ended(record)
        self.alerts.wake()
        if notifies and record["status"] in ("failed", "lost"):
            self._notify(record)

    def _report_not_started(
        self, name: str, run_id: str, args: Mapping[str, Any], error: BaseException
    ) -> None:
        """Report a run that could not start, which has no record; the caller gets the error."""
        if not isinstance(error, Exception) or isinstance(error, _DOES_NOT_RUN):
            return
        record = records.not_started(name, run_id, args, error)
        self._events.report(record)
        self._notify(record)

    def _announce(self, record: Record) -> None:
        """Log the present status of a run, and call the hooks and callbacks for it."""
        run_end.log_run(record)
        self._events.report(record)

    def _notice_for(self, name: str) -> Notice | None:
        """Return the failure notice for the runs of a job."""
        return self._registry.notice_for(name)

    def _record_not_run(
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
        self._announce(stored)
        return stored

    def _record_start(self, record: Record) -> Record:
        """Store the record of a run that starts at the first free start time, and return it.

        Many runs of one job that start in one millisecond occupy the start times that follow. The
        next run skips those that were occupied at the last start.
        """
        name, first = record["name"], records.start_of(record["fence"])
        record["locksId"] = self._channels.locks_id(create=True)
        stored = records.add(self.jobs, record, max(first, self._free_from.get(name, first)))
        if stored["startTime"] > first:
            self._free_from[name] = stored["startTime"] + 1
        else:
            self._free_from.pop(name, None)
        return stored

    def _set_open(self, run: JobRun, open: bool) -> None:
        """Remember that a run has started, or that it has ended."""
        with self._lock:
            if open:
                self._running[run.run_id] = run
                self._cancels.start()
            else:
                self._running.pop(run.run_id, None)

    def _find_open(self, what: str, run: JobRun | str) -> JobRun:
        """Return an open run of this manager, the latest one if `run` is the name of a job.

        Raises:
            RunNotStarted: No such run is open; `what` needs one.
        """
        with self._lock:
            for found in reversed(self._running.values()):
                if run in (found, found.name):
                    return found
        raise RunNotStarted(what, run.name if isinstance(run, JobRun) else run)

    def _leave_open_runs(self) -> None:
        """Forget the open runs, for a manager that is closed; they end as abandoned."""
        with self._lock:
            left_open, self._running = tuple(self._running.values()), {}
        self._cancels.stop()
        for run in left_open:
            KEEP_ALIVE.drop_alarm(run)
            run._stop_capture()
