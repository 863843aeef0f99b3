"""The outcomes of one run of a job file so far, and whether another job may still start."""

from collections.abc import Iterable
from typing import Final

from ojobchannels.host.wakeup import Latch
from ojobchannels.ojob.report.outcomes import Outcome, Status
from ojobchannels.ojob.run.manager_binding import ManagerBinding

_VERBS: Final = {"failed": "failed", "skipped": "was skipped", "depsfail": "did not run"}


class RunProgress:
    """The outcomes of one run of a job file.

    Attributes:
        outcomes: The outcomes of the jobs that the todo called or that were launched. A daemon,
            which never ends, keeps those of its todo only.
        stopping: Set when no new job may start.
        state: The state of the run, by which `typeArgs.when` decides whether a job runs.
    """

    state = "init"

    def __init__(
        self, binding: ManagerBinding, daemon: bool, stopping: Latch | None = None
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.stopping = stopping or Latch()
        self._binding = binding
        self._daemon = daemon

    def record(self, outcome: Outcome) -> None:
        """Keep the outcome of a call."""
        if not (self._daemon and outcome.launched):
            self.outcomes.append(outcome)

    def todo_status(self, name: str) -> Status | None:
        """Return the status of a job that the todo has called: the worst one of several calls."""
        calls = [each for each in self.outcomes if each.job == name and not each.launched]
        statuses = [each.status for each in calls]
        bad = (status for status in statuses if status != "completed")
        return next(bad, statuses[0] if statuses else None)

    def blocked_reason(self, deps: Iterable[str] = ()) -> str | None:
        """Return why a job with these dependencies must not run, or None if it may."""
        if self._binding.failure is not None:
            return "the manager could not be opened"
        for name in deps:
            status = self.todo_status(name)
            if status is not None and status != "completed":
                return dependency_reason(name, status)
        return None

    def left_reason(self, deps: Iterable[str]) -> str | None:
        """Return why a job is left to another process, if that runs one of its dependencies."""
        left = {each.job for each in self.outcomes if each.elsewhere}
        return next((left_with(name) for name in deps if name in left), None)


def left_with(dependency: str) -> str:
    """Return why a job is left to another process together with its dependency."""
    return f"another process runs {dependency!r}, on which it depends"


def dependency_reason(dependency: str, status: str) -> str:
    """Return why a job does not run after a dependency that did not complete."""
    return f"dependency {dependency!r} {_VERBS[status]}"
