"""Pauses of schedules, which operators set from other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.manager.actions import journal
from ojobchannels.manager.schedules import pauses
from ojobchannels.manager.schedules.pauses import PauseInfo

if TYPE_CHECKING:
    from ojobchannels.manager import JobManager
    from tests.ojob.schedules import HandClock, RunDaemon, StoredRuns

pytest_plugins = ["tests.ojob.schedules"]

MINUTE = 60_000
TEXT = """\
jobs:
- name: Tick
  typeArgs: {cron: "* * * * *", misfire: MISFIRE}
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {name: tick}
- name: Other
  typeArgs: {cron: "* * * * *", waitForFinish: false}
  exec: log("other")
todo: [oJobManager Init, Tick, Other]
"""
PLAIN = """\
jobs:
- name: tick
  typeArgs: {cron: "* * * * *", misfire: MISFIRE}
  exec: log("ran")
- name: Other
  typeArgs: {cron: "* * * * *", waitForFinish: false}
  exec: log("other")
todo: [oJobManager Init, tick, Other]
"""


def _pause(manager: JobManager, clock: HandClock, until: int | None = None) -> None:
    """Pause the schedule, by the clock of the daemon."""
    pauses.write(manager.state, "tick", PauseInfo("ann", "moving", clock.now(), until))


def _resume(manager: JobManager, clock: HandClock) -> None:
    pauses.end(manager.state, "tick", clock.now())
    journal.record(manager.state, "resume", "tick")


@pytest.mark.parametrize(
    ("misfire", "statuses"),
    [
        ("latest", ["skipped", "skipped", "completed"]),
        ("all", ["completed", "completed", "completed"]),
        ("none", ["skipped", "skipped", "skipped"]),
    ],
)
def test_what_was_missed_during_a_pause_follows_misfire(
    start_daemon: RunDaemon,
    hand_clock: HandClock,
    stored_runs: StoredRuns,
    misfire: str,
    statuses: list[str],
) -> None:
    """A paused schedule does not run; after the resume the latest one runs, or all, or none."""
    daemon = start_daemon(TEXT.replace("MISFIRE", misfire))
    manager = stored_runs.manager
    _pause(manager, hand_clock)
    for _ in range(3):
        hand_clock.move(MINUTE)
        daemon.wait_for("Other: other")
    assert stored_runs.fired() == []
    hand_clock.move(MINUTE // 2)
    _resume(manager, hand_clock)
    for _ in range(statuses.count("completed")):
        daemon.wait_for("Tick completed")
    if "skipped" in statuses:
        daemon.wait_for("missed: the schedule was paused")
    daemon.stop()
    assert [status for *_, status in stored_runs.fired()] == statuses


def test_a_pause_with_an_end_resumes_by_itself(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """At its end the latest missed fire time runs, without waiting for the next one."""
    daemon = start_daemon(TEXT.replace("MISFIRE", "latest"))
    _pause(stored_runs.manager, hand_clock, hand_clock.now() + MINUTE + MINUTE // 2)
    hand_clock.move(MINUTE)
    daemon.wait_for("Other: other")
    assert stored_runs.fired() == []
    hand_clock.move(MINUTE // 2)
    daemon.wait_for("Tick completed")
    assert stored_runs.fired() == [("tick", "12:01", "completed")]


def test_run_now_runs_a_paused_schedule_once_over_two_daemons(
    start_daemon: RunDaemon, stored_runs: StoredRuns
) -> None:
    """One of the daemons runs it; the record has the author and the reason."""
    text, manager = TEXT.replace("MISFIRE", "latest"), stored_runs.manager
    daemons = [start_daemon(text), start_daemon(text)]
    while sum(daemon.alive for daemon in manager.daemons()) < 2:
        manager._closing.wait(0.05)
    manager.pause("tick", author="ann")
    taken = manager.run_now("Tick", author="bob", reason="the report is wanted")
    for daemon in daemons:
        daemon.stop()
    (run,) = manager.runs("tick")
    asked = {"action": taken.number, "author": "bob", "reason": "the report is wanted"}
    assert (run["status"], run["requested"]) == ("completed", asked)
    assert manager.actions(1)[0].details["runs"] == [run["runId"]]
    assert [daemon.alive for daemon in manager.daemons()] == [False, False]


@pytest.mark.parametrize(("misfire", "runs"), [("latest", 1), ("all", 2)])
def test_what_a_pause_held_back_outlives_reloads(
    start_daemon: RunDaemon,
    hand_clock: HandClock,
    stored_runs: StoredRuns,
    misfire: str,
    runs: int,
) -> None:
    """A job without records forgets no fire time of its pause when its file is reloaded."""
    text = PLAIN.replace("MISFIRE", misfire)
    daemon = start_daemon(text)
    _pause(stored_runs.manager, hand_clock)
    for _ in range(2):
        hand_clock.move(MINUTE)
        daemon.wait_for("Other: other")
        daemon.reload(text)
        daemon.wait_for("reloaded")
    hand_clock.move(MINUTE // 2)
    _resume(stored_runs.manager, hand_clock)
    for _ in range(runs):
        daemon.wait_for("tick: ran")
    daemon.stop()
    assert not any("tick: ran" in line for line in daemon.output.rest())
