"""What all jobs of one run of a job file share: the jobs, the manager, the channels, the pool."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.opening import open_channel
from ojobchannels.documents import same
from ojobchannels.errors import JobMisuse, UnknownJob, shown
from ojobchannels.manager import Launch
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.code.modules import Modules
from ojobchannels.ojob.load.job_file import Job, JobFile
from ojobchannels.ojob.load.lock_spec import LOCKS, TURNS
from ojobchannels.ojob.load.manager_jobs import INIT
from ojobchannels.ojob.process.control import Control
from ojobchannels.ojob.process.interrupts import Interrupts
from ojobchannels.ojob.report.console import Output
from ojobchannels.ojob.report.outcomes import Outcome, Status
from ojobchannels.ojob.run.executions import Directing
from ojobchannels.ojob.run.job_call import Flow
from ojobchannels.ojob.run.job_steps import Steps
from ojobchannels.ojob.run.launches import Launches, waits_for
from ojobchannels.ojob.run.manager_binding import Managing
from ojobchannels.ojob.triggers.timer import Clock, Scheduler, WallClock
from ojobchannels.suggestions import closest

_OF_THE_MANAGER: Final = {
    "oJobManager-jobs": "jobs",
    "oJobManager-locks": "locks",
    "oJobManager-state": "state",
}


class State:
    """In which state a run is: a name, by which the `when` of jobs decides."""

    def __init__(self) -> None:
        self._name = "init"

    def now(self, new: str | None = None) -> str:
        """Returns the state; with a name, goes over to that one first."""
        if new is not None:
            self._name = new
        return self._name


class Session:
    """One run of a job file.

    Attributes:
        file: The job file.
        daemon: Whether the run goes on after its todo.
        jobs: Its jobs.
        given: The args of the command line.
        modules: The modules of the file.
        state: In which state the run is.
        output: Told what happens.
        managing: The manager of the run.
        directing: What the director of the run has begun.
        kept: What jobs have kept for others, by name.
        interrupts: Keeps signals off where they would do harm.
        stopping: Set when nothing new may start.
        outcomes: What became of the jobs that the todo and launches called.
        launches: The jobs that were launched.
        control: What stops a daemon from another thread, or has it read its file again.
        scheduler: Wakes the schedules.
        deadlines: Wakes who has waited too long for a job.
        at_end: The calls that are made when the run ends.
        left_out: The calls of the todo that were not begun because of an interrupt.
    """

    def __init__(
        self,
        file: JobFile,
        args: Mapping[str, Any],
        output: Output,
        managing: Managing,
        control: Control | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.file = file
        self.daemon = file.daemon
        self.jobs = file.jobs
        self.given = Layer(args, False)
        self.modules = Modules(file.modules)
        self.state = State()
        self.output = output
        self.managing = managing
        self.directing = Directing()
        self.kept: dict[str, Any] = {}
        self.control = control or Control()
        self.interrupts = Interrupts(self.control.reload if file.daemon else None)
        self.stopping = threading.Event()
        self.outcomes: list[Outcome] = []
        self.launches = Launches(self, file.threads)
        self.scheduler = Scheduler(clock or WallClock(), anew=True)
        self.deadlines = Scheduler(self.scheduler.clock)
        self.at_end: list[Flow] = []
        self.left_out: list[Flow] = []
        self._channels: dict[str, tuple[Channel, Any]] = {}
        self._lock = threading.Lock()

    def todo(self) -> list[Flow]:
        """Returns the calls of the todo, each after what it depends on."""
        flows = [
            Flow(self, entry.variant, [self.given, Layer(call, True)])
            for entry in self.file.ordered_todo()
            for call in entry.calls
        ]
        for number, flow in enumerate(flows):
            flow.number = number
        return flows

    def find(self, name: str) -> Job:
        """Returns a job.

        Raises:
            UnknownJob: There is none of that name.
        """
        job = self.jobs.get(name)
        if job is None:
            raise UnknownJob(name, tuple(self.jobs), closest(name, self.jobs))
        return job

    def renewed(self, file: JobFile) -> Session:
        """Returns one for another state of the file; all but the jobs is shared with this one."""
        other = copy.copy(self)
        other.file, other.jobs, other.at_end = file, file.jobs, []
        other.modules = Modules(file.modules)
        return other

    def keep(self, outcome: Outcome) -> None:
        """Keeps what became of a call; a daemon, which has no end, does so for its todo alone."""
        if not (self.daemon and outcome.launched):
            self.outcomes.append(outcome)

    def obstacle(self) -> str | None:
        """Returns why nothing more may run, if that is so."""
        return "the manager could not be opened" if self.managing.failure else None

    def obstacle_in_todo(self, name: str) -> str | None:
        """Returns why a job may not run when the todo comes to it, if that is so."""
        became = {dep: self.result_in_todo(dep) for dep in self.file.deps_of(name)}
        failed = ((dep, one) for dep, one in became.items() if one and one != "completed")
        return self.obstacle() or next((waits_for(*one) for one in failed), None)

    def result_in_todo(self, name: str) -> Status | None:
        """Returns what became of a job that the todo called; of several calls, the worst."""
        found = [one.status for one in self.outcomes if one.job == name and not one.launched]
        return next((one for one in found if one != "completed"), found[0] if found else None)

    def call(self, caller: Steps, name: str, args: Mapping[str, Any]) -> Any:
        """Runs a job for another one, now.

        A job of a bundled pack is a tool of its caller: what it starts and ends are the caller's
        runs. Any other job is a call of its own.
        """
        job = self.find(name)
        if job.bundled:
            tool = Steps(self, job, [Layer(args, False)], caller.launch)
            tool.caller, tool.runs, tool.error = caller.caller, caller.runs, caller.error
            tool.leases = caller.leases
            tool.perform()
            return tool.answer
        flow = Flow(self, job, [self.given, Layer(args, False)])
        outcome = flow.run()
        if outcome.error is not None:
            raise outcome.error
        return flow.answer if outcome.status == "completed" else None

    def launch(self, parent: Steps, name: str, args: Mapping[str, Any]) -> Launch:
        """Has a job run on the pool."""
        flow = Flow(self, self.find(name), [self.given, Layer(args, False)])
        with self.interrupts.shield():
            return self.launches.submit(parent, flow)

    def channel(self, job: str, name: str, config: Any) -> Channel:
        """Returns a channel of the manager, or one of the run's own.

        Raises:
            JobMisuse: The manager is not open yet, or the channel is open with other options.
            ChannelError: It cannot be opened.
        """
        if name in _OF_THE_MANAGER:
            manager = self.managing.required(job, f"the channel {name!r}")
            if config is not None:
                reason = f"the channel {name!r} belongs to the manager"
                raise JobMisuse(job, reason, f"leave its configuration to {INIT!r}")
            of_the_manager: Channel = getattr(manager, _OF_THE_MANAGER[name])
            return of_the_manager
        with self._lock:
            if name not in self._channels:
                self._channels[name] = open_channel(name, config), config
            channel, opened_with = self._channels[name]
        if config is not None and not same(config, opened_with):
            reason = f"the channel {name!r} is open with {shown(opened_with)}, not {shown(config)}"
            raise JobMisuse(job, reason, "give each channel a name of its own")
        return channel

    def opened(self, job: str, name: str) -> Channel:
        """Returns a channel for the locks of jobs, which must not be made by mistake.

        Raises:
            JobMisuse: It is not open yet.
        """
        if name not in (LOCKS, TURNS, *_OF_THE_MANAGER, *self._channels):
            reason = f"the channel {name!r}, which has its lock, is not open"
            raise JobMisuse(job, reason, f"have a job before it call channel({name!r}, …)")
        return self.channel(job, name, None)

    def stop_clocks(self) -> None:
        """Wakes nobody any more."""
        self.scheduler.stop()
        self.deadlines.stop()

    def close(self) -> None:
        """Closes what is open, when nothing runs any more."""
        self.stop_clocks()
        self.launches.close()
        self.managing.close()
        for channel, _ in self._channels.values():
            channel.close()
