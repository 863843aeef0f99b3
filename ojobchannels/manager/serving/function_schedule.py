"""The schedule of a job that is a Python function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol

from ojobchannels.errors import STORE_ERRORS, FireTimeTaken, LockBusy, RateLimited
from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.actions.unfinished import Manager
from ojobchannels.manager.jobs import Job
from ojobchannels.manager.local_launches.launcher import DidNotRun, Launch
from ojobchannels.manager.records import Record
from ojobchannels.manager.runs.cause import Cause
from ojobchannels.manager.schedules import fire_times
from ojobchannels.manager.schedules.fire_times import FireTime
from ojobchannels.manager.schedules.options import JobSchedule
from ojobchannels.manager.serving.backlog import Backlog
from ojobchannels.manager.serving.outage import Level
from ojobchannels.manager.serving.publication import ScheduleNames
from ojobchannels.manager.serving.requested_run import Ended
from ojobchannels.manager.serving.schedule import Schedule
from ojobchannels.manager.serving.timer import Scheduler

_WAIT_SECONDS: Final = 1.0
_LEVELS: Final = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_log = logging.getLogger("ojobchannels.schedules")


class ServingManager(Manager, Protocol):
    """The manager whose jobs have schedules."""

    def _submit_launch(self, name: str, work: Callable[[Launch], Any]) -> Launch:
        """Call `work` on a thread of the manager, and return the handle of that launch."""

    def _record_not_run(
        self,
        name: str,
        status: Literal["skipped", "depsfail"],
        reason: str,
        *,
        fire_time: FireTime | None,
    ) -> Record:
        """Store and return the record of a run that does not start."""


class Service(NamedTuple):
    """What the schedules of the jobs of a manager have in common.

    Attributes:
        manager: The manager.
        scheduler: Waits for fire times.
        backlog: Has due schedules handled on the threads of the manager.
        is_stopping: Returns whether nothing new may start.
    """

    manager: ServingManager
    scheduler: Scheduler
    backlog: Backlog
    is_stopping: Callable[[], bool]


class _End(NamedTuple):
    """How the run for the request of an operator has ended."""

    status: str
    run_ids: tuple[str, ...]
    error: BaseException | None


class FunctionSchedule(Schedule):
    """Runs a function at its fire times, as a managed job.

    Args:
        job: The job.
        schedule: Its schedule.
        service: What it shares with the other schedules of the manager.
        began: The moment from which its fire times count.
    """

    __slots__ = ("_service", "job")

    def __init__(
        self, job: Job[..., Any], schedule: JobSchedule, service: Service, began: int
    ) -> None:
        self.job = job
        self._service = service
        super().__init__(schedule.rules, schedule.zone, service.scheduler, began)

    @property
    def names(self) -> ScheduleNames:
        """Its names: all are that of the job. Very many schedules do without a copy of them."""
        name = self.job.name
        return ScheduleNames(job=name, title=name, label=name, run=name, claims=name)

    @property
    def title(self) -> str:
        """The name by which operators know it."""
        return self.job.name

    def _run_requested(
        self,
        launch: Launch,
        request: Action,
        args: Mapping[str, Any],
        done: Callable[[Ended | None], None],
    ) -> None:
        kwargs = self.job._keywords(args)
        end: Ended | None = None
        try:
            end = self._run_for(launch, kwargs, request)
        finally:
            done(end)

    def _run_for(self, launch: Launch, kwargs: dict[str, Any], request: Action) -> Ended:
        status, failure = "completed", None
        try:
            self.job._run(launch, (), kwargs, Cause(requested=request.origin))
        except (DidNotRun, LockBusy, RateLimited):
            status = "failed" if launch.run_id else "skipped"
        except BaseException as error:  # noqa: BLE001  what a function raises is in its record
            status, failure = "failed", error
            if launch.run_id is None:  # otherwise the end of its run was logged
                _log.exception("the job %r could not start", self.title)
        return _End(status, (launch.run_id,) if launch.run_id else (), failure)

    def _is_stopping(self) -> bool:
        return self._service.is_stopping()

    def _submit(self, work: Callable[[Launch], None]) -> None:
        self._service.manager._submit_launch(self.title, work)

    def _submit_itself(self) -> None:
        self._service.backlog.add(self)

    def _manager_if_open(self) -> fire_times.Channels:
        return self._service.manager

    def _channels(self) -> fire_times.Channels:
        return self._service.manager

    def _claims(self) -> str | None:
        return self.title

    def _start(self, launch: Launch, time: int, fire_time: FireTime) -> FunctionStart:  # noqa: ARG002  of the base
        return FunctionStart(self.job, launch, fire_time, self._is_stopping, waits=self._runs_all)

    def _record_skipped(self, fire_time: FireTime, reason: str) -> bool:
        manager = self._service.manager
        try:
            manager._record_not_run(self.title, "skipped", reason, fire_time=fire_time)
        except FireTimeTaken:
            return False
        return True

    def _log(self, level: Level, text: str) -> None:
        name = self.job.name
        _log.log(_LEVELS[level], "job %r: %s", name, text, extra={"run_name": name})


class FunctionStart:
    """The start of a function for one fire time.

    Args:
        job: The job.
        launch: The launch on whose thread it runs.
        fire_time: The fire time.
        is_stopping: Returns whether nothing new may start.
        waits: Whether it waits while the job is running elsewhere.
    """

    def __init__(
        self,
        job: Job[..., Any],
        launch: Launch,
        fire_time: FireTime,
        is_stopping: Callable[[], bool],
        *,
        waits: bool,
    ) -> None:
        self.claims: str | None = job.name
        self._job = job
        self._launch = launch
        self._is_stopping = is_stopping
        self._waits = waits or job._if_running == "wait"
        self._cause = Cause(
            fire_time, wait=_WAIT_SECONDS if self._waits else 0, records_busy=not self._waits
        )

    def ends_schedule(self) -> bool:
        """Return whether the schedule ends; it never does."""
        return False

    def run(self) -> None:
        """Run the function under its lock, with its retries; its failure is in its record."""
        self._launch.run_id = None  # it was that of an earlier fire time
        while not self._is_stopping() and not self._run():
            pass

    def _run(self) -> bool:
        """Run the function, and return whether that was all; otherwise it waits for the lock."""
        try:
            self._job._run(self._launch, (), {}, self._cause)
        except DidNotRun:
            return True
        except BaseException as error:
            if self._launch.run_id is not None:
                return True
            if isinstance(error, (FireTimeTaken, *STORE_ERRORS)):
                raise
            if isinstance(error, LockBusy | RateLimited):
                return not self._waits
            _log.exception("the job %r could not start", self._job.name)
        return True
