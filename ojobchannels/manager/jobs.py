"""Jobs that a manager knows: functions that run under their lock, with retries and notices."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar

from ojobchannels.documents import json_or_repr
from ojobchannels.errors import ChannelError, InvalidOption, LockBusy
from ojobchannels.manager.launcher import DidNotRun, Launch
from ojobchannels.manager.records import Record
from ojobchannels.manager.run import JobRun, OnTimeout, check_on_timeout

if TYPE_CHECKING:
    from ojobchannels.manager.manager import JobManager

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")

IfRunning: TypeAlias = Literal["skip", "wait", "fail"]
Notice: TypeAlias = Callable[[Record], object] | str
"""Called with the record of a failed run; or a job to launch with the record as ``run``."""

_log = logging.getLogger("ojobchannels.jobs")


class Job(Generic[_Arguments, _Answer]):
    """A function as a managed job; `JobManager.job` makes it. Calling it runs it under its lock."""

    def __init__(
        self,
        manager: JobManager,
        name: str,
        function: Callable[_Arguments, _Answer],
        timeout: float,
        if_running: IfRunning,
        wait: float | None,
        retries: int,
        backoff: float,
        on_failure: Notice | None,
        on_timeout: OnTimeout,
    ) -> None:
        if if_running not in ("skip", "wait", "fail"):
            raise InvalidOption("if_running", repr(if_running), "give skip, wait or fail")
        self.manager = manager
        self.name = name
        self._function = function
        self._timeout = timeout
        self._if_running = if_running
        self._wait = wait if if_running == "wait" else 0
        self._retries = retries
        self._backoff = backoff
        self.on_failure = on_failure
        self._on_timeout = check_on_timeout(on_timeout)
        functools.update_wrapper(self, function)

    def __call__(self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer | None:
        """Runs the job, as often as its retries allow, and returns what the function returns.

        Returns None, with a record that says so, if the job runs elsewhere and `if_running` is
        ``skip``.
        """
        try:
            return self._run(None, args, kwargs)
        except DidNotRun:
            return None

    def launched(self, launch: Launch, args: Mapping[str, Any]) -> _Answer:
        """Runs the job for a launch, with the launch's arguments."""
        return self._run(launch, (), dict(args))

    def _run(self, launch: Launch | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Answer:
        told = _told(self._function, args, kwargs)
        attempt = 1
        while True:
            run = self._new_run(told, attempt)
            try:
                with run:
                    if launch is not None:
                        launch.run_id = run.run_id
                    return self._function(*args, **kwargs)
            except Exception as error:
                if run.status == "skipped" and isinstance(error, LockBusy):
                    self._tell_skipped(error)
                    raise
                if not self._may_try_again(run, attempt):
                    self._notify(run)
                    raise
            except BaseException:
                self._notify(run)
                raise
            attempt += 1

    def _new_run(self, told: dict[str, Any], attempt: int) -> JobRun:
        return self.manager.run(
            self.name,
            timeout=self._timeout,
            args=told,
            wait=self._wait,
            on_timeout=self._on_timeout,
            extra={"attempt": attempt} if self._retries else None,
        )

    def _tell_skipped(self, busy: Exception) -> None:
        if self._if_running == "skip":
            _log.info("job %r was skipped: %s", self.name, busy)
            raise DidNotRun("skipped", str(busy)) from busy

    def _may_try_again(self, run: JobRun, attempt: int) -> bool:
        """Waits for the next attempt, if there is to be one: a lost run is another's by now."""
        if attempt > self._retries or run.status in ("completed", "lost"):
            return False
        pause = self._backoff * 2 ** (attempt - 1)
        _log.warning("job %r failed; attempt %d follows in %g s", self.name, attempt + 1, pause)
        return not self.manager.closing.wait(pause)

    def _notify(self, run: JobRun) -> None:
        if run.status not in ("new", "skipped", "completed"):
            self.manager.notify(self.on_failure, run.record)


def _told(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Returns the arguments as a document for the record; what is not JSON is told by its repr."""
    bound = inspect.signature(function).bind(*args, **kwargs).arguments
    return {name: json_or_repr(value) for name, value in bound.items()}


def check_notices(name: str, known: Mapping[str, Job[..., Any]], default: Notice | None) -> None:
    """Refuses jobs that would give notice of their failures to each other, round and round.

    Raises:
        InvalidOption: The notice of the job of that name leads back to it.
    """
    path = [name]
    while (job := known.get(path[-1])) is not None:
        notice = job.on_failure or default
        if not isinstance(notice, str) or notice == job.name:
            return
        if notice == name:
            circle = ", ".join(map(repr, path))
            reason = f"{circle} would give notice of their failures to each other for ever"
            raise InvalidOption("on_failure", reason, "let one of them name a callable")
        path.append(notice)


def notify(manager: JobManager, notice: Notice, record: Record) -> None:
    """Gives notice of a failed run; trouble with that is logged and goes no further."""
    try:
        if isinstance(notice, str):
            manager.launch(notice, {"run": record})
        else:
            notice(record)
    except Exception as error:  # noqa: BLE001  a notice must not hide the failure that it tells of
        level = logging.WARNING if isinstance(error, ChannelError) else logging.ERROR
        _log.log(level, "notice of the failed job %r failed", record["name"], exc_info=True)
