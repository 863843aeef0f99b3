"""The hook spec of runs: what plugins and embedding programs hear of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ojobchannels.hookspecs import hookspec
from ojobchannels.manager.run_record import RunRecord

if TYPE_CHECKING:
    from ojobchannels.manager.manager import JobManager

RunEvent: TypeAlias = Literal[
    "started", "succeeded", "failed", "skipped", "abandoned", "lost", "cancelled"
]
"""What happens to a run."""

PREFIX: Final = "ojobchannels_run_"
EVENTS: Final[Mapping[str, RunEvent]] = {
    "running": "started",
    "completed": "succeeded",
    "failed": "failed",
    "skipped": "skipped",
    "depsfail": "skipped",
    "abandoned": "abandoned",
    "lost": "lost",
    "cancelled": "cancelled",
}
"""The event of each status."""


class RunSpec:
    """What happens to the runs of a manager; each hook may leave out arguments.

    Hooks are called in the thread that starts or ends the run, or finds it dead, after its record
    was written and before the next line of that thread: keep them short. Their errors are logged.
    """

    @hookspec
    def ojobchannels_run_started(self, record: RunRecord, manager: "JobManager") -> None:
        """A run has started."""

    @hookspec
    def ojobchannels_run_succeeded(self, record: RunRecord, manager: "JobManager") -> None:
        """A run has completed."""

    @hookspec
    def ojobchannels_run_failed(self, record: RunRecord, manager: "JobManager") -> None:
        """A run has failed, each attempt of a job with retries; or it could not even start."""

    @hookspec
    def ojobchannels_run_skipped(self, record: RunRecord, manager: "JobManager") -> None:
        """A run did not begin: its status is ``skipped`` or ``depsfail``."""

    @hookspec
    def ojobchannels_run_abandoned(self, record: RunRecord, manager: "JobManager") -> None:
        """This manager has found a run whose process died, and closed it."""

    @hookspec
    def ojobchannels_run_lost(self, record: RunRecord, manager: "JobManager") -> None:
        """A run has ended after it had lost its lock."""

    @hookspec
    def ojobchannels_run_cancelled(self, record: RunRecord, manager: "JobManager") -> None:
        """A run has ended after an operator cancelled it."""
