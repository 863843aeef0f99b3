"""The schedules of the jobs of a manager, while a process serves them."""

from __future__ import annotations

import hashlib
import inspect
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ojobchannels.errors import ChannelError
from ojobchannels.manager.actions.unfinished import Manager
from ojobchannels.manager.jobs import Job
from ojobchannels.manager.serving.backlog import Backlog
from ojobchannels.manager.serving.function_schedule import FunctionSchedule, Service, ServingManager
from ojobchannels.manager.serving.operations import DaemonOperations, Source
from ojobchannels.manager.serving.timer import Clock, Scheduler, WallClock

_CLOSE_DEAD_RUNS_SECONDS: Final = 30.0


class ScheduleService:
    """Runs jobs at their fire times, and makes the process known as a daemon that does so.

    Its threads start with the first job that has a schedule.

    Args:
        manager: The manager of the jobs.
        is_closing: Returns whether the manager closes.
        clock: The clock.
    """

    def __init__(
        self, manager: ServingManager, is_closing: Callable[[], bool], clock: Clock | None
    ) -> None:
        self._manager = manager
        self._is_closing = is_closing
        self._stopped = False
        self._scheduler = Scheduler(
            clock or WallClock(), call_all_if_set_back=True, ends_with_process=True
        )
        self._common = Service(
            manager, self._scheduler, Backlog(manager._submit_launch), self._is_stopping
        )
        self._schedules: dict[str, FunctionSchedule] = {}
        self._source: Source | None = None
        self._cleaned = float("-inf")
        self._lock = threading.Lock()
        self._operations = DaemonOperations(
            lambda: manager,
            lambda: self._source or Source("", ""),
            lambda: tuple(self._schedules.values()),
            {"close the runs of dead processes": self._close_dead_runs},
        )

    def add(self, *jobs: Job[..., Any]) -> None:
        """Serve the schedules of jobs from now on; a job replaces an earlier one of its name.

        Raises:
            NoThread: The system refuses a thread.
        """
        now = self._scheduler.clock.now()
        for job in jobs:
            self._add(job, now)

    def _add(self, job: Job[..., Any], began: int) -> None:
        with self._lock:
            previous = self._schedules.pop(job.name, None)
            if previous is not None:
                previous.end(began)
            if job.schedule is None:
                return
            if self._source is None:
                self._start(job)
            schedule = FunctionSchedule(job, job.schedule, self._common, began)
            if previous is not None:
                schedule.follow(previous)
            self._schedules[job.name] = schedule
            schedule.start()

    def publish(self) -> None:
        """Make known now what is served; its thread does it when the store can be reached."""
        if self._source is not None:
            with suppress(ChannelError):
                self._operations.publish(self._manager)

    def stop(self) -> None:
        """Start nothing new; runs that are active continue."""
        self._stopped = True
        self._scheduler.stop()

    def close(self) -> None:
        """Publish that the process serves no schedules any more, once its runs have ended."""
        if self._source is not None:
            self._operations.close()

    def _start(self, job: Job[..., Any]) -> None:
        self._source = source_of(job)
        self._scheduler.start()
        self._operations.start()

    def _is_stopping(self) -> bool:
        return self._stopped or self._is_closing()

    def _close_dead_runs(self, manager: Manager) -> None:
        if time.monotonic() - self._cleaned >= _CLOSE_DEAD_RUNS_SECONDS:
            self._cleaned = time.monotonic()
            manager._before_reading()


def source_of(job: Job[..., Any]) -> Source:
    """Return the file in which a job is written, or the program if there is none."""
    function = inspect.unwrap(job)
    code = getattr(function, "__code__", None)
    file = Path(code.co_filename if code is not None else sys.argv[0])
    try:
        content = file.read_bytes()
    except OSError:  # an interactive session, a notebook or an archive
        file, content = Path(sys.argv[0] or "python"), b""
    return Source(str(file.absolute()), hashlib.sha256(content).hexdigest()[:16])
