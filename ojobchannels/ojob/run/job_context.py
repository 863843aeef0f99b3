"""The data of one job at work: its args, its phase, its managed runs, its locks, its error."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from ojobchannels.channels.lease import Lease
from ojobchannels.errors import LockBusy, RateLimited
from ojobchannels.hookspecs import MISSING
from ojobchannels.manager import JobRun, Launch, current_run
from ojobchannels.manager.jobs import IfRunning
from ojobchannels.manager.output import OutputLevel
from ojobchannels.manager.output.buffer import OutputBuffer
from ojobchannels.manager.schedules.fire_times import FireTime
from ojobchannels.masking import mask_values, secret_values
from ojobchannels.ojob.args.layers import CallArgs, Layer, merge
from ojobchannels.ojob.languages import Level, Phase
from ojobchannels.ojob.load.job_file import Job
from ojobchannels.ojob.run.session import Session
from ojobchannels.ojob.run.started_runs import StartedRuns
from ojobchannels.ojob.run.tick import Tick
from ojobchannels.ojob.schema.model import OnTimeout


class SkipJob(BaseException):
    """Skip the rest of a job; not an `Exception`, so that the job's own handlers let it pass.

    Attributes:
        reason: Why the job is skipped.
        recorded: Whether a run record of the skip exists already.
        elsewhere: Whether another process runs the job for the same fire time.
    """

    def __init__(self, reason: str, *, recorded: bool = False, elsewhere: bool = False) -> None:
        self.reason = reason
        self.recorded = recorded
        self.elsewhere = elsewhere
        super().__init__(reason)


class LaunchAttempt(Protocol):
    """One attempt at the durable launch for which a job works.

    Attributes:
        extra: The fields for the record of its run.
        busy: Why its run could not start now; None otherwise.
    """

    extra: Mapping[str, Any]
    busy: LockBusy | RateLimited | None

    def begin(self, run: JobRun | None) -> None:
        """Count the attempt, with its run if the job has started one; only the first call does.

        Raises:
            LockLost: Another process may have taken the launch.
        """


class JobContext(ABC):
    """One job at work.

    Attributes:
        caller: The name of the job for which it works: its own, or for a job of a bundled pack that
            of the job that called it.
        layers: The sources of its args, the lowest precedence first.
        args: The map of args, once it is rendered.
        leases: The locks that it holds for `typeArgs.lock` and `typeArgs.single`.
        launch: The launch that started it.
        launches: The latest launch of each job that it has launched.
        returned: What its own code returned; MISSING until then.
        result: The same, or else the final args.
        fire_time: The time for which a schedule runs it.
        requested: The action of an operator who wants it, for the record of its run.
        attempt: The attempt at a durable launch for which it works.
        tick: The fire time of its own schedule, or of the job on whose account it was called.
        if_running: What it does if another run holds the lock, unless its args say so.
        secrets: Values that are masked in its lines: those of its args when its code began, and of
            the job for which it works.
    """

    def __init__(
        self, session: Session, job: Job, layers: list[Layer], launch: Launch | None = None
    ) -> None:
        self.session = session
        self.job = job
        self.caller = job.name
        self.layers = [Layer(job.args, True), *layers]
        self.args = CallArgs({})
        self.phase: Phase = "args"
        self.runs = StartedRuns()
        self.leases: list[Lease] = []
        self.launch = launch
        self.launches: dict[str, Launch] = {}
        self.error: BaseException | None = None
        self.returned: Any = MISSING
        self.result: Any = None
        self.fire_time: FireTime | None = None
        self.requested: Mapping[str, Any] | None = None
        self.attempt: LaunchAttempt | None = None
        self.tick: Tick | None = None
        self.if_running: IfRunning = "fail"
        self.secrets: frozenset[str] = frozenset()

    @abstractmethod
    def call(self, name: str, args: Mapping[str, Any]) -> Any:
        """Run another job now, and return its result.

        A job of a bundled pack works for its caller: the runs that it starts and ends are the
        caller's. Any other job is a call of its own.
        """

    @abstractmethod
    def launch_job(self, name: str, args: Mapping[str, Any]) -> Launch:
        """Run another job on the pool, and return a handle at once."""

    def render_args(self) -> None:
        """Make the map of args.

        Raises:
            InvalidJobArgs: A template cannot be rendered.
        """
        self.args = CallArgs(merge([*self.session.file.base, *self.layers], self.job.where))

    def find_secrets(self) -> frozenset[str]:
        """Return the values that are masked, with those that the args have now."""
        return self.secrets | secret_values(self.args.values, self.session.file.secrets)

    def add_run(self, run: JobRun, on_timeout: OnTimeout | None = None) -> None:
        """Register a managed run that has just started."""
        self.runs.add(run, on_timeout)
        if self.launch is not None:
            self.launch.run_id = run.run_id
        self.begin(run)

    def begin(self, run: JobRun | None = None) -> None:
        """Count the attempt at a durable launch, before any work is done."""
        if self.attempt is not None:
            self.attempt.begin(run)

    def log(self, level: Level, text: str) -> None:
        """Report a line of the job, and keep it with the managed run for which the job works."""
        self.session.output.log(self.caller, level, mask_values(text, self.secrets))
        if (output := self._run_output()) is not None:
            output.add(level, text)

    def printed(self, level: OutputLevel, text: str) -> None:
        """Keep what the job has printed, likewise."""
        if (output := self._run_output()) is not None:
            output.write(level, text)

    def cancelled_run(self) -> JobRun | None:
        """Return the run that was cancelled, of those for which the job works."""
        runs = [*self.runs.open(), current_run()]
        return next((run for run in runs if run is not None and run.cancelled), None)

    def _run_output(self) -> OutputBuffer | None:
        run = next(self.runs.open(), None) or current_run()
        return None if run is None else run.output
