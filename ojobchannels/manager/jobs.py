"""Managed jobs: functions that run under their lock, with retries and failure notices."""

import functools
import inspect
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, cast

from ojobchannels.errors import ChannelError, InvalidOption, LockBusy, RateLimited
from ojobchannels.host.synchronous import check_result, check_synchronous
from ojobchannels.host.wakeup import Latch
from ojobchannels.json_values import json_or_repr
from ojobchannels.manager.local_launches.launcher import DidNotRun, Launch
from ojobchannels.manager.records import Record
from ojobchannels.manager.run_record import RunRecord, sealed
from ojobchannels.manager.runs.cause import CALLED, NOT_BEGUN, Cause
from ojobchannels.manager.runs.run import JobRun
from ojobchannels.manager.runs.run_options import OnTimeout, check_on_timeout, check_retries
from ojobchannels.manager.schedules.fire_times import FireTime
from ojobchannels.manager.schedules.options import JobSchedule

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

IfRunning: TypeAlias = Literal["skip", "wait", "fail"]
Notice: TypeAlias = Callable[[RunRecord], object] | str
"""A callable that takes the record of a failed run, or a job to launch with it as ``run``."""

_log = logging.getLogger("ojobchannels.jobs")
_LONGEST_PAUSE = 1e12


class Manager(Protocol):
    """The manager of a job."""

    _closing: Latch

    def run(
        self,
        name: str,
        *,
        timeout: float,
        args: Mapping[str, Any],
        wait: float | None,
        on_timeout: OnTimeout,
        extra: Mapping[str, Any] | None,
        fire_time: FireTime | None,
        lock_at_least_for: float,
        max_concurrent: int,
        rate_limit: str | None,
        record_busy: bool,
    ) -> JobRun:
        """Return a new run."""

    def _notify(self, record: Record) -> None:
        """Report a failed run to the notice of its job, or else of the manager."""

    def _report_not_started(
        self, name: str, run_id: str, args: Mapping[str, Any], error: BaseException
    ) -> None:
        """Report a run that could not start, and has no record."""

    def launch(self, name: str, args: Mapping[str, Any] | None = None) -> Launch:
        """Run a job on the threads of the manager."""

    def _submit_launch(self, name: str, work: Callable[[Launch], Any]) -> Launch:
        """Call `work` on a thread of the manager, and return the handle of that launch."""


@dataclass(eq=False, repr=False)
class Job(Generic[_Arguments, _Result]):
    """A function as a managed job, made by `JobManager.job`; a call runs it under its lock.

    Attributes:
        schedule: When a manager that serves schedules runs it, if it has a schedule.
    """

    _manager: Manager
    name: str
    _function: Callable[_Arguments, _Result]
    _timeout: float
    _if_running: IfRunning
    _wait: float | None
    _retries: int
    _backoff: float
    on_failure: Notice | None
    _on_timeout: OnTimeout
    _lock_at_least_for: float
    _max_concurrent: int
    _rate_limit: str | None
    schedule: JobSchedule | None = None

    def __post_init__(self) -> None:
        if self._if_running not in ("skip", "wait", "fail"):
            raise InvalidOption("if_running", repr(self._if_running), "pass skip, wait or fail")
        check_synchronous(f"job {self.name!r}", self._function)
        check_notice(self.on_failure)
        check_retries(self._retries)
        check_on_timeout(self._on_timeout)
        if self._if_running != "wait":
            self._wait = 0
        # Most functions have no attributes, and a look at those of a job costs memory.
        updated = ("__dict__",) if getattr(self._function, "__dict__", None) else ()
        functools.update_wrapper(self, self._function, updated=updated)

    def __repr__(self) -> str:
        return f"<Job {self.name!r}>"

    def __call__(self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result | None:
        """Run the job, with its retries, and return the result of the function.

        If the job is running elsewhere and `if_running` is ``skip``, the run is recorded as skipped
        and the result is None.
        """
        try:
            return self._run(None, args, kwargs)
        except DidNotRun:
            return None

    def launch(self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Launch[_Result | None]:
        """Run the job on the threads of its manager, and return the handle of the launch at once.

        It is `JobManager.launch` with the arguments of the function and the type of its result.

        Raises:
            TypeError: The function does not take these arguments.
            ManagerClosed: The manager is closed.
        """
        inspect.signature(self._function).bind(*args, **kwargs)

        def work(launch: Launch) -> _Result:
            return self._launched(launch, args, kwargs)

        return cast("Launch[_Result | None]", self._manager._submit_launch(self.name, work))

    def _launched(
        self, launch: Launch, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> _Result:
        """Run the job for a launch, with its arguments."""
        try:
            return self._run(launch, args, dict(kwargs))
        except DidNotRun:
            raise
        except Exception:
            if launch.run_id is None:  # otherwise the end of its run was logged
                _log.exception("the launched job %r could not start", self.name)
            raise

    def _keywords(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of a call, from the arguments in the record of a run."""
        keywords = dict(recorded)
        for name, parameter in inspect.signature(self._function).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                keywords |= keywords.pop(name, {})
        return keywords

    @property
    def _secret_args(self) -> tuple[str, ...]:
        """The names of arguments that are secrets, beside those that look like one."""
        return ()

    @property
    def _skips(self) -> bool:
        """Whether a launch is skipped if the job is running elsewhere."""
        return self._if_running == "skip"

    def _new_launched_run(
        self, args: Mapping[str, Any], attempt: int, retries: int, launch_id: str
    ) -> JobRun:
        """Return the run of one attempt at a durable launch.

        Raises:
            TypeError: The function does not take these arguments.
        """
        recorded = self._bound((), dict(args))
        return self._new_run(recorded, attempt, retries, {"launchId": launch_id}, wait=0)

    def _attempt(
        self,
        run: JobRun,
        args: Mapping[str, Any],
        begun: Callable[[], None],
        returned: Callable[[_Result], None],
        *,
        is_last: bool,
    ) -> None:
        """Make one attempt, without a notice of its failure.

        Args:
            run: The run.
            args: The keyword arguments.
            begun: Called when the run has begun, before the function.
            returned: Called with the result of the function, before the run ends.
            is_last: Whether there is no further attempt after this one.
        """
        self._make_attempt(run, (), dict(args), begun, returned, is_last=is_last)

    def _attempt_run(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        attempt: int,
        cause: Cause | None = None,
    ) -> JobRun:
        """Return the run of one attempt at a call, or for a cause.

        Raises:
            TypeError: The function does not take these arguments.
        """
        recorded = self._bound(args, dict(kwargs))
        if cause is None:
            return self._new_run(recorded, attempt, self._retries, {}, self._wait)
        run = self._new_run(recorded, attempt, self._retries, cause.extra, cause.wait, cause)
        if attempt > 1:
            run._options.extra.update(cause.due)  # the first attempt has claimed it
        return run

    def _pause_after_failure(self, run: JobRun, attempt: int, error: Exception) -> float | None:
        """Return the seconds before the next attempt; None, after a notice, if there is none.

        Raises:
            DidNotRun: The job is running elsewhere, and `if_running` is ``skip``.
        """
        if run.status == "skipped" and isinstance(error, LockBusy | RateLimited):
            self._skip(error)
            return None
        if attempt > self._retries or run.status in ("completed", "lost", "cancelled"):
            self._notify_of(run, error)
            return None
        pause = self._pause_after(attempt)
        about = {"run_name": self.name, "runId": run.run_id}
        text = "job %r failed; attempt %d starts in %g s"
        _log.warning(text, self.name, attempt + 1, pause, extra=about)
        return pause

    def _pause_after(self, attempt: int) -> float:
        """Return the pause after a failed attempt, in seconds."""
        return min(self._backoff * 2.0 ** min(attempt - 1, 64), _LONGEST_PAUSE)

    def _notify(self, run: JobRun) -> None:
        """Report the last attempt, if it failed, to the notice of the job."""
        if run.status in ("failed", "lost"):  # another end is reported when it is found
            self._report_failed(run.record)

    def _report_failed(self, record: Record) -> None:
        """Report the failure of the last attempt."""
        self._manager._notify(record)

    def _run(
        self,
        launch: Launch | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        cause: Cause | None = None,
    ) -> _Result:
        """Run the job, with its retries.

        Raises:
            ChannelError: For a cause, also without a notice: the run could not begin.
        """

        def begun() -> None:
            if launch is not None:
                launch.run_id = run.run_id

        attempt = 1
        while True:
            run = self._attempt_run(args, kwargs, attempt, cause)
            try:
                is_last = attempt > self._retries
                return self._make_attempt(run, args, kwargs, begun, is_last=is_last)
            except Exception as error:
                has_begun = attempt > 1 or run.status not in ("new", "skipped")
                if cause is not None and not has_begun and isinstance(error, NOT_BEGUN):
                    raise
                pause = self._pause_after_failure(run, attempt, error)
                if pause is None:
                    raise
                if self._manager._closing.wait(pause):
                    self._notify_of(run, error)
                    raise
            except BaseException as error:
                self._notify_of(run, error)
                raise
            attempt += 1

    def _notify_of(self, run: JobRun, error: BaseException) -> None:
        if run.status == "new":
            self._manager._report_not_started(self.name, run.run_id, run._options.args, error)
        self._notify(run)

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments as JSON for the record, with the `repr` of what is not JSON."""
        try:
            bound = inspect.signature(self._function).bind(*args, **kwargs).arguments
        except TypeError as error:
            self._manager._report_not_started(self.name, uuid.uuid4().hex, {}, error)
            raise
        return {name: json_or_repr(value) for name, value in bound.items()}

    def _make_attempt(
        self,
        run: JobRun,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        begun: Callable[[], None],
        returned: Callable[[_Result], None] = lambda _: None,
        *,
        is_last: bool,
    ) -> _Result:
        with run:
            begun()
            run._keeps_lock = is_last
            result = check_result(self.name, self._function(*args, **kwargs))
            run._keeps_lock = True
            returned(result)
            return result

    def _new_run(
        self,
        args: dict[str, Any],
        attempt: int,
        retries: int,
        extra: dict[str, Any],
        wait: float | None,
        cause: Cause = CALLED,
    ) -> JobRun:
        if retries:
            extra = {**extra, "attempt": attempt}
        if attempt <= retries:
            extra["retryIn"] = round(self._pause_after(attempt) * 1000)
        run = self._manager.run(
            self.name,
            timeout=self._timeout,
            args=args,
            wait=wait,
            on_timeout=self._on_timeout,
            extra=extra,
            lock_at_least_for=self._lock_at_least_for,
            max_concurrent=self._max_concurrent,
            rate_limit=self._rate_limit,
            fire_time=cause.fire_time if attempt == 1 else None,
            record_busy=cause.records_busy and (not extra.get("launchId") or self._skips),
        )
        run._notifies = False  # the last attempt is reported here
        return run

    def _skip(self, busy: Exception) -> None:
        if self._if_running == "skip":
            _log.info("job %r was skipped: %s", self.name, busy, extra={"run_name": self.name})
            raise DidNotRun("skipped", str(busy)) from busy


def check_notice(notice: Notice | None) -> None:
    """Check that a failure notice is the name of a job, or can be called.

    Raises:
        InvalidOption: It is something else, or a coroutine function or a generator, which a call
            would not run.
    """
    if notice is not None and not isinstance(notice, str):
        check_synchronous("on_failure", notice)


def check_notices(name: str, known: Mapping[str, Job[..., Any]], default: Notice | None) -> None:
    """Check that jobs do not notify each other in a circle.

    Raises:
        InvalidOption: The notices of the job `name` lead back to it.
    """
    path = [name]
    while (job := known.get(path[-1])) is not None:
        notice = job.on_failure or default
        if not isinstance(notice, str) or notice == job.name:
            return
        if notice == name:
            circle = ", ".join(map(repr, path))
            reason = f"{circle} would notify each other of their failures endlessly"
            raise InvalidOption("on_failure", reason, "use a callable for one of them")
        path.append(notice)


def notify(manager: Manager, notice: Notice, record: Record) -> None:
    """Report a failed run; errors of the notice are logged and not raised."""
    try:
        if isinstance(notice, str):
            manager.launch(notice, {"run": record})
        else:
            notice(sealed(record))
    except Exception as error:  # noqa: BLE001  a notice must not hide the failure that it reports
        level = logging.WARNING if isinstance(error, ChannelError) else logging.ERROR
        _log.log(level, "failure notice of job %r failed", record["name"], exc_info=True)
