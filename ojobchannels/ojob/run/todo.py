"""Goes through the todo: call after call, or side by side, each after what it waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from ojobchannels.manager import Launch
from ojobchannels.manager.launcher import SIGNAL_POLL_SECONDS
from ojobchannels.ojob.run.job_call import Flow

if TYPE_CHECKING:
    from ojobchannels.ojob.daemon.daemon import Daemon

LONG: Final = 5
"""With so many calls, a todo is long: who looks on is told how far it is."""


class Agenda:
    """The calls of the todo of one run.

    A call that is made beside others runs on the pool. What opens the manager is waited for by all
    calls behind it, whether they name it under `deps` or not.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._session = daemon.session
        self._flows = self._session.todo()
        self._begun: set[Flow] = set()
        self._launches: dict[str, list[Launch]] = {}
        self._opening: list[Launch] = []
        self._lock = threading.Lock()

    def run(self) -> None:
        """Makes the calls, and waits for them.

        Raises:
            KeyboardInterrupt: It was interrupted; what has not begun is left out.
        """
        told = [flow for flow in self._flows if flow.job.is_for_now and not flow.job.bundled]
        for number, flow in enumerate(told if len(told) >= LONG else (), 1):
            flow.place = f"{number} of {len(told)}"
        try:
            for flow in self._flows:
                self._make(flow)
            for launch in (one for launches in self._launches.values() for one in launches):
                _await(launch)
                if error := launch.error():
                    raise error
            if self._session.stopping.is_set():
                self._leave_the_rest_out()
        except BaseException:
            self._leave_the_rest_out()
            raise

    def _make(self, flow: Flow) -> None:
        """Makes a call when those before it are over: here, or on the pool, without waiting."""
        name, file = flow.job.name, self._session.file
        missing = {dep: self._open(dep) for dep in file.deps_of(name)}
        for dep, launches in missing.items():
            if launches:
                self._session.launches.in_time(dep, partial(self._give_up, flow))
        before = [one for launches in (self._opening, *missing.values()) for one in launches]
        if not (file.is_async or flow.job.is_async):
            self._call_after(before, flow)
            return
        call = partial(self._call_beside, flow)
        launch = self._session.launches.beside(name, call, before)
        self._launches.setdefault(name, []).append(launch)
        if file.opens_manager(name):
            self._opening.append(launch)

    def _open(self, name: str) -> list[Launch]:
        """Returns the calls of a job that are on the pool and not over."""
        return [one for one in self._launches.get(name, ()) if not one.done()]

    def _call_after(self, before: list[Launch], flow: Flow) -> None:
        for launch in before:
            _await(launch, unless=lambda: flow in self._begun)
        if self._begins(flow):
            try:
                self._call(flow)
            finally:
                if flow.outcome is None:
                    self._begun.discard(flow)

    def _call_beside(self, flow: Flow, launch: Launch) -> None:  # noqa: ARG002  a task's face
        if self._begins(flow):
            with self._session.launches.at_work(flow):
                self._call(flow)

    def _begins(self, flow: Flow) -> bool:
        """Tells whether a call is to be made now: it is once, before anything stops the run."""
        with self._lock:
            if flow in self._begun or self._session.stopping.is_set():
                return False
            self._begun.add(flow)
            return True

    def _call(self, flow: Flow) -> None:
        session = self._session
        obstacle = session.obstacle_in_todo(flow.job.name)
        try:
            if obstacle is None and self._daemon.take_up(flow):
                return
            flow.run() if obstacle is None else flow.call_off("depsfail", obstacle)
        finally:
            if flow.outcome is not None:
                session.outcomes.append(flow.outcome)

    def _give_up(self, flow: Flow, reason: str) -> None:
        if self._begins(flow):
            self._session.outcomes.append(flow.call_off("depsfail", reason))

    def _leave_the_rest_out(self) -> None:
        with self._lock:
            self._session.stopping.set()
            self._session.left_out = [
                one for one in self._flows if one not in self._begun and one.job.is_for_now
            ]


def _await(launch: Launch, unless: Callable[[], bool] = lambda: False) -> None:
    """Waits for a launch, open to signals."""
    while not launch.wait(SIGNAL_POLL_SECONDS) and not unless():
        pass
