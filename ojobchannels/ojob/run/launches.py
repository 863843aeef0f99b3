"""Jobs that other jobs launch: on a pool of threads, each after its dependencies."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Protocol

from ojobchannels.errors import NoThread
from ojobchannels.manager import Launch
from ojobchannels.manager.local_launches.launcher import SIGNAL_POLL_SECONDS, DidNotRun, Launcher
from ojobchannels.manager.serving.timer import Scheduler
from ojobchannels.ojob.load.job_file import Job
from ojobchannels.ojob.process.interrupts import Interrupts
from ojobchannels.ojob.report.outcomes import NotRun, Outcome
from ojobchannels.ojob.run.progress import RunProgress, dependency_reason, left_with
from ojobchannels.ojob.schema.settings import SettingsSpec

INTERRUPTED: Final = "the run was interrupted before this job started"


class LaunchedCall(Protocol):
    """A call of a job on the pool: a `JobCall`, which is above this module."""

    job: Job
    launch: Launch | None
    outcome: Outcome | None
    result: Any

    def run(self) -> Outcome:
        """Run the job."""

    def cancel(self, status: NotRun, reason: str) -> Outcome:
        """Report that the job does not run."""

    def fail(self, error: Exception) -> Outcome:
        """Report that the job could not even start."""

    def leave(self, reason: str) -> Outcome:
        """Report that the job is left to another process."""


class Launches:
    """The jobs that were launched during a run of a job file.

    Args:
        progress: The outcomes of the run.
        interrupts: Holds signals back while launches are cancelled.
        deadlines: Ends waits for a dependency.
        settings: How many jobs run at a time, and how long one waits for a dependency.
    """

    def __init__(
        self,
        progress: RunProgress,
        interrupts: Interrupts,
        deadlines: Scheduler,
        settings: SettingsSpec,
    ) -> None:
        self._threads = settings.num_threads
        self._launcher = Launcher(self._threads)
        self._progress = progress
        self._interrupts = interrupts
        self._deadlines = deadlines
        self._deps_timeout = settings.deps_timeout
        self._launched: set[_Launched] = set()
        self._running: set[LaunchedCall] = set()
        self._hanging: set[object] = set()
        self._failed = False

    @property
    def capacity(self) -> int:
        """The number of jobs that may be on the pool, with those that wait for others."""
        return self._threads + self._launcher.waiting

    def submit(
        self,
        call: LaunchedCall,
        deps: Iterable[str],
        earlier: dict[str, Launch],
        warn: Callable[[str], None],
    ) -> Launch:
        """Run a job when its dependencies have ended, and add its launch to `earlier`.

        It waits for the latest launch of each dependency in `earlier`, those by the same parent.
        Without one, the status of the dependency in the todo decides.
        """
        name = call.job.name
        after: dict[str, Launch] = {}
        failed_dep: str | None = None
        for dependency in deps:
            if dependency in earlier:
                after[dependency] = earlier[dependency]
                continue
            status = self._progress.todo_status(dependency)
            if status is None:
                warn(f"launching {name!r} although its dependency {dependency!r} has not run")
            elif status != "completed":
                failed_dep = dependency_reason(dependency, status)
        launched = _Launched(self._progress, call, failed_dep)
        launch = self._launcher.submit(
            name, launched.work, after.values(), launched.dependency_failed, launched.refused
        )
        launched.launch = earlier[name] = launch
        self._launched.add(launched)
        launch._then(lambda: self._forget(launched))
        for dependency, other in after.items():
            if not other.done():
                self.limit_wait(dependency, launched.give_up)
        if self._progress.stopping.is_set():
            launched.cancel()
        return launch

    def run_on_pool(
        self,
        name: str,
        work: Callable[[Launch], None],
        after: Iterable[Launch] = (),
        refused: Callable[[NoThread], None] = lambda _: None,
    ) -> Launch:
        """Run work of the todo or of a schedule on the pool, after other launches have ended.

        Raises:
            NoThread: No thread can be had now; if none can be had later, `refused` is called.
        """
        return self._launcher.submit(name, work, after, refused=refused)

    def limit_wait(self, dependency: str, give_up: Callable[[str], None]) -> None:
        """Call `give_up` with a reason after `ojob.depsTimeout`, if that is set."""
        limit = self._deps_timeout
        if limit is not None:
            reason = f"dependency {dependency!r} did not end within {limit} ms"
            self._deadlines.call_at(self._deadlines.clock.now() + limit, partial(give_up, reason))

    @contextmanager
    def running(self, call: LaunchedCall) -> Iterator[None]:
        """Count a call that was not launched as running while the block runs."""
        self._running.add(call)
        try:
            yield
        finally:
            self._running.discard(call)

    def cancel(self) -> None:
        """Cancel the launches that have not started."""
        for launched in tuple(self._launched):
            with self._interrupts.shield():
                launched.cancel()

    def wait(self) -> None:
        """Wait until all launches have ended and were reported."""
        while not self._launcher.wait(SIGNAL_POLL_SECONDS):
            self._interrupts.check()
        for launched in tuple(self._launched):
            self._forget(launched)

    def failed(self) -> bool:
        """Return whether a launched job failed."""
        return self._failed

    def hang(self, call: object, launch: Launch | None, error: Exception) -> None:
        """Do not wait any more for a call whose code does not react to its time limit."""
        self._hanging.add(call)
        if launch is not None:
            launch._finish("failed", error=error)

    def return_from_hang(self, call: object) -> None:
        """Take note that such code has ended after all."""
        self._hanging.discard(call)

    def hanging(self) -> list[Any]:
        """Return the calls whose code keeps a thread of the pool."""
        return list(self._hanging)

    def unfinished(self) -> list[LaunchedCall]:
        """Return the calls that have not ended."""
        launched = [each.call for each in tuple(self._launched) if not each.launch.done()]
        return [call for call in (*launched, *tuple(self._running)) if not call.outcome]

    def _forget(self, launched: "_Launched") -> None:
        """Forget a launch that has ended: the number of a daemon's launches has no bound."""
        self._failed = self._failed or launched.launch.state == "failed"
        self._launched.discard(launched)

    def close(self) -> None:
        """End the threads, after all launches have ended."""
        self._launcher.close()


class _Launched:
    """One launched job; it is run or cancelled, whichever comes first."""

    launch: Launch

    def __init__(self, progress: RunProgress, call: LaunchedCall, failed_dep: str | None) -> None:
        self.call = call
        self._progress = progress
        self._failed_dep = failed_dep
        self._decided = False
        self._not_run: DidNotRun | None = None
        self._lock = threading.Lock()

    def work(self, launch: Launch) -> Any:
        """Run the job on a thread of the pool."""
        self.call.launch = launch
        if self._progress.stopping.is_set():
            self.cancel()
        with self._lock:
            cancelled, self._decided = self._decided, True
        if cancelled:
            raise self._not_run or DidNotRun("skipped", INTERRUPTED)
        blocked = self._progress.blocked_reason() or self._failed_dep
        outcome = self.call.cancel("depsfail", blocked) if blocked else self.call.run()
        self._progress.record(outcome)
        if outcome.error is not None:
            raise outcome.error
        launch.elsewhere = outcome.elsewhere
        if outcome.status in ("skipped", "depsfail"):
            raise DidNotRun(outcome.status, outcome.reason or "")
        return self.call.result

    def cancel(self) -> None:
        """Cancel the job, unless it has started."""
        self._cancel("skipped", INTERRUPTED)

    def dependency_failed(self, launch: Launch, failed: Launch) -> None:
        """Cancel the job because a dependency did not complete.

        If another process runs the dependency, it runs this job too.
        """
        self.launch = launch
        if failed.elsewhere:
            self._leave(launch, left_with(failed.name))
            return
        self._cancel("depsfail", dependency_reason(failed.name, failed.state))

    def _leave(self, launch: Launch, reason: str) -> None:
        with self._lock:
            left, self._decided = not self._decided, True
        if left:
            launch.elsewhere, self.call.launch = True, launch
            self._progress.record(self.call.leave(reason))
            launch._finish("skipped")

    def refused(self, error: NoThread) -> None:
        """Report that no thread can be had for the job."""
        with self._lock:
            decided, self._decided = self._decided, True
        if not decided:
            self._progress.record(self.call.fail(error))

    def give_up(self, reason: str) -> None:
        """Cancel the job, unless it has started, and end every wait for it."""
        if self._cancel("depsfail", reason):
            self.launch._finish("depsfail")

    def _cancel(self, status: NotRun, reason: str) -> bool:
        with self._lock:
            cancelled, self._decided = not self._decided, True
            if cancelled:
                self._not_run = DidNotRun(status, reason)
                self.call.launch = self.launch
                self._progress.record(self.call.cancel(status, reason))
        return cancelled
