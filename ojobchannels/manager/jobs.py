"""Managed jobs: functions that run under their lock, with retries and failure notices."""

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeAlias, TypeVar

from ojobchannels.documents import json_or_repr
from ojobchannels.errors import ChannelError, InvalidOption, LockBusy, RateLimited
from ojobchannels.host.synchronous import check_result, check_synchronous
from ojobchannels.host.wakeup import Latch
from ojobchannels.manager.launching.launcher import DidNotRun, Launch
from ojobchannels.manager.records import Record
from ojobchannels.manager.runs.run import JobRun
from ojobchannels.manager.runs.run_options import OnTimeout, check_on_timeout

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

IfRunning: TypeAlias = Literal["skip", "wait", "fail"]
Notice: TypeAlias = Callable[[Record], object] | str
"""A callable that takes the record of a failed run, or a job to launch with it as ``run``."""

_log = logging.getLogger("ojobchannels.jobs")
_LONGEST_PAUSE = 1e12


class Manager(Protocol):
    """The manager of a job."""

    closing: Latch

    def run(
        self,
        name: str,
        *,
        timeout: float,
        args: Mapping[str, Any],
        wait: float | None,
        on_timeout: OnTimeout,
        extra: Mapping[str, Any] | None,
        lock_at_least_for: float,
        max_concurrent: int,
        rate_limit: str | None,
    ) -> JobRun:
        """Return a new run."""

    def notify(self, record: Record) -> None:
        """Report a failed run to the notice of its job, or else of the manager."""

    def launch(self, name: str, args: Mapping[str, Any] | None = None) -> Launch:
        """Run a job on the threads of the manager."""


@dataclass(eq=False, repr=False)
class Job(Generic[_Arguments, _Result]):
    """A function as a managed job, made by `JobManager.job`; a call runs it under its lock."""

    manager: Manager
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

    def __post_init__(self) -> None:
        if self._if_running not in ("skip", "wait", "fail"):
            raise InvalidOption("if_running", repr(self._if_running), "pass skip, wait or fail")
        check_synchronous(f"job {self.name!r}", self._function)
        check_notice(self.on_failure)
        check_on_timeout(self._on_timeout)
        if self._if_running != "wait":
            self._wait = 0
        functools.update_wrapper(self, self._function)

    def __call__(self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result | None:
        """Run the job, with its retries, and return the result of the function.

        If the job is running elsewhere and `if_running` is ``skip``, the run is recorded as skipped
        and the result is None.
        """
        try:
            return self._run(None, args, kwargs)
        except DidNotRun:
            return None

    def launched(self, launch: Launch, args: Mapping[str, Any]) -> _Result:
        """Run the job for a launch, with its arguments."""
        try:
            return self._run(launch, (), dict(args))
        except DidNotRun:
            raise
        except Exception:
            if launch.run_id is None:  # otherwise the end of its run was logged
                _log.exception("the launched job %r could not start", self.name)
            raise

    def keywords(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of a call, from the arguments in the record of a run."""
        keywords = dict(recorded)
        for name, parameter in inspect.signature(self._function).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                keywords |= keywords.pop(name, {})
        return keywords

    def _run(self, launch: Launch | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Result:
        recorded = _bound(self._function, args, kwargs)
        attempt = 1
        while True:
            run = self._new_run(recorded, attempt)
            try:
                with run:
                    if launch is not None:
                        launch.run_id = run.run_id
                    run.keeps_lock = attempt > self._retries
                    result = check_result(self.name, self._function(*args, **kwargs))
                    run.keeps_lock = True
                    return result
            except Exception as error:
                if run.status == "skipped" and isinstance(error, LockBusy | RateLimited):
                    self._skip(error)
                    raise
                if not self._may_try_again(run, attempt):
                    self._notify(run)
                    raise
            except BaseException:
                self._notify(run)
                raise
            attempt += 1

    def _new_run(self, args: dict[str, Any], attempt: int) -> JobRun:
        extra = {"attempt": attempt} if self._retries else {}
        if attempt <= self._retries:
            extra["retryIn"] = round(min(self._pause_after(attempt), _LONGEST_PAUSE) * 1000)
        run = self.manager.run(
            self.name,
            timeout=self._timeout,
            args=args,
            wait=self._wait,
            on_timeout=self._on_timeout,
            extra=extra,
            lock_at_least_for=self._lock_at_least_for,
            max_concurrent=self._max_concurrent,
            rate_limit=self._rate_limit,
        )
        run.notifies = False  # the last attempt is reported here
        return run

    def _skip(self, busy: Exception) -> None:
        if self._if_running == "skip":
            _log.info("job %r was skipped: %s", self.name, busy)
            raise DidNotRun("skipped", str(busy)) from busy

    def _may_try_again(self, run: JobRun, attempt: int) -> bool:
        """Wait for the next attempt and return True, unless there is none."""
        if attempt > self._retries or run.status in ("completed", "lost", "cancelled"):
            return False
        pause = self._pause_after(attempt)
        _log.warning("job %r failed; attempt %d starts in %g s", self.name, attempt + 1, pause)
        return not self.manager.closing.wait(pause)

    def _pause_after(self, attempt: int) -> float:
        return self._backoff * 2.0 ** min(attempt - 1, 64)

    def _notify(self, run: JobRun) -> None:
        if run.status in ("failed", "lost"):  # another end is reported when it is found
            self.manager.notify(run.record)


def _bound(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments as a document for the record, with the `repr` of what is not JSON."""
    bound = inspect.signature(function).bind(*args, **kwargs).arguments
    return {name: json_or_repr(value) for name, value in bound.items()}


def check_notice(notice: Notice | None) -> None:
    """Check that a failure notice can be called.

    Raises:
        InvalidOption: It is a coroutine function or a generator, which a call would not run.
    """
    if callable(notice):
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
            notice(record)
    except Exception as error:  # noqa: BLE001  a notice must not hide the failure that it reports
        level = logging.WARNING if isinstance(error, ChannelError) else logging.ERROR
        _log.log(level, "failure notice of job %r failed", record["name"], exc_info=True)
