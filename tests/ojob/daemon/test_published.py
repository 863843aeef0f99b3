"""Daemons publish their schedules, and what becomes of them; jitter delays their fire times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ojobchannels.manager.schedules.cron import Interval
from ojobchannels.manager.schedules.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.manager import JobManager
    from tests.ojob.schedules import HandClock, RunDaemon, StoredRuns

pytest_plugins = ["tests.ojob.schedules"]

MINUTE = 60_000
TEXT = """\
jobs:
- name: Tick
  typeArgs: {timeInterval: 60000, jitter: 50000}
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {name: tick}
- name: Plain
  typeArgs: {cron: "0 3 * * *", stopWhen: channel("stop").size() > 0}
  exec: log("plain")
todo: [oJobManager Init, Tick, Plain, Tick]
"""


def _wait(manager: JobManager, seen: Callable[[], object]) -> None:
    """Wait until something is true; the test has a timeout."""
    while not seen():
        manager._closing.wait(0.05)


def test_jitter_delays_a_run_but_not_its_fire_time(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """It runs when the reader's timetable says so, and the record has the fire time."""
    daemon = start_daemon(TEXT.replace(", Plain, Tick]", "]"))
    noon = hand_clock.now()
    delay = Timetable(Interval(MINUTE), "tick", 50_000).due(noon + MINUTE) - noon
    assert MINUTE < delay < 2 * MINUTE
    hand_clock.move(delay - 1)
    assert stored_runs.fired() == []
    hand_clock.move(1)
    daemon.wait_for("Tick completed")
    assert stored_runs.fired() == [("tick", "12:01", "completed")]


def test_each_entry_of_the_todo_is_a_schedule(
    start_daemon: RunDaemon, stored_runs: StoredRuns
) -> None:
    """Two of one job have different names, by which operators act on them."""
    manager = stored_runs.manager
    start_daemon(TEXT)
    _wait(manager, manager.schedules)
    found = {info.name: (info.job, info.run, info.trigger) for info in manager.schedules()}
    assert found == {
        "tick": ("Tick", "tick", "every 60 s"),
        "tick #2": ("Tick", "tick", "every 60 s"),
        "Plain": ("Plain", None, "0 3 * * *"),
    }


def test_a_reload_publishes_the_new_schedules(
    start_daemon: RunDaemon, stored_runs: StoredRuns
) -> None:
    """Those that the new file has not are gone, and the hash of the file is another."""
    manager = stored_runs.manager
    daemon = start_daemon(TEXT)
    _wait(manager, manager.daemons)
    before = manager.daemons()[0].file_hash
    daemon.reload(TEXT.replace(", Plain, Tick]", "]"))
    _wait(manager, lambda: [info.name for info in manager.schedules()] == ["tick"])
    _wait(manager, lambda: manager.daemons()[0].file_hash != before)


def test_a_schedule_that_has_ended_is_not_due(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """Its `stopWhen` was true; it is known, and has no next time."""
    manager = stored_runs.manager
    text = TEXT.replace('log("plain")', 'channel("stop").set(1, 1)').replace(
        ", Plain, Tick]", ", Plain]"
    )
    daemon = start_daemon(text)
    hand_clock.move(24 * 60 * MINUTE)
    daemon.wait_for("Plain completed")
    hand_clock.move(24 * 60 * MINUTE)
    daemon.wait_for("schedule ended by `stopWhen`")
    _wait(
        manager,
        lambda: [one.next_time for one in manager.schedules() if one.name == "Plain"] == [None],
    )
