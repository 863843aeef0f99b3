"""What the jobs of the pack oJobManager.yaml stand on: one manager for a run, and its open runs."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from ojobchannels.channel import Channel
from ojobchannels.documents import check_value, same
from ojobchannels.errors import (
    InvalidJobArgs,
    InvalidValue,
    JobMisuse,
    LockBusy,
    LockLost,
    RunNotStarted,
    shown,
)
from ojobchannels.manager import JobManager, JobRun, current_run
from ojobchannels.manager.current import make_current
from ojobchannels.manager.pool import aside

if TYPE_CHECKING:
    from ojobchannels.ojob.steps import Steps

Config: TypeAlias = Mapping[str, Any] | str | Channel | None
"""Where a channel of the manager is: ``{type, args}``, a URL, an open channel; None is `simple`."""

INIT: Final = "oJobManager Init"
START: Final = "oJobManager Job Start"
END: Final = "oJobManager Job End"
ERROR: Final = "oJobManager Error"
_PATIENCE: Final = 1.0
_NOT_FOR_THE_RECORD: Final = frozenset({"name", "timeout", "chJobs", "chLocks"})


class ManagerConfig(NamedTuple):
    """Where the channels of a manager are."""

    jobs: Config
    locks: Config


class Managing:
    """The manager of one run of a job file, opened by the first Init.

    Attributes:
        manager: The manager, once it is open.
        given: Where its channels are, in place of what the file says.
        failure: Why it could not be opened as asked; then nothing more may run.
    """

    def __init__(self, given: ManagerConfig) -> None:
        self.manager: JobManager | None = None
        self.failure: Exception | None = None
        self.given = given
        self._asked: ManagerConfig | None = None
        self._lock = threading.Lock()

    def init(self, job: str, asked: ManagerConfig) -> JobManager | None:
        """Opens the manager and returns it, or None if it is open already.

        Raises:
            JobMisuse: It is open, but not as asked.
            ChannelError: It cannot be opened. It stays so: nothing runs unmanaged instead.
        """
        with self._lock:
            if self.failure is not None:
                raise self.failure
            try:
                return self._init(job, asked)
            except Exception as error:
                self.failure = error
                raise

    def _init(self, job: str, asked: ManagerConfig) -> JobManager | None:
        if self._asked is not None:
            if asked != (None, None) and not _same_config(asked, self._asked):
                reason = f"the manager is open with {_told(self._asked)}, not with {_told(asked)}"
                raise JobMisuse(job, reason, f"call {INIT!r} once, before all that needs it")
            return None
        jobs, locks = self.given
        self.manager = JobManager(
            asked.jobs if jobs is None else jobs, asked.locks if locks is None else locks, threads=1
        )
        self._asked = asked
        return self.manager

    def required(self, job: str, what: str) -> JobManager:
        """Returns the manager.

        Raises:
            JobMisuse: It is not open yet.
        """
        if self.manager is None:
            raise JobMisuse(job, f"{what} needs the manager", f"put {INIT!r} before it in the todo")
        return self.manager

    def close(self) -> None:
        """Closes the manager, if it is open."""
        if self.manager is not None:
            self.manager.close()


class Limit(NamedTuple):
    """How long code may run: so many seconds, which are over at `due` on the monotonic clock."""

    due: float
    seconds: float

    @classmethod
    def of(cls, seconds: float) -> Limit:
        """Returns a limit that counts from now."""
        return cls(time.monotonic() + seconds, seconds)


class Runs:
    """The managed runs that one flow has started.

    The latest that is open is the flow's `current_run`; while there is none, its caller's.

    Attributes:
        started: All of them.
        own: How long the flow itself may take, if that has a limit.
    """

    def __init__(self) -> None:
        self.started: list[JobRun] = []
        self.own: Limit | None = None
        self._limits: dict[str, Limit] = {}
        self._of_the_caller: JobRun | None = None

    def __enter__(self) -> Runs:
        self._of_the_caller = current_run()
        return self

    def __exit__(self, *_: object) -> None:
        make_current(self._of_the_caller)

    def add(self, run: JobRun) -> None:
        """Takes up a run that has just been started."""
        self.started.append(run)
        self._limits[run.run_id] = Limit.of(run.timeout)
        make_current(run)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Surrounds what ends some of them."""
        try:
            yield
        finally:
            make_current(next(self.open(), self._of_the_caller))

    def limit(self) -> Limit | None:
        """Returns the limit that is over first: its own, or that of an open run."""
        limits = [self._limits[run.run_id] for run in self.open()]
        return min([*limits, *([self.own] if self.own else [])], default=None)

    def open(self) -> Iterator[JobRun]:
        """Yields those that are open, the latest first."""
        yield from [run for run in reversed(self.started) if run.open]

    def find(self, what: str, name: object) -> JobRun:
        """Returns the latest open run, of a name or of any.

        Raises:
            RunNotStarted: There is none.
        """
        for run in self.open():
            if name in (None, run.name):
                return run
        raise RunNotStarted(what, None if name is None else str(name))


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
                with aside():
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


def for_the_record(args: Mapping[str, Any]) -> dict[str, Any]:
    """Returns args as a record keeps them: without the manager's own, objects by their repr."""
    return documents({key: args[key] for key in args if key not in _NOT_FOR_THE_RECORD})


def documents(args: Mapping[str, Any]) -> dict[str, Any]:
    """Returns args as JSON, with the `repr` of what is none."""
    return {str(key): _document(value) for key, value in args.items()}


def _document(value: Any) -> Any:
    try:
        check_value(value)
    except InvalidValue:
        return repr(value)
    return value


def _same_config(one: ManagerConfig, other: ManagerConfig) -> bool:
    return all(same(_plain(a), _plain(b)) for a, b in zip(one, other, strict=True))


def _plain(config: Config) -> Any:
    if isinstance(config, Mapping):
        return {"type": "simple", **config, "args": dict(config.get("args") or {})}
    return {"type": "simple", "args": {}} if config is None else config


def _told(config: ManagerConfig) -> str:
    jobs, locks = (
        one.get("type", "simple") if isinstance(one, Mapping) else shown(one or "simple")
        for one in config
    )
    return f"chJobs {jobs} and chLocks {locks}"
