"""Operators and daemons in different processes: what is paused, run, dead and overdue."""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Callable
from typing import Any

import pytest

from ojobchannels.errors import RunCancelled
from ojobchannels.manager import JobManager
from ojobchannels.manager.actions import journal
from ojobchannels.manager.schedules.overview import ScheduleInfo
from ojobchannels.manager.serving.presence import Presence
from ojobchannels.manager.serving.requested_run import RequestedRun
from ojobchannels.ojob.report.outcomes import Outcome
from ojobchannels.testing.programs import Program
from tests.ojob.programs import RUN

pytestmark = pytest.mark.kit  # on one interpreter: kills and signals are the same on all
pytest_plugins = ["tests.ojob.processes"]

JOBS = """\
include: oJobManager.yaml
ojob: {{daemon: true}}
jobs:
- name: Init
  to: oJobManager Init
  args: {{chJobs: {config}, chLocks: {config}}}
- name: Work
  typeArgs: {{timeInterval: 500, overdueAfter: 2000}}
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {{name: "{name}"}}
todo: [Init, Work]
"""
POLL_SECONDS = 0.1


class Operator:
    """A process that looks at the daemons from outside."""

    def __init__(self, manager: JobManager, name: str) -> None:
        self.manager = manager
        self.name = name

    def wait_until(self, seen: Callable[[], object]) -> None:
        """Wait until something is true; the test has a timeout."""
        while not seen():
            self.manager._closing.wait(POLL_SECONDS)

    def schedule(self) -> ScheduleInfo:
        """The schedule, as this process sees it."""
        return next(one for one in self.manager.schedules() if one.name == self.name)

    def alive(self) -> list[int]:
        """The process ids of the daemons that have the schedule and are alive."""
        known = [one for one in self.manager.schedules() if one.name == self.name]
        return [daemon.pid for one in known for daemon in one.daemons if daemon.alive]

    def completed(self, since: int) -> list[dict[str, Any]]:
        """The records of completed runs for fire times after a moment, in milliseconds."""
        runs = self.manager.runs(self.name, status="completed", since=since / 1000)
        return [run for run in runs if run.get("fireTime", 0) > since]


@pytest.mark.parametrize("shared_place", ["db", "redis"], indirect=True)
def test_a_pause_a_kill_and_a_stop_are_seen_from_outside(
    start: Callable[..., Program], shared_place: dict[str, Any]
) -> None:
    """Of two daemons one is killed, one is stopped by a signal; each is known within seconds."""
    name = f"work-{secrets.token_hex(4)}"
    text = JOBS.format(config=json.dumps(shared_place), name=name)
    first, second = start(RUN, text), start(RUN, text)
    with JobManager(shared_place, shared_place) as manager:
        operator = Operator(manager, name)
        operator.wait_until(lambda: sorted(operator.alive()) == sorted([first.pid, second.pid]))
        operator.wait_until(lambda: operator.completed(0))

        pause = manager.pause(name, author="ann", reason="the store is moved")
        manager._closing.wait(1.5)
        assert operator.completed(pause.since) == []
        assert operator.schedule().paused == pause
        taken = manager.run_now("Work", author="bob", reason="wanted")
        operator.wait_until(lambda: manager.actions(1)[0].state == "done")
        asked = [run["requested"] for run in manager.runs(name) if "requested" in run]
        assert asked == [{"action": taken.number, "author": "bob", "reason": "wanted"}]
        (past,) = manager.actions(1)[0].details["runs"]
        again = manager.rerun(past, author="bob")
        operator.wait_until(lambda: manager.actions(1)[0].state == "done")
        (made,) = manager.actions(1)[0].details["runs"]
        record = manager.record(made)
        assert record is not None
        assert record["requested"]["action"] == again.number

        first.kill()
        first.wait()
        operator.wait_until(lambda: operator.alive() == [second.pid])
        manager.resume(name, author="ann")
        operator.wait_until(lambda: operator.completed(pause.since))
        missed = manager.runs(name, status="skipped")
        assert "missed: the schedule was paused" in {run["reason"] for run in missed}

        second.send_signal(signal.SIGSTOP)
        operator.wait_until(lambda: operator.schedule().overdue_since is not None)
        operator.wait_until(lambda: operator.alive() == [])
        second.send_signal(signal.SIGCONT)
        operator.wait_until(lambda: operator.alive() == [second.pid])
        operator.wait_until(lambda: operator.schedule().overdue_since is None)

        second.terminate()
        assert second.wait() == 0
        (stopped,) = [one for one in manager.daemons() if one.pid == second.pid]
        assert (stopped.alive, stopped.stopped is not None) == (False, True)
        operator.wait_until(lambda: operator.schedule().overdue_since is not None)


def test_the_action_of_a_run_that_was_cancelled_says_so() -> None:
    """As the record of the run does: it has not failed by itself."""
    with JobManager() as manager:
        request = journal.record(manager.state, "now", "nightly", requested=True)
        daemon = Presence(manager.state, "/srv/jobs.yaml", "hash").info
        requested = RequestedRun(manager.state, request, daemon, lambda: ())
        assert requested.take() is not None
        requested.done(Outcome("Work", "failed", error=RunCancelled("work", "1", "ann", "enough")))
        assert manager.actions(1)[0].details["status"] == "cancelled"
