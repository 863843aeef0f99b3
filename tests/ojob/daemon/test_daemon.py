"""A daemon: how it ends, reloads its file, and loses its server."""

from __future__ import annotations

import signal
import sys
import threading
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from ojobchannels.host.terminal import local_time
from ojobchannels.host.wakeup import Wakeup
from ojobchannels.ojob import Control
from ojobchannels.ojob.daemon.daemon import Request
from ojobchannels.testing.servers import or_skip
from ojobchannels.testing.servers.redis import RedisServer

if TYPE_CHECKING:
    from pathlib import Path

    from ojobchannels.manager import JobManager
    from tests.ojob.conftest import Run
    from tests.ojob.schedules import HandClock, RunDaemon, StoredRuns

pytest_plugins = ["tests.ojob.schedules"]

MINUTE = 60_000

SAYING = """\
jobs:
- name: Say
  typeArgs: {{cron: "* * * * *"}}
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {{name: say}}
  exec: log("{word}")
todo: [oJobManager Init, Say]
"""


def test_shutdown_jobs_run_at_the_end_in_reverse(run: Run) -> None:
    """They run after launched jobs have ended, and their failure fails the run."""
    result, reported = run(
        """\
        jobs:
        - {name: First, type: shutdown, exec: log("first")}
        - {name: Second, type: shutdown, exec: "log('second'); raise OSError('no disk')"}
        - {name: Work, exec: launch("Child")}
        - {name: Child, exec: log("child")}
        todo: [First, Second, Work]
        """
    )
    lines = [line for line in reported if ": " in line and "failed" not in line]
    assert lines == ["Child: child", "Second: second", "First: first"]
    assert result.exit_status == 1


def test_a_daemon_runs_its_shutdown_jobs_when_it_is_stopped(
    start_daemon: RunDaemon,
) -> None:
    """Not before, and the exit status is 0."""
    daemon = start_daemon(
        """\
        jobs:
        - {name: Bye, type: shutdown, exec: log("bye")}
        todo: [Bye]
        """
    )
    daemon.wait_for("Ready completed")
    daemon.wait_for("ojob: running until stopped")
    assert daemon.output.rest() == []
    assert daemon.stop().exit_status == 0
    assert daemon.wait_for("Bye: bye")


def test_a_job_with_a_failed_dependency_is_not_scheduled(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Its dependency decides when the todo reaches it; a reload does not change that."""
    text = """\
        jobs:
        - {name: Setup, exec: raise OSError("no disk")}
        - {name: Tick, deps: Setup, typeArgs: {cron: "* * * * *"}}
        - {name: Other, typeArgs: {cron: "* * * * *"}}
        todo: [Setup, Tick, Other]
        """
    daemon = start_daemon(text)
    daemon.wait_for("Tick depsfail (dependency 'Setup' failed)")
    hand_clock.move(MINUTE)
    daemon.wait_for("Other completed")
    daemon.reload(text)
    daemon.wait_for("Tick depsfail (dependency 'Setup' failed)")
    daemon.wait_for("reloaded: 1 schedule, next 'Other'")
    hand_clock.move(MINUTE)
    daemon.wait_for("Other completed")
    daemon.stop()
    assert not [line for line in daemon.output.rest() if line.startswith("Tick")]


def test_a_daemon_that_cannot_open_its_manager_ends_with_status_1(
    start_daemon: RunDaemon, tmp_path: Path
) -> None:
    """It does not keep running without anything to do."""
    config = {"type": "db", "args": {"file": str(tmp_path)}}
    daemon = start_daemon(SAYING.format(word="x"), config=config, ready="Ready depsfail")
    assert daemon.result().exit_status == 1


def test_launches_of_a_daemon_run_and_are_forgotten(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """They run on its pool and have a handle; their outcomes are not kept."""
    daemon = start_daemon(
        """\
        jobs:
        - name: Tick
          typeArgs: {cron: "* * * * *"}
          exec: |
            children = [launch("Child", {"n": n}) for n in range(5)]
            log(sum(child.result() for child in children))
        - {name: Child, exec: "return args['n']"}
        todo: [Tick]
        """
    )
    hand_clock.move(MINUTE)
    daemon.wait_for("Tick: 10")
    assert [outcome.job for outcome in daemon.stop().outcomes] == ["Ready"]


def test_a_reload_applies_new_jobs_and_fire_times(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """The todo is not repeated, and no fire time is lost or run twice."""
    daemon = start_daemon(SAYING.format(word="old"))
    hand_clock.move(MINUTE)
    daemon.wait_for("Say completed")
    daemon.reload(SAYING.format(word="new"))
    daemon.wait_for("reloaded: 1 schedule")
    hand_clock.move(MINUTE)
    daemon.wait_for("Say: new")
    daemon.wait_for("Say completed")
    daemon.stop()
    assert not [line for line in daemon.output.rest() if "here" in line]
    runs = [("say", "12:01", "completed"), ("say", "12:02", "completed")]
    assert stored_runs.fired() == runs


def test_a_schedule_that_is_removed_from_the_file_ends(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Another one that replaces it runs."""
    daemon = start_daemon(SAYING.format(word="old"))
    daemon.reload(SAYING.format(word="new").replace("say", "other").replace("Say", "Other"))
    daemon.wait_for("reloaded: 1 schedule")
    hand_clock.move(MINUTE)
    daemon.wait_for("Other: new")
    daemon.stop()
    assert not [line for line in daemon.output.rest() if line.startswith("Say")]


def test_a_reload_of_an_invalid_file_keeps_the_previous_version_running(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Each diagnostic is reported with its position, and that the previous version still runs."""
    daemon = start_daemon(SAYING.format(word="old"))
    daemon.reload(SAYING.format(word="new").replace("cron", "corn"))
    reported = daemon.wait_for("ojob: error: ")
    assert reported.endswith("jobs[0].typeArgs.corn: unknown key `corn`; did you mean `cron`?")
    daemon.wait_for("ojob: error: reload failed; still running the previous version")
    hand_clock.move(MINUTE)
    daemon.wait_for("Say: old")


def test_a_job_that_is_running_at_a_reload_ends_by_its_old_definition(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """Its `to` is that of the old file, even if the new file has no such job."""
    text = """\
        jobs:
        - name: Say
          typeArgs: {cron: "* * * * *"}
          to: After
          exec: |
            log("at work")
            channel("oJobManager-locks").lock("gate", ttl=60, wait=60).release()
        - {name: After, exec: log("after")}
        todo: [oJobManager Init, Say]
        """
    daemon = start_daemon(text)
    with stored_runs.manager.locks.lock("gate", ttl=60):
        hand_clock.move(MINUTE)
        daemon.wait_for("Say: at work")
        daemon.reload(SAYING.format(word="new"))
        daemon.wait_for("reloaded")
    daemon.wait_for("Say: after")
    daemon.wait_for("Say completed")


def test_an_unmanaged_job_that_is_running_at_a_reload_is_not_started_again(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """Its next fire time comes from the new file, and is skipped as before."""
    text = """\
        jobs:
        - name: Say
          typeArgs: {cron: "* * * * *"}
          exec: |
            log("at work")
            channel("oJobManager-locks").lock("gate", ttl=60, wait=60).release()
        todo: [oJobManager Init, Say]
        """
    daemon = start_daemon(text)
    with stored_runs.manager.locks.lock("gate", ttl=60):
        hand_clock.move(MINUTE)
        daemon.wait_for("Say: at work")
        daemon.reload(text)
        daemon.wait_for("reloaded")
        hand_clock.move(MINUTE)
        due = datetime(2026, 3, 1, 12, 2, tzinfo=UTC).astimezone()
        daemon.wait_for(f"not run for {due}: the previous run is still active")
    daemon.wait_for("Say completed")
    hand_clock.move(MINUTE)
    daemon.wait_for("Say: at work")


def test_no_fire_time_is_lost_during_a_reload(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """A fire time between the old and the new schedule is handled by one of them."""

    class Leaping(type(hand_clock)):  # type: ignore[misc]  # the class of a fixture
        """Jumps by a minute at the second reading."""

        reads = 0

        def now(self) -> int:
            self.reads -= 1
            if self.reads == 0:
                self._now += MINUTE
            return int(super().now())

    clock = Leaping()
    text = """\
        jobs:
        - {name: Tick, typeArgs: {cron: "* * * * *", misfire: all}}
        todo: [Tick]
        """
    daemon = start_daemon(text, clock=clock)
    daemon.wait_for("Ready completed")
    clock.settle()
    clock.reads = 2
    daemon.reload(text)
    daemon.wait_for("reloaded")
    clock.move(MINUTE)
    for _ in range(2):
        daemon.wait_for("Tick completed")


def test_a_signal_that_wakes_no_wait_is_still_handled() -> None:
    """Such as one that arrives just before the wait begins, or on another thread."""
    control, main = Control(), threading.get_ident()

    def hang_up() -> None:
        waits = (Control.next.__code__, Wakeup.wait.__code__)
        while sys._current_frames()[main].f_code not in waits:
            pass
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: control.reload())
    other = threading.Thread(target=hang_up)
    other.start()
    try:
        assert control.next(60) is Request.RELOAD
    finally:
        other.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_paused_schedule_resumes_even_if_the_clock_is_set_back(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Its next attempt does not wait until the clock has caught up."""
    pytest.importorskip("ojobchannels_redis")
    with or_skip():
        server = RedisServer()
        server.start()
    try:
        config = {"type": "redis", "args": {"url": server.url, "timeout": 1}}
        daemon = start_daemon(SAYING.format(word="hello"), config=config)
        server.shut_down()
        hand_clock.move(MINUTE)
        daemon.wait_for("Say: error: schedule paused until the store is reachable: ")
        server.start()
        hand_clock.move(-60 * MINUTE)
        daemon.wait_for("Say: schedule resumed")
        daemon.wait_for("Say completed")
    finally:
        server.stop()


def test_a_schedule_that_loses_its_server_pauses_and_resumes(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """This is reported once; when the server is back, the latest fire time runs, then the rest as
    usual."""
    pytest.importorskip("ojobchannels_redis")
    with or_skip():
        server = RedisServer()
        server.start()
    try:
        config = {"type": "redis", "args": {"url": server.url, "timeout": 1}}
        daemon = start_daemon(SAYING.format(word="hello"), config=config)
        hand_clock.move(MINUTE)
        daemon.wait_for("Say completed")
        server.shut_down()
        hand_clock.move(MINUTE)
        daemon.wait_for("Say: error: schedule paused until the store is reachable: ")
        hand_clock.move(MINUTE)
        server.start()
        while not daemon.output.reports("Say: schedule resumed", within=0.2):
            hand_clock.move(MINUTE)
        daemon.wait_for("Say completed")
        assert not [line for line in daemon.output.rest() if "schedule paused" in line]
    finally:
        server.stop()


def test_a_daemon_reports_its_schedules_and_its_shutdown(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """So that a waiting daemon does not look like one that hangs."""
    daemon = start_daemon(SAYING.format(word="old"))
    reported = daemon.wait_for("running until")
    next_time = local_time(hand_clock.now() + 60_000)
    assert reported == f"ojob: running until stopped: 1 schedule, next 'Say' at {next_time}"
    daemon.stop()
    daemon.wait_for("ojob: shutting down; no new jobs will start")


def test_a_reload_applies_new_settings_of_jobs(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Such as the common `catch`; the todo is not run again."""
    text = """\
        ojob: {daemon: true, async: true, catch: "log('WORD')"}
        jobs:
        - {name: Once, exec: log("once")}
        - {name: Tick, typeArgs: {cron: "* * * * *"}, exec: raise ValueError}
        todo: [Once, Tick]
        """
    daemon = start_daemon(text.replace("WORD", "first"))
    daemon.wait_for("Once: once")
    daemon.wait_for("Once completed")
    daemon.wait_for("running until stopped: 1 schedule")
    hand_clock.move(MINUTE)
    daemon.wait_for("Tick: first")
    daemon.wait_for("Tick failed")
    daemon.reload(text.replace("WORD", "second"))
    daemon.wait_for("reloaded: 1 schedule")
    hand_clock.move(MINUTE)
    daemon.wait_for("Tick: second")
    daemon.stop()
    assert not [line for line in daemon.output.rest() if line.startswith("Once")]


def test_a_daemon_closes_dead_runs_without_being_asked(
    start_daemon: RunDaemon, manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A monitor outside finds the end of a run whose process died, though no job starts."""
    monkeypatch.setattr("ojobchannels.ojob.daemon.daemon._CLOSE_DEAD_RUNS_SECONDS", 0.05)
    daemon = start_daemon(SAYING.format(word="never"))
    daemon.wait_for("running until stopped")
    run = manager.start("dead")
    run._give_up(RuntimeError())
    with manager.jobs.subscribe((changes := SimpleQueue[Any]()).put, replay=True):
        while (record := changes.get(timeout=60).value)["status"] == "running":
            pass
    assert (record["status"], record["inError"]) == ("abandoned", True)
