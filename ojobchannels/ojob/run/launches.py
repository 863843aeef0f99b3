"""Jobs that other jobs launch: on a pool, each after what it depends on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from ojobchannels.manager import Launch
from ojobchannels.manager.launcher import DidNotRun, Launcher
from ojobchannels.ojob.run.job_call import Flow
from ojobchannels.ojob.run.job_locks import INTERRUPTED
from ojobchannels.ojob.run.job_steps import Steps

if TYPE_CHECKING:
    from ojobchannels.ojob.run.session import Session

_BECAME: Final = {"failed": "failed", "skipped": "was skipped", "depsfail": "did not run"}


class Launches:
    """The jobs that were launched during a run of a job file."""

    def __init__(self, session: Session, threads: int) -> None:
        self._session = session
        self._launcher = Launcher(threads)
        self._all: set[_Launched] = set()
        self._at_work: set[Flow] = set()
        self._failed = False

    def submit(self, parent: Steps, flow: Flow) -> Launch:
        """Has a job run when those that it depends on are over.

        It waits for the latest launch of each by the same parent. Where there is none, what became
        of the dependency in the todo decides.
        """
        name = flow.job.name
        after: dict[str, Launch] = {}
        obstacle: str | None = None
        for dependency in flow.session.file.deps_of(name):
            if dependency in parent.launches:
                after[dependency] = parent.launches[dependency]
                continue
            became = self._session.result_in_todo(dependency)
            if became is None:
                parent.log(
                    "warn",
                    f"{name!r} is launched without {dependency!r}, on which it depends: nobody has "
                    "called it yet",
                )
            elif became != "completed":
                obstacle = waits_for(dependency, became)
        launched = _Launched(self._session, flow, obstacle)
        launch = self._launcher.submit(
            name, launched.work, after.values(), launched.does_not_follow
        )
        launched.launch = parent.launches[name] = launch
        self._all.add(launched)
        launch.then(lambda: self._over(launched))
        for dependency, other in after.items():
            if not other.done():
                self.in_time(dependency, launched.give_up)
        if self._session.stopping.is_set():
            launched.call_off()
        return launch

    def beside(
        self, name: str, work: Callable[[Launch], None], after: Iterable[Launch] = ()
    ) -> Launch:
        """Has work of the todo, or of a schedule, done on the pool when others are over."""
        return self._launcher.submit(name, work, after)

    def in_time(self, dependency: str, give_up: Callable[[str], None]) -> None:
        """Has somebody give up, for a reason, who waits too long for a job, if that is limited."""
        deadlines, limit = self._session.deadlines, self._session.file.deps_timeout
        if limit is not None:
            reason = f"it waited {limit} ms for {dependency!r}, which is not over"
            deadlines.call_at(deadlines.clock.now() + limit, partial(give_up, reason))

    @contextmanager
    def at_work(self, flow: Flow) -> Iterator[None]:
        """Surrounds a call that a schedule makes."""
        self._at_work.add(flow)
        try:
            yield
        finally:
            self._at_work.discard(flow)

    def call_off(self) -> None:
        """Calls off what has not begun."""
        for launched in tuple(self._all):
            with self._session.interrupts.shield():
                launched.call_off()

    def wait(self) -> None:
        """Waits until all that was launched is over and told."""
        self._launcher.wait()
        for launched in tuple(self._all):
            self._over(launched)

    def failed(self) -> bool:
        """Tells whether one of them failed."""
        return self._failed

    def unfinished(self) -> list[Flow]:
        """Returns those that are not over."""
        launched = [one.flow for one in tuple(self._all) if not one.launch.done()]
        return [flow for flow in (*launched, *tuple(self._at_work)) if not flow.outcome]

    def _over(self, launched: _Launched) -> None:
        """Forgets a launch: a daemon makes any number of them."""
        self._failed = self._failed or launched.launch.state == "failed"
        self._all.discard(launched)

    def close(self) -> None:
        """Ends the threads, when nothing runs any more."""
        self._launcher.close()


class _Launched:
    """One launched job; it is run or called off, whichever comes first."""

    launch: Launch

    def __init__(self, session: Session, flow: Flow, obstacle: str | None) -> None:
        self.flow = flow
        self._session = session
        self._obstacle = obstacle
        self._settled = False
        self._not: DidNotRun | None = None
        self._lock = threading.Lock()

    def work(self, launch: Launch) -> Any:
        """Runs the job on a thread of the pool."""
        self.flow.launch = launch
        if self._session.stopping.is_set():
            self.call_off()
        with self._lock:
            called_off, self._settled = self._settled, True
        if called_off:
            raise self._not or DidNotRun("skipped", INTERRUPTED)
        obstacle = self._session.obstacle() or self._obstacle
        outcome = self.flow.call_off("depsfail", obstacle) if obstacle else self.flow.run()
        self._session.keep(outcome)
        if outcome.error is not None:
            raise outcome.error
        if outcome.status in ("skipped", "depsfail"):
            raise DidNotRun(outcome.status, outcome.reason or "")
        return self.flow.answer

    def call_off(self) -> None:
        """Has the job not run any more, unless it has begun."""
        self._not_run("skipped", INTERRUPTED)

    def does_not_follow(self, launch: Launch, failed: Launch) -> None:
        """Tells that the job does not run because of one that it depends on."""
        self.launch = launch
        self._not_run("depsfail", waits_for(failed.name, failed.state))

    def give_up(self, reason: str) -> None:
        """Has the job not run any more, unless it has begun; who waits for it waits no longer."""
        if self._not_run("depsfail", reason):
            self.launch.finish("depsfail")

    def _not_run(self, status: Literal["skipped", "depsfail"], reason: str) -> bool:
        with self._lock:
            called_off, self._settled = not self._settled, True
            if called_off:
                self._not = DidNotRun(status, reason)
                self.flow.launch = self.launch
                self._session.keep(self.flow.call_off(status, reason))
        return called_off


def waits_for(dependency: str, became: str) -> str:
    """Tells why a job does not run."""
    return f"it waits for {dependency!r}, which {_BECAME[became]}"
