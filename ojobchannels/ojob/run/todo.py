"""The todo: its calls one after another or in parallel, each after its dependencies."""

import itertools
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from ojobchannels.errors import NoThread
from ojobchannels.manager import Launch
from ojobchannels.manager.local_launches.launcher import SIGNAL_POLL_SECONDS
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.run.job_call import JobCall
from ojobchannels.ojob.run.session import Session

MIN_CALLS_WITH_POSITION: Final = 5
"""The number of calls from which on the report of each one shows its position in the todo."""


def todo_calls(session: Session) -> list[JobCall]:
    """Return the calls of the todo, each after its dependencies."""
    calls = [
        JobCall(session, entry.variant, [session.command_line, Layer(args, True)])
        for entry in session.file.ordered_todo()
        for args in entry.calls
    ]
    for number, call in enumerate(calls):
        call.number, call.tick = number, session.tick
    return calls


class TodoRunner:
    """Runs the calls of the todo once.

    A parallel call runs on the pool. Every later call waits for one that opens the manager, whether
    its `deps` name it or not.

    Args:
        session: The run of the job file.
        defer: Takes a call that does not run now, such as one with a schedule; returns whether it
            has taken it.

    Attributes:
        not_started: The calls that were not started because of an interrupt.
    """

    def __init__(self, session: Session, defer: Callable[[JobCall], bool]) -> None:
        self.not_started: list[JobCall] = []
        self._session = session
        self._defer = defer
        self._calls = todo_calls(session)
        self._begun: set[JobCall] = set()
        self._launches: dict[str, list[Launch]] = {}
        self._manager_openers: list[Launch] = []
        self._lock = threading.Lock()

    def run(self) -> None:
        """Run the calls, and wait for them.

        Raises:
            Interrupted: The run was interrupted; the calls that have not begun do not run.
        """
        shown = [call for call in self._calls if call.job.is_for_now and not call.job.bundled]
        for number, call in enumerate(shown if len(shown) >= MIN_CALLS_WITH_POSITION else (), 1):
            call.position = f"{number} of {len(shown)}"
        try:
            for call in self._calls:
                self._make(call)
            for launch in itertools.chain.from_iterable(self._launches.values()):
                self._wait(launch)
                if (error := launch.error) is not None:
                    raise error
            self._session.interrupts.check()
            if self._session.stopping.is_set():
                self._stop()
        except BaseException:
            self._stop()
            raise

    def _make(self, call: JobCall) -> None:
        """Run a call here when those before it have ended, or queue it for the pool."""
        name, file = call.job.name, self._session.file
        running = {dep: self._running(dep) for dep in file.deps_of(name)}
        for dep, launches in running.items():
            if launches:
                self._session.launches.limit_wait(dep, partial(self._give_up, call))
        before: list[Launch] = sum(running.values(), start=[*self._manager_openers])
        if not (file.settings.is_async or call.job.is_async):
            self._run_after(before, call)
            return
        work = partial(self._run_on_pool, call)
        refused = partial(self._fail, call)
        try:
            launch = self._session.launches.run_on_pool(name, work, before, refused)
        except NoThread as error:
            refused(error)
            return
        self._launches.setdefault(name, []).append(launch)
        if file.opens_manager(name):
            self._manager_openers.append(launch)

    def _running(self, name: str) -> list[Launch]:
        """Return the calls of a job that are on the pool and have not ended."""
        return [launch for launch in self._launches.get(name, ()) if not launch.done()]

    def _run_after(self, before: Sequence[Launch], call: JobCall) -> None:
        for launch in before:
            self._wait(launch, unless=lambda: call in self._begun)
        if self._begin(call):
            try:
                self._run(call)
            finally:
                if call.outcome is None:
                    self._begun.discard(call)

    def _run_on_pool(self, call: JobCall, launch: Launch) -> None:  # noqa: ARG002  work gets its launch
        if self._begin(call):
            with self._session.launches.running(call):
                self._run(call)

    def _begin(self, call: JobCall) -> bool:
        """Return whether the call is to run now: only the first time, and not while stopping."""
        with self._lock:
            if call in self._begun or self._session.stopping.is_set():
                return False
            self._begun.add(call)
            return True

    def _run(self, call: JobCall) -> None:
        session = self._session
        deps = session.file.deps_of(call.job.name)
        blocked, left = session.progress.blocked_reason(deps), session.progress.left_reason(deps)
        try:
            if left is not None:
                call.leave(left)
            elif blocked is not None:
                call.cancel("depsfail", blocked)
            elif not self._defer(call):
                call.run()
        finally:
            if call.outcome is not None:
                session.progress.record(call.outcome)

    def _give_up(self, call: JobCall, reason: str) -> None:
        if self._begin(call):
            self._session.progress.record(call.cancel("depsfail", reason))

    def _fail(self, call: JobCall, error: NoThread) -> None:
        if self._begin(call):
            self._session.progress.record(call.fail(error))

    def _stop(self) -> None:
        with self._lock:
            self._session.stopping.set()
            self.not_started = [
                call for call in self._calls if call not in self._begun and call.job.is_for_now
            ]

    def _wait(self, launch: Launch, unless: Callable[[], bool] = lambda: False) -> None:
        """Wait for a launch, interruptible by signals."""
        while not launch.wait(SIGNAL_POLL_SECONDS) and not unless():
            self._session.interrupts.check()
