"""The job manager of one run of a job file, opened by its first `oJobManager Init`."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from ojobchannels.alerts import Alert
from ojobchannels.channels.channel import Channel
from ojobchannels.documents import same
from ojobchannels.errors import JobMisuse, shown
from ojobchannels.manager import JobManager, Launch
from ojobchannels.manager.jobs import IfRunning
from ojobchannels.manager.output import OutputLimits
from ojobchannels.manager.output.lines import DEFAULT_LIMITS
from ojobchannels.ojob.load.job_file import INIT

Config: TypeAlias = Mapping[str, Any] | str | Channel | None
"""A channel of the manager: ``{type, args}``, a URL, an open channel; None means `simple`."""


class ManagerConfig(NamedTuple):
    """The configurations of a manager's channels."""

    jobs: Config
    locks: Config


class FileManager(JobManager):
    """The manager of a job file; its alerts run jobs of the file."""

    def __init__(self, binding: "ManagerBinding", config: "ManagerConfig") -> None:
        self._binding = binding
        super().__init__(
            config.jobs,
            config.locks,
            threads=1,
            on_failure=binding.on_dead_run,
            alerts=binding.alerts,
            output=binding.output,
        )

    def _report_not_started(self, *_: object) -> None:
        """Report nothing: the outcome of the call of the job says it."""

    def _launch_alert(self, name: str, notice: Mapping[str, Any]) -> Launch:
        """Run a job of the file for an alert."""
        return self._binding.launch_alert(name, notice)


class ManagerBinding:
    """The manager of one run of a job file, and how it was opened.

    Attributes:
        manager: The manager, or None until it is open.
        overrides: The channels to use in place of those that the file names.
        if_running: What every job does if another run holds its lock, in place of what its args
            and the file say.
        output: How much is kept of what each run logs and prints.
        alerts: The rules of what is reported.
        launch_alert: Launches a job of the file for an alert, with its notice.
        on_dead_run: Called with the record of each run that is found dead.
        failure: The error for which it could not be opened; then no more jobs may run.
    """

    def __init__(
        self,
        overrides: ManagerConfig,
        if_running: IfRunning | None = None,
        output: OutputLimits = DEFAULT_LIMITS,
    ) -> None:
        self.manager: JobManager | None = None
        self.failure: Exception | None = None
        self.overrides = overrides
        self.if_running = if_running
        self.output = output
        self.on_dead_run: Callable[[dict[str, Any]], object] | None = None
        self.alerts: Sequence[Alert] = ()
        self.launch_alert: Callable[[str, Mapping[str, Any]], Launch]
        self._config: ManagerConfig | None = None
        self._lock = threading.Lock()

    def init(self, job: str, config: ManagerConfig) -> JobManager | None:
        """Open the manager and return it, or None if it is open already.

        Raises:
            JobMisuse: It is open with another configuration.
            ChannelError: It cannot be opened. Later calls raise the same error, so that no job runs
                unmanaged instead.
        """
        with self._lock:
            if self.failure is not None:
                raise self.failure
            try:
                return self._init(job, config)
            except Exception as error:
                self.failure = error
                raise

    def _init(self, job: str, config: ManagerConfig) -> JobManager | None:
        if self._config is not None:
            if config != (None, None) and not _same_config(config, self._config):
                present, wanted = _describe(self._config), _describe(config)
                reason = f"the manager is already open with {present}, not with {wanted}"
                raise JobMisuse(job, reason, f"call {INIT!r} once, before the jobs that need it")
            return None
        jobs, locks = self.overrides
        jobs = config.jobs if jobs is None else jobs
        locks = config.locks if locks is None else locks
        self.manager = FileManager(self, ManagerConfig(jobs, locks))
        self._config = config
        self.manager._before_reading()
        return self.manager

    @property
    def locks_alone(self) -> bool:
        """Whether the locks are in the memory of this process, though no configuration says so."""
        configured = self.overrides.locks or (self._config and self._config.locks)
        is_simple = self.manager is not None and self.manager.locks.type == "simple"
        return is_simple and configured is None

    def required(self, job: str, purpose: str) -> JobManager:
        """Return the manager.

        Raises:
            JobMisuse: It is not open yet.
        """
        if self.manager is None:
            reason = f"{purpose} needs the manager"
            raise JobMisuse(job, reason, f"put {INIT!r} before it in the todo")
        return self.manager

    def finish_alerts(self) -> None:
        """Send what is to be reported, while the jobs of alerts can still run."""
        if self.manager is not None:
            self.manager.alerts.close()

    def close(self) -> None:
        """Close the manager, if it is open."""
        if self.manager is not None:
            self.manager.close()


def _same_config(left: ManagerConfig, right: ManagerConfig) -> bool:
    return all(same(_normal(a), _normal(b)) for a, b in zip(left, right, strict=True))


def _normal(config: Config) -> Any:
    if isinstance(config, Mapping):
        return {"type": "simple", **config, "args": dict(config.get("args") or {})}
    return {"type": "simple", "args": {}} if config is None else config


def _describe(config: ManagerConfig) -> str:
    jobs, locks = (
        part.get("type", "simple") if isinstance(part, Mapping) else shown(part or "simple")
        for part in config
    )
    return f"chJobs {jobs} and chLocks {locks}"
