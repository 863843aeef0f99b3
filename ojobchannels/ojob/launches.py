"""Jobs that other jobs launch: on a pool, each after what it depends on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ojobchannels.manager import Launch
from ojobchannels.manager.launching import Launcher, NotRun
from ojobchannels.ojob.flow import Flow
from ojobchannels.ojob.steps import Steps

if TYPE_CHECKING:
    from ojobchannels.ojob.session import Session

_BECAME = {"failed": "failed", "skipped": "was skipped", "depsfail": "did not run"}


class Launches:
    """The jobs that were launched during a run of a job file."""

    def __init__(self, session: Session, threads: int) -> None:
        self._session = session
        self._launcher = Launcher(threads)
        self._all: list[tuple[Launch, Flow, list[Launch]]] = []
        self._telling = threading.Lock()

    def submit(self, parent: Steps, flow: Flow) -> Launch:
        """Has a job run when those that it depends on are over.

        It waits for the latest launch of each by the same parent. Where there is none, what became
        of the dependency in the todo decides.
        """
        name = flow.job.name
        after: list[Launch] = []
        obstacle: str | None = None
        for dependency in self._session.file.deps_of(name):
            if dependency in parent.launches:
                after.append(parent.launches[dependency])
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
        launch = self._launcher.submit(
            name, lambda launch: self._work(launch, flow, obstacle), after
        )
        parent.launches[name] = launch
        self._all.append((launch, flow, after))
        launch.then(lambda: self._tell_if_not_run(launch, flow, after))
        return launch

    def wait(self) -> None:
        """Waits until all that was launched is over and told."""
        self._launcher.wait()
        for launched in self._all:
            self._tell_if_not_run(*launched)

    def failed(self) -> bool:
        """Tells whether one of them failed."""
        return any(launch.state == "failed" for launch, _, _ in self._all)

    def unfinished(self) -> tuple[str, ...]:
        """Returns the names of those that are not over."""
        return tuple(launch.name for launch, _, _ in self._all if not launch.done())

    def close(self) -> None:
        """Ends the threads, when nothing runs any more."""
        self._launcher.close()

    def _work(self, launch: Launch, flow: Flow, obstacle: str | None) -> Any:
        session = self._session
        flow.launch = launch
        obstacle = session.obstacle() or obstacle
        if session.stopping.is_set():
            outcome = flow.call_off("skipped", "the run was interrupted before it began")
        elif obstacle is not None:
            outcome = flow.call_off("depsfail", obstacle)
        else:
            outcome = flow.run()
        session.outcomes.append(outcome)
        if outcome.error is not None:
            raise outcome.error
        if outcome.status in ("skipped", "depsfail"):
            raise NotRun(outcome.status, outcome.reason or "")
        return flow.answer

    def _tell_if_not_run(self, launch: Launch, flow: Flow, after: list[Launch]) -> None:
        with self._telling:
            if launch.state != "depsfail" or flow.outcome is not None:
                return
            flow.launch = launch
            for one in after:
                if one.state in _BECAME:
                    reason = waits_for(one.name, one.state)
                    self._session.outcomes.append(flow.call_off("depsfail", reason))
                    return


def waits_for(dependency: str, became: str) -> str:
    """Tells why a job does not run."""
    return f"it waits for {dependency!r}, which {_BECAME[became]}"
