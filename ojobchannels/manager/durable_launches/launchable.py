"""What can be launched durably, as the worker sees it: functions, and jobs of a job file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from ojobchannels.errors import JobError
from ojobchannels.manager.records import Record


class NotNow(JobError):
    """Raised by an attempt that cannot begin now; the launch is put back."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class LaunchedRun(Protocol):
    """The run of one attempt at a launch."""

    @property
    def run_id(self) -> str | None:
        """The identifier of its record; None if the job keeps none."""

    @property
    def status(self) -> str:
        """The status in its record; ``new`` until it has begun."""

    @property
    def record(self) -> Record:
        """Its record; empty if the job keeps none."""


class LaunchableJob(Protocol):
    """A job that the worker runs."""

    name: str

    @property
    def _retries(self) -> int:
        """The number of further attempts after a failure, unless the launch has its own."""

    @property
    def _max_concurrent(self) -> int:
        """The number of its runs that may be active at a time, as far as that is known."""

    @property
    def _skips(self) -> bool:
        """Whether a launch is skipped if the job is running elsewhere."""

    @property
    def _secret_args(self) -> Collection[str]:
        """The names of arguments that are secrets, beside those that look like one."""

    def _new_launched_run(
        self, args: Mapping[str, Any], attempt: int, retries: int, launch_id: str
    ) -> LaunchedRun:
        """Return the run of one attempt.

        Raises:
            Exception: The job does not take these arguments: no attempt can succeed.
        """

    def _attempt(
        self,
        run: Any,
        args: Mapping[str, Any],
        begun: Callable[[], None],
        returned: Callable[[Any], None],
        *,
        is_last: bool,
    ) -> None:
        """Make one attempt, without a notice of its failure.

        Args:
            run: What `_new_launched_run` has returned.
            args: The arguments.
            begun: Called when the run has begun, before any work.
            returned: Called with the result of the work, before the run ends.
            is_last: Whether there is no further attempt after this one.

        Raises:
            NotNow: It could not begin.
            DidNotRun: It is skipped.
            BaseException: The work has failed.
        """

    def _pause_after(self, attempt: int) -> float:
        """Return the pause after a failed attempt, in seconds."""

    def _report_failed(self, record: Record) -> None:
        """Report the failure of the last attempt."""


class LaunchableJobs(Protocol):
    """The jobs whose launches a worker takes."""

    def names(self) -> tuple[str, ...]:
        """Return their names."""

    def get(self, name: str) -> LaunchableJob:
        """Return the job of a name.

        Raises:
            UnknownJob: No job has it.
        """
