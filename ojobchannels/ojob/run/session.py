"""What all jobs of one run of a job file share: the jobs, the manager, the channels, the clock."""

import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, cast

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.opening import open_channel
from ojobchannels.documents import same
from ojobchannels.errors import JobMisuse, UnknownJob, shown, summary
from ojobchannels.host.wakeup import Latch
from ojobchannels.manager.serving.timer import Clock, Scheduler, WallClock
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.code.modules import Modules
from ojobchannels.ojob.load.job_file import INIT, LOCKS, TURNS, Job, JobFile
from ojobchannels.ojob.process.interrupts import Interrupts
from ojobchannels.ojob.report.console import Output
from ojobchannels.ojob.run.launches import Launches
from ojobchannels.ojob.run.manager_binding import ManagerBinding
from ojobchannels.ojob.run.manager_views import ManagerLocks, RunRecords
from ojobchannels.ojob.run.progress import RunProgress
from ojobchannels.ojob.run.started_runs import Executions
from ojobchannels.ojob.run.tick import Tick
from ojobchannels.suggestions import closest, is_slip

RunFile: TypeAlias = Callable[["Session", str, str, Mapping[str, Any], Tick | None], None]
"""Runs another job file for a job: with its session, name, path, args and tick."""

Bridges: TypeAlias = Mapping[str, Callable[[Any], Any]]
"""The objects that the code of bundled packs uses, by name, each made for the job that runs it."""

_MANAGER_CHANNELS: Final = ("oJobManager-jobs", "oJobManager-locks", "oJobManager-state")


class Session:
    """One run of a job file.

    Attributes:
        daemon: Whether the run continues after its todo.
        modules: The Python modules of the file.
        run_file: Runs another job file for a job of type `jobs`.
        executions: The executions of the pack oJobDirector.yaml that have begun.
        kept: The values that jobs have kept for other jobs, by name.
        interrupts: Holds signals back where they would do harm.
        stopping: Set when no new job may start.
        scheduler: Wakes the schedules.
        deadlines: Ends waits for a dependency that take too long.
        dead_parts: What should have run until the end of a daemon, but has died.
        stop_daemon: Ends the daemon in order.
        tick: The fire time at which another job file runs this one.
    """

    tick: Tick | None = None

    def __init__(
        self,
        file: JobFile,
        args: Mapping[str, Any],
        output: Output,
        binding: ManagerBinding,
        interrupts: Interrupts,
        bridges: Bridges,
        run_file: RunFile,
        clock: Clock | None = None,
        stopping: Latch | None = None,
    ) -> None:
        self.file = file
        self.daemon = file.lasts
        self.jobs = file.jobs
        self.command_line = Layer(args, False)
        self.modules = Modules(file.modules)
        self.output = output
        self.binding = binding
        self.bridges = bridges
        self.run_file = run_file
        self.executions = Executions()
        self.kept: dict[str, Any] = {}
        self.interrupts = interrupts
        self.progress = RunProgress(binding, self.daemon, stopping)
        self.stopping = self.progress.stopping
        self.scheduler = Scheduler(clock or WallClock(), call_all_if_set_back=True)
        self.deadlines = Scheduler(self.scheduler.clock)
        self.launches = Launches(self.progress, interrupts, self.deadlines, file.settings)
        self.dead_parts: list[str] = []
        self.stop_daemon: Callable[[], None] = lambda: None
        self._channels: dict[str, tuple[Channel, Any]] = {}
        self._lock = threading.Lock()

    def find(self, name: str) -> Job:
        """Return a job.

        Raises:
            UnknownJob: The file has no job of that name.
        """
        job = self.jobs.get(name)
        if job is None:
            raise UnknownJob(name, tuple(self.jobs), closest(name, self.jobs))
        return job

    def with_file(self, file: JobFile) -> "Session":
        """Return a session for a new version of the file; all but its jobs and code is shared."""
        other = copy.copy(self)
        other.file, other.jobs = file, file.jobs
        other.modules = self.modules.replaced_by(file.modules)
        return other

    def channel(self, job: str, name: str, config: Any) -> Channel:
        """Return a channel of the manager, or one of the run's own.

        Raises:
            JobMisuse: The manager is not open yet, the channel is open with other options, or its
                name is a slip for one of the manager's.
            ChannelError: The channel cannot be opened.
        """
        if name in _MANAGER_CHANNELS:
            manager = self.binding.required(job, f"the channel {name!r}")
            if config is not None:
                reason = f"the channel {name!r} belongs to the manager"
                raise JobMisuse(job, reason, f"configure it in {INIT!r}")
            views = {"oJobManager-jobs": RunRecords, "oJobManager-locks": ManagerLocks}
            return cast("Channel", views[name](manager)) if name in views else manager.state
        with self._lock:
            if name not in self._channels:
                if config is None:
                    _check_slip(job, name)
                self._channels[name] = open_channel(name, config), config
            channel, present = self._channels[name]
        if config is not None and not same(config, present):
            reason = f"the channel {name!r} is already open with {shown(present)}, "
            reason += f"not with {shown(config)}"
            raise JobMisuse(job, reason, "use another name for another channel")
        return channel

    def channel_names(self) -> list[str]:
        """Return the names of the open channels."""
        managers = () if self.binding.manager is None else _MANAGER_CHANNELS
        return sorted((*managers, *self._channels))

    @contextmanager
    def daemon_part(self, name: str) -> Iterator[None]:
        """End the daemon if the block, which is a part of it, ends by an exception."""
        try:
            yield
        except BaseException as error:
            if not self.stopping.is_set():
                text = f"{name} has died, and the daemon ends: {summary(error)}"
                self.output.log("ojob", "error", text)
                self.dead_parts.append(name)
                self.stop_daemon()
            raise

    def lock_channel(self, job: str, name: str) -> Channel:
        """Return a channel for job locks, which must be open: a typo must not create a new one.

        Raises:
            JobMisuse: It is not open.
        """
        if name not in (LOCKS, TURNS, *_MANAGER_CHANNELS, *self._channels):
            reason = f"the channel {name!r} of its lock is not open"
            raise JobMisuse(job, reason, f"call channel({name!r}, …) in an earlier job")
        return self.channel(job, name, None)

    def stop_timers(self) -> None:
        """Stop the scheduler and the deadlines."""
        self.scheduler.stop()
        self.deadlines.stop()

    def close(self) -> None:
        """Close the channels and end the threads, after all jobs have ended."""
        self.stop_timers()
        self.binding.finish_alerts()
        self.launches.close()
        self.binding.close()
        for channel, _ in self._channels.values():
            channel.close()
        self.modules.close()


def _check_slip(job: str, name: str) -> None:
    """Check that a new channel in memory is not meant to be a channel of the manager."""
    meant = next((known for known in _MANAGER_CHANNELS if is_slip(name, known)), None)
    if meant is not None:
        advice = f"did you mean {meant!r}? Pass a configuration to open a channel of this name"
        raise JobMisuse(job, f"the channel {name!r} is not open", advice)
