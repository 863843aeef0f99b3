"""A job file that goes on after its todo: how it ends, reads its file again, loses its server."""

from __future__ import annotations

import signal
import sys
import threading
from datetime import datetime
from typing import TYPE_CHECKING

from ojobchannels.ojob import Control
from ojobchannels.ojob.daemon.control import Request
from ojobchannels.testing.servers import or_skip
from ojobchannels.testing.servers.redis import RedisServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ojob.conftest import Run
    from tests.ojob.schedules import Books, HandClock, RunDaemon

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


def test_without_daemon_a_schedule_is_left_out_with_a_warning(run: Run) -> None:
    """The run ends with its todo, as ever; nobody waits for a time that never comes."""
    result, told = run(
        """\
        jobs:
        - name: Tick
          typeArgs: {cron: "* * * * *"}
          exec: log("ran")
        todo: [Tick]
        """
    )
    said = "its fire times come after the run has ended; write `daemon: true` under `ojob`"
    assert told == [f"Tick: warn: {said}"]
    assert result.exit_status == 0


def test_shutdown_jobs_run_at_the_end_in_reverse(run: Run) -> None:
    """When all else is over, also what was launched; their failure is one of the run."""
    result, told = run(
        """\
        jobs:
        - {name: First, type: shutdown, exec: log("first")}
        - {name: Second, type: shutdown, exec: "log('second'); raise OSError('no disk')"}
        - {name: Work, exec: launch("Child")}
        - {name: Child, exec: log("child")}
        todo: [First, Second, Work]
        """
    )
    lines = [line for line in told if ": " in line and "failed" not in line]
    assert lines == ["Child: child", "Second: second", "First: first"]
    assert result.exit_status == 1


def test_a_daemon_runs_its_shutdown_jobs_when_it_is_stopped(
    start_daemon: RunDaemon,
) -> None:
    """Not before; and it ends with status 0."""
    daemon = start_daemon(
        """\
        jobs:
        - {name: Bye, type: shutdown, exec: log("bye")}
        todo: [Bye]
        """
    )
    daemon.hear("Ready completed")
    daemon.hear("ojob: running until stopped")
    assert daemon.output.rest() == []
    assert daemon.stop().exit_status == 0
    assert daemon.hear("Bye: bye")


def test_what_waits_for_a_failed_job_is_not_scheduled(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Its dependency decides when the todo comes to it; reading the file again changes nothing."""
    text = """\
        jobs:
        - {name: Setup, exec: raise OSError("no disk")}
        - {name: Tick, deps: Setup, typeArgs: {cron: "* * * * *"}}
        - {name: Other, typeArgs: {cron: "* * * * *"}}
        todo: [Setup, Tick, Other]
        """
    daemon = start_daemon(text)
    daemon.hear("Tick depsfail (dependency 'Setup' failed)")
    hand_clock.advance(MINUTE)
    daemon.hear("Other completed")
    daemon.reread(text)
    daemon.hear("Tick depsfail (dependency 'Setup' failed)")
    daemon.hear("reloaded: 1 schedule, next 'Other'")
    hand_clock.advance(MINUTE)
    daemon.hear("Other completed")
    daemon.stop()
    assert not [line for line in daemon.output.rest() if line.startswith("Tick")]


def test_a_daemon_that_cannot_open_its_manager_ends_with_status_1(
    start_daemon: RunDaemon, tmp_path: Path
) -> None:
    """Whoever started it is told, rather than left with a daemon that does nothing."""
    place = {"type": "db", "args": {"file": str(tmp_path)}}
    daemon = start_daemon(SAYING.format(word="x"), place=place, ready="Ready depsfail")
    assert daemon.result().exit_status == 1


def test_launches_of_a_daemon_are_executed_and_forgotten(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """They run on its pool and answer with a handle; what became of them is not kept for ever."""
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
    hand_clock.advance(MINUTE)
    daemon.hear("Tick: 10")
    assert [outcome.job for outcome in daemon.stop().outcomes] == ["Ready"]


def test_a_file_that_is_read_again_brings_its_jobs_and_times(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """What the todo did at the start is not done again; no fire time is lost or run twice."""
    daemon = start_daemon(SAYING.format(word="old"))
    hand_clock.advance(MINUTE)
    daemon.hear("Say completed")
    daemon.reread(SAYING.format(word="new"))
    daemon.hear("reloaded: 1 schedule")
    hand_clock.advance(MINUTE)
    daemon.hear("Say: new")
    daemon.hear("Say completed")
    daemon.stop()
    assert not [line for line in daemon.output.rest() if "here" in line]
    runs = [("say", "12:01", "completed"), ("say", "12:02", "completed")]
    assert books.fired() == runs


def test_a_schedule_that_is_taken_out_of_the_file_ends(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Another one, in its place, runs."""
    daemon = start_daemon(SAYING.format(word="old"))
    daemon.reread(SAYING.format(word="new").replace("say", "other").replace("Say", "Other"))
    daemon.hear("reloaded: 1 schedule")
    hand_clock.advance(MINUTE)
    daemon.hear("Other: new")
    daemon.stop()
    assert not [line for line in daemon.output.rest() if line.startswith("Say")]


def test_a_file_that_no_longer_checks_out_leaves_the_old_one_running(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Each fault is told with its place, and that all goes on as before."""
    daemon = start_daemon(SAYING.format(word="old"))
    daemon.reread(SAYING.format(word="new").replace("cron", "corn"))
    told = daemon.hear("ojob: error: ")
    assert told.endswith("jobs[0].typeArgs.corn: unknown key `corn`; did you mean `cron`?")
    daemon.hear("ojob: error: reload failed; still running the previous version")
    hand_clock.advance(MINUTE)
    daemon.hear("Say: old")


def test_a_job_at_work_ends_as_it_began_when_the_file_is_read_again(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """Its `to` is still that of its own file, although the new one has no such job."""
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
    with books.manager.locks.lock("gate", ttl=60):
        hand_clock.advance(MINUTE)
        daemon.hear("Say: at work")
        daemon.reread(SAYING.format(word="new"))
        daemon.hear("reloaded")
    daemon.hear("Say: after")
    daemon.hear("Say completed")


def test_an_unmanaged_job_at_work_is_not_begun_again_when_the_file_is_read_again(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """Its next time comes from the new file, and is passed over as it would have been."""
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
    with books.manager.locks.lock("gate", ttl=60):
        hand_clock.advance(MINUTE)
        daemon.hear("Say: at work")
        daemon.reread(text)
        daemon.hear("reloaded")
        hand_clock.advance(MINUTE)
        daemon.hear("not run for 2026-03-01T12:02:00.000Z: the previous run is still active")
    daemon.hear("Say completed")
    hand_clock.advance(MINUTE)
    daemon.hear("Say: at work")


def test_no_time_is_lost_while_the_file_is_read_again(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """A time that comes between the old schedule and the new one is that of one of them."""

    class Leaping(type(hand_clock)):  # type: ignore[misc]
        """Moves by a minute when it is read for the second time from now on."""

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
    daemon.hear("Ready completed")
    clock.settle()
    clock.reads = 2
    daemon.reread(text)
    daemon.hear("reloaded")
    clock.advance(MINUTE)
    for _ in range(2):
        daemon.hear("Tick completed")


def test_a_signal_that_nobody_is_woken_by_is_heard_all_the_same() -> None:
    """One that comes as the wait begins, or on another thread, wakes no wait of the main thread."""
    control, main = Control(), threading.get_ident()

    def hang_up() -> None:
        while sys._current_frames()[main].f_code is not Control.next.__code__:
            pass
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: control.reload())
    other = threading.Thread(target=hang_up)
    other.start()
    try:
        assert control.next() is Request.RELOAD
    finally:
        other.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_schedule_that_stands_by_goes_on_though_the_clock_is_set_back(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Its next try does not wait until the clock has caught up."""
    with or_skip():
        server = RedisServer()
        server.start()
    try:
        place = {"type": "redis", "args": {"url": server.url, "timeout": 1}}
        daemon = start_daemon(SAYING.format(word="hello"), place=place)
        server.shut_down()
        hand_clock.advance(MINUTE)
        daemon.hear("Say: error: schedule paused until the store is reachable: ")
        server.start()
        hand_clock.advance(-60 * MINUTE)
        daemon.hear("Say: schedule resumed")
        daemon.hear("Say completed")
    finally:
        server.stop()


def test_a_schedule_that_loses_its_server_stands_by_and_goes_on(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """It tells of it once; when the server is back, the latest time runs, and the rest as ever."""
    with or_skip():
        server = RedisServer()
        server.start()
    try:
        place = {"type": "redis", "args": {"url": server.url, "timeout": 1}}
        daemon = start_daemon(SAYING.format(word="hello"), place=place)
        hand_clock.advance(MINUTE)
        daemon.hear("Say completed")
        server.shut_down()
        hand_clock.advance(MINUTE)
        daemon.hear("Say: error: schedule paused until the store is reachable: ")
        hand_clock.advance(MINUTE)
        server.start()
        while not daemon.output.hears("Say: schedule resumed", within=0.2):
            hand_clock.advance(MINUTE)
        daemon.hear("Say completed")
        assert not [line for line in daemon.output.rest() if "schedule paused" in line]
    finally:
        server.stop()


def test_a_daemon_tells_what_it_waits_for_and_that_it_stops(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Else who looks on would not know whether it works, or hangs."""
    daemon = start_daemon(SAYING.format(word="old"))
    told = daemon.hear("running until")
    next_time = datetime.fromtimestamp(hand_clock.now() / 1000 + 60)  # noqa: DTZ006  as it is told
    assert told == (
        f"ojob: running until stopped: 1 schedule, next 'Say' at {next_time:%Y-%m-%d %H:%M:%S}"
    )
    daemon.stop()
    daemon.hear("ojob: shutting down; no new jobs will start")


def test_a_file_that_is_read_again_brings_the_settings_of_its_jobs(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Such as the `catch` that they have in common; its todo is not run again."""
    text = """\
        ojob: {daemon: true, async: true, catch: "log('WORD')"}
        jobs:
        - {name: Once, exec: log("once")}
        - {name: Tick, typeArgs: {cron: "* * * * *"}, exec: raise ValueError}
        todo: [Once, Tick]
        """
    daemon = start_daemon(text.replace("WORD", "first"))
    daemon.hear("Once: once")
    daemon.hear("Once completed")
    daemon.hear("running until stopped: 1 schedule")
    hand_clock.advance(MINUTE)
    daemon.hear("Tick: first")
    daemon.hear("Tick failed")
    daemon.reread(text.replace("WORD", "second"))
    daemon.hear("reloaded: 1 schedule")
    hand_clock.advance(MINUTE)
    daemon.hear("Tick: second")
    daemon.stop()
    assert not [line for line in daemon.output.rest() if line.startswith("Once")]
