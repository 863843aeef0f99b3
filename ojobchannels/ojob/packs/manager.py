"""What ``manager`` means in the code of the pack oJobManager.yaml."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from ojobchannels.errors import (
    InvalidJobArgs,
    JobMisuse,
    LockBusy,
    LockLost,
)
from ojobchannels.manager import JobManager, JobRun
from ojobchannels.manager.pool import release_slot
from ojobchannels.ojob.load.manager_jobs import END, ERROR, START
from ojobchannels.ojob.run.managed_runs import for_the_record
from ojobchannels.ojob.run.manager_binding import Config, ManagerConfig

if TYPE_CHECKING:
    from ojobchannels.ojob.run.job_steps import Steps

_PATIENCE: Final = 1.0


class Bridge:
    """What ``manager`` means in the code of a bundled pack: the manager, as one flow may use it."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._session = steps.session

    def init(self, jobs: Config, locks: Config) -> None:
        """Opens the channels of the manager."""
        managing = self._session.managing
        opened = managing.init(self._steps.caller, ManagerConfig(jobs, locks))
        if opened is None:
            return
        kept, held = opened.jobs.type, opened.locks.type
        if held == "simple" and kept != "simple":
            self._steps.log(
                "warn",
                f"the records of runs are kept in {kept!r}, but locks only in the memory of this "
                "process, where no other one sees them: give chLocks too",
            )

    def start(self, name: object, timeout: object) -> None:
        """Starts a run; in a `from`, the job is skipped if it runs elsewhere."""
        job = self._steps.caller
        if not isinstance(name, str) or not name:
            raise InvalidJobArgs(
                f"job {job!r}", f"{START!r} needs a `name`", "give one in its args"
            )
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
            reason = f"`timeout` is {timeout!r}, and no number of milliseconds"
            raise InvalidJobArgs(f"job {job!r}", reason, "write 3600000 for an hour")
        if any(run.name == name for run in self._steps.runs.open()):
            raise JobMisuse(job, f"it has started {name!r} already", f"call {END!r} first")
        manager = self._session.managing.required(job, START)
        args = for_the_record(self._steps.args.values)
        options: dict[str, Any] = {"timeout": timeout / 1000, "args": args}
        if self._steps.phase == "from" and not self._steps.runs.started:
            options["fire_time"] = self._steps.fire_time
        with self._session.interrupts.shield():
            self._steps.started(self._started(manager, name, options))

    def _started(self, manager: JobManager, name: str, options: dict[str, Any]) -> JobRun:
        """Starts a run; a patient one waits its turn, until nothing new may start any more."""
        if not self._steps.patient:
            return manager.start(name, **options)
        while True:
            try:
                with release_slot():
                    return manager.start(name, **options, wait=_PATIENCE, record_busy=False)
            except LockBusy:
                if self._session.stopping.is_set():
                    raise

    def end(self, name: object) -> None:
        """Ends a run that was started here, as completed."""
        runs = self._steps.runs
        with self._session.interrupts.shield(), runs.ending():
            runs.find(END, name).end()

    def error(self, name: object, error: object) -> None:
        """Ends runs that were started here as failed: in a `catch` all that are open, else one."""
        steps = self._steps
        if steps.phase == "catch":
            runs = list(steps.runs.open())
            failure: object = steps.error
        else:
            runs = [steps.runs.find(ERROR, name)]
            failure = error or steps.error or sys.exc_info()[1] or f"{ERROR!r} was called"
        with self._session.interrupts.shield(), steps.runs.ending():
            for run in runs:
                _fail(run, failure if isinstance(failure, BaseException) else str(failure))


def _fail(run: JobRun, error: BaseException | str) -> None:
    """Ends a run as failed; that it had lost its lock is no news if that is the very error."""
    try:
        run.fail(error)
    except LockLost as lost:
        if not isinstance(error, LockLost) or error.name != lost.name:
            raise
