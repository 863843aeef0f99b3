"""The steps of a job: the code of its `from`, its own, that of its `to`, over one map of args."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ojobchannels.channels.lease import Lease
from ojobchannels.errors import FireTimeTaken, LockBusy, describe_holder
from ojobchannels.manager import JobRun, Launch
from ojobchannels.ojob.args.layers import CallArgs, Layer, merge
from ojobchannels.ojob.args.rules import apply_rules
from ojobchannels.ojob.code.python import Block
from ojobchannels.ojob.load.job_file import Job
from ojobchannels.ojob.packs.basics import BasicsBridge
from ojobchannels.ojob.packs.director import DirectorBridge
from ojobchannels.ojob.packs.manager import Bridge
from ojobchannels.ojob.packs.queue import QueueBridge
from ojobchannels.ojob.process.interrupts import SkipJob
from ojobchannels.ojob.report.events import Level
from ojobchannels.ojob.run.host import JobHost
from ojobchannels.ojob.run.managed_runs import Limit, Runs

if TYPE_CHECKING:
    from ojobchannels.ojob.run.session import Session

Phase: TypeAlias = Literal["args", "from", "exec", "to", "catch"]


def parts(jobs: Mapping[str, Job], job: Job, args: CallArgs) -> Iterator[Job]:
    """Yields the jobs whose code makes up a job, each when it has been lent its own args."""
    waiting: list[tuple[Job, frozenset[str] | None]] = [(job, frozenset())]
    while waiting:
        step, above = waiting.pop()
        if above is None:
            yield step
            continue
        above = args.add_defaults(step.args, above, step.where)
        ahead = [*((jobs[name], above) for name in step.before), (step, None)]
        waiting += reversed([*ahead, *((jobs[name], above) for name in step.after)])


class Steps:
    """Runs the code that makes up one job.

    Attributes:
        session: The run of the job file that it is part of.
        job: The job.
        caller: The job for which it works: itself, or what called it, if it is of a bundled pack.
        layers: Where its args come from, the lowest first.
        args: The map of args, once they are rendered.
        phase: What it is at.
        runs: The managed runs that it has started.
        leases: What it holds for `typeArgs.lock` and `typeArgs.single`.
        launch: The launch that it was started by, if it was.
        launches: The latest launch of each job that it has launched.
        error: Why it failed, once it has.
        answer: What its own code returned, or else the args that were left at the end.
        fire_time: When a schedule says that it is due, in milliseconds since 1970.
        patient: Whether a managed run waits while the job runs elsewhere.
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
        self.runs = Runs()
        self.leases: list[Lease] = []
        self.launch = launch
        self.launches: dict[str, Launch] = {}
        self.error: BaseException | None = None
        self.answer: Any = None
        self.fire_time: int | None = None
        self.patient = False

    def perform(self) -> None:
        """Renders the args, then runs `from`, `exec` and `to`.

        Raises:
            SkipJob: One of the first says that the rest is to be left out.
            BaseException: Whatever the code raises.
        """
        self._admit()
        self.render_args()
        if self.job.timeout is not None:
            self.runs.own = Limit.of(self.job.timeout)
        self.phase = "from"
        for part in parts(self.session.jobs, self.job, self.args):
            if part is not self.job:
                self.take(part)
                continue
            self.phase = "exec"
            self.answer = self.take(part)
            self.phase = "to"
        if self.answer is None:
            self.answer = self.args.values

    def _admit(self) -> None:
        state = self.session.state.now()
        if self.job.when and state not in self.job.when:
            states = " or ".join(map(repr, self.job.when))
            raise SkipJob(f"the state of the run is {state!r}, not {states}")

    def take(self, part: Job) -> Any:
        """Takes one step: the code of a part, or its job file, between its rules for args."""
        apply_rules(part.rules_in, self.args.values, part.where)
        answer = self.execute(part.body, part)
        if part.file is not None:
            from ojobchannels.ojob.runner import run_other

            run_other(self.session, part.name, part.file, self.args.values)
        apply_rules(part.rules_out, self.args.values, part.where)
        return answer

    def render_args(self) -> None:
        """Makes the map of args.

        Raises:
            InvalidJobArgs: A template cannot be rendered.
        """
        self.args = CallArgs(merge([*self.session.file.base, *self.layers], self.job.where))

    def execute(self, block: Block | None, part: Job) -> Any:
        """Runs one block of code of a part, if there is one, and returns what it returns."""
        if block is None:
            return None
        host = JobHost(self, part, self._bridges() if part.bundled else {})
        try:
            with host.each:
                answer = block.run(host)
        except LockBusy as busy:
            if part.bundled and self.phase == "from":
                raise SkipJob(_told(busy), recorded=True) from busy
            raise
        except FireTimeTaken as taken:
            if part.bundled and self.phase == "from":
                raise SkipJob("another process runs it this time", recorded=True) from taken
            raise
        self.args.values = host.args
        return answer

    def _bridges(self) -> dict[str, Any]:
        """What the code of bundled packs has at hand besides."""
        return {
            "basics": BasicsBridge(self),
            "manager": Bridge(self),
            "queue": QueueBridge(self),
            "director": DirectorBridge(self),
        }

    def started(self, run: JobRun) -> None:
        """Takes up a managed run."""
        self.runs.add(run)
        if self.launch is not None:
            self.launch.run_id = run.run_id

    def log(self, level: Level, text: str) -> None:
        """Tells what the job says."""
        self.session.output.log(self.caller, level, text)


def _told(busy: LockBusy) -> str:
    return (
        f"{busy.name!r} runs already, by {describe_holder(busy.holder)}; its lease lasts another "
        f"{busy.remaining:.1f} s unless renewed"
    )
