"""Schedules of managed jobs, under a clock that the test moves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from tests.ojob.schedules import HandClock, RunDaemon, StoredRuns

pytest_plugins = ["tests.ojob.schedules"]

MINUTE = 60_000

MANAGED = """\
jobs:
- name: Tick
  typeArgs: {times}
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {{name: "tick-{{{{who}}}}", who: all}}
  exec: |
    {code}
todo: [oJobManager Init, Tick]
"""


def managed(times: str = "{cron: '* * * * *'}", code: str = "log('ran', args['who'])") -> str:
    return MANAGED.format(times=times, code=code)


@pytest.mark.parametrize("times", ["{cron: '* * * * *'}", "{timeInterval: 60000}"])
def test_a_managed_job_runs_at_its_fire_times_with_a_record_for_each(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns, times: str
) -> None:
    """A fire time implies `type: periodic`, the job's own args apply, and the record has the fire
    time."""
    daemon = start_daemon(managed(times))
    for _ in range(3):
        hand_clock.move(MINUTE)
        daemon.wait_for("Tick: ran all")
        daemon.wait_for("Tick completed")
    times_run = [("tick-all", f"12:0{minute}", "completed") for minute in (1, 2, 3)]
    assert stored_runs.fired() == times_run
    assert daemon.stop().exit_status == 0


def test_several_servers_run_each_fire_time_once(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """One claims each fire time, even if another tries long after the first has ended its run."""
    late = type(hand_clock)()
    first, second = start_daemon(managed()), start_daemon(managed(), clock=late)
    for _ in range(3):
        hand_clock.move(MINUTE)
        first.wait_for("Tick completed")
    for _ in range(4):
        late.move(MINUTE)
    second.wait_for("Tick completed")
    second.stop()
    minutes = [f"12:0{minute}" for minute in (1, 2, 3, 4)]
    assert stored_runs.fired() == [("tick-all", minute, "completed") for minute in minutes]


def test_a_fire_time_at_which_the_job_is_running_is_recorded_as_skipped(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """That is not an error, and the next fire time runs."""
    daemon = start_daemon(managed())
    with stored_runs.manager.run("tick-all"):
        hand_clock.move(MINUTE)
        daemon.wait_for("Tick skipped ('tick-all' is already running (host ")
    hand_clock.move(MINUTE)
    daemon.wait_for("Tick completed")
    runs = [("tick-all", "12:01", "skipped"), ("tick-all", "12:02", "completed")]
    assert stored_runs.fired() == runs


@pytest.mark.parametrize(
    ("misfire", "statuses"),
    [
        ("latest", ["skipped", "skipped", "completed"]),
        ("all", ["completed", "completed", "completed"]),
        ("none", ["skipped", "skipped", "completed"]),
    ],
)
def test_fire_times_that_a_running_daemon_missed_follow_misfire(
    start_daemon: RunDaemon,
    hand_clock: HandClock,
    stored_runs: StoredRuns,
    misfire: str,
    statuses: list[str],
) -> None:
    """Three are due at once: the latest one runs, or all of them."""
    daemon = start_daemon(managed(f"{{cron: '* * * * *', misfire: {misfire}}}"))
    hand_clock.move(3 * MINUTE)
    for _ in range(statuses.count("completed")):
        daemon.wait_for("Tick completed")
    assert [status for *_, status in stored_runs.fired()] == statuses


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("latest", [("12:10", "skipped"), ("12:20", "skipped"), ("12:30", "completed")]),
        ("all", [("12:10", "completed"), ("12:20", "completed"), ("12:30", "completed")]),
        ("none", [("12:10", "skipped"), ("12:20", "skipped"), ("12:30", "skipped")]),
    ],
)
def test_fire_times_at_which_no_server_ran_follow_misfire(
    start_daemon: RunDaemon,
    hand_clock: HandClock,
    stored_runs: StoredRuns,
    misfire: str,
    expected: list[tuple[str, str]],
) -> None:
    """After a downtime the latest one runs, or all in order, or none that is too late."""
    text = managed(f"{{cron: '*/10 * * * *', misfire: {misfire}}}")
    start_daemon(text).stop()
    hand_clock.move(35 * MINUTE)
    daemon = start_daemon(text)
    for _ in range(sum(status == "completed" for _, status in expected) or 2):
        daemon.wait_for("Tick completed" if misfire != "none" else "Tick: warn: not run for")
    daemon.stop()
    assert [fired[1:] for fired in stored_runs.fired()] == expected


def test_a_new_schedule_has_missed_nothing(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """A schedule begins when it is first seen."""
    daemon = start_daemon(managed("{cron: '@daily', misfire: all}"))
    hand_clock.move(12 * 60 * MINUTE)
    daemon.wait_for("Tick completed")
    daemon.stop()
    assert len(stored_runs.fired()) == 1


def test_many_missed_fire_times_leave_a_limited_number_of_records(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """A week of missed seconds leaves 60 records, without delay."""
    text = managed("{cron: '* * * * * *'}")
    start_daemon(text).stop()
    hand_clock.move(7 * 24 * 60 * MINUTE)
    start_daemon(text).wait_for("Tick completed")
    assert len(stored_runs.fired("skipped")) == 60
    assert len(stored_runs.fired("completed")) == 1


def test_with_misfire_all_a_fire_time_waits_for_the_run_on_another_server(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """No fire time is lost because the job was still running."""
    daemon = start_daemon(managed("{cron: '* * * * *', misfire: all}"))
    with stored_runs.manager.run("tick-all"):
        hand_clock.move(2 * MINUTE)
    for _ in range(2):
        daemon.wait_for("Tick completed")
    assert [status for *_, status in stored_runs.fired()] == ["completed", "completed"]


def test_a_fire_time_that_waits_is_released_when_the_daemon_stops(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """The shutdown does not wait for the other run; the fire time remains for the next start."""
    text = managed("{cron: '* * * * *', misfire: all}")
    daemon = start_daemon(text)
    with stored_runs.manager.run("tick-all"):
        hand_clock.move(MINUTE)
        assert daemon.stop().exit_status == 0
    assert stored_runs.fired() == []
    start_daemon(text).wait_for("Tick completed")
    assert stored_runs.fired() == [("tick-all", "12:01", "completed")]


class Failing:
    """Fails the next writes of run records, once for each error that it has."""

    def __init__(self) -> None:
        self.errors: list[oc.ChannelError] = []

    @oc.hookimpl(wrapper=True)
    def get_set(self, key: object) -> Any:
        if self.errors and "startTime" in str(key):
            raise self.errors.pop()
        return (yield)


@pytest.mark.parametrize("error", [oc.ChannelUnavailable, oc.StorageFull])
def test_a_missed_fire_time_whose_record_could_not_be_written_is_recorded_later(
    start_daemon: RunDaemon,
    hand_clock: HandClock,
    stored_runs: StoredRuns,
    error: type[oc.StorageFull],
) -> None:
    """The schedule pauses amid the missed fire times, and leaves no gap in the history."""
    failing = Failing()
    oc.add_extension(failing)
    try:
        daemon = start_daemon(managed())
        failing.errors = [error("jobs", "it is away", "wait for it")]
        hand_clock.move(3 * MINUTE)
        daemon.wait_for("Tick: error: schedule paused until the store is reachable: ")
        hand_clock.settle()
        hand_clock.move(1000)
        daemon.wait_for("Tick completed")
    finally:
        oc.remove_extension(failing)
    times = [("12:01", "skipped"), ("12:02", "skipped"), ("12:03", "completed")]
    assert stored_runs.fired() == [("tick-all", *one) for one in times]


def test_a_clock_that_was_set_back_is_reported_and_repeats_no_fire_time(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """The warning says why nothing runs; the schedule continues when the clock has caught up."""
    daemon = start_daemon(managed())
    hand_clock.move(MINUTE)
    daemon.wait_for("Tick completed")
    hand_clock.settle()
    hand_clock.move(-60 * MINUTE)
    until = datetime(2026, 3, 1, 12, 1, tzinfo=UTC).astimezone()
    daemon.wait_for(f"Tick: warn: its fire times until {until} count as handled: ")
    for _ in range(61):
        hand_clock.settle()
        hand_clock.move(MINUTE)
    daemon.wait_for("Tick completed")
    assert not [line for line in daemon.output.rest() if "count as handled" in line]
    runs = [("tick-all", "12:01", "completed"), ("tick-all", "12:02", "completed")]
    assert stored_runs.fired() == runs


def test_fire_times_while_the_pool_is_full_follow_misfire(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """However many are due, one task waits for a thread, the latest one runs, and none is lost."""
    text = managed().replace(
        "todo: [oJobManager Init, Tick]",
        """\
- name: Long
  exec: |
    log("at work")
    channel("oJobManager-locks").lock("gate", ttl=60, wait=60).release()
- name: Begin
  typeArgs: {cron: "30 * * * * *", stopWhen: "channel('begun').size()"}
  exec: |
    channel("begun").set(1, 1)
    launch("Long")
todo: [oJobManager Init, Begin, Tick]""",
    )
    daemon = start_daemon("ojob: {daemon: true, numThreads: 1}\n" + text)
    with stored_runs.manager.locks.lock("gate", ttl=60):
        hand_clock.move(MINUTE // 2)
        daemon.wait_for("Long: at work")
        for _ in range(3):
            hand_clock.move(MINUTE)
        hand_clock.settle()
    daemon.wait_for("Tick completed")
    assert stored_runs.fired() == [
        ("tick-all", "12:01", "skipped"),
        ("tick-all", "12:02", "skipped"),
        ("tick-all", "12:03", "completed"),
    ]


def test_a_call_whose_args_cannot_be_rendered_fails_and_the_schedule_continues(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """An unknown template is reported at each fire time, like any failure."""
    daemon = start_daemon(managed().replace("who: all", "who: '{{all}}'"))
    for _ in range(2):
        hand_clock.move(MINUTE)
        daemon.wait_for("Tick failed (InvalidJobArgs: ")


def test_a_failed_run_does_not_end_the_schedule(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """It is recorded as failed, with its error, and the next fire time runs."""
    daemon = start_daemon(managed(code="raise OSError('no disk')"))
    for _ in range(2):
        hand_clock.move(MINUTE)
        daemon.wait_for("Tick failed (OSError: no disk)")
    assert [status for *_, status in stored_runs.fired()] == ["failed", "failed"]


def test_a_run_that_lost_its_lock_does_not_end_the_schedule(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """It is recorded as lost."""
    code = "channel('oJobManager-locks').force_unlock('tick-all')"
    daemon = start_daemon(managed(code=code))
    for _ in range(2):
        hand_clock.move(MINUTE)
        daemon.wait_for("Tick failed (LockLost")
    assert [status for *_, status in stored_runs.fired()] == ["lost", "lost"]


def test_the_run_name_can_come_from_the_args_of_each_call(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """Each entry of the todo is a schedule of its own, with its own args."""
    text = managed().replace("Tick]", "{name: Tick, args: [{who: a}, {who: b}]}]")
    daemon = start_daemon(text)
    hand_clock.move(MINUTE)
    for _ in range(2):
        daemon.wait_for("Tick completed")
    names = sorted(stored_runs.fired())
    assert names == [("tick-a", "12:01", "completed"), ("tick-b", "12:01", "completed")]


def test_fire_times_follow_the_time_zone_of_the_file(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """One o'clock in Lisbon is noon UTC in summer, and the record is in UTC."""
    text = "ojob: {daemon: true, timezone: Europe/Lisbon}\n" + managed("{cron: '0 1 * * *'}")
    daemon = start_daemon(text)
    hand_clock.move(30 * 24 * 60 * MINUTE)
    daemon.wait_for("Tick completed")
    assert stored_runs.fired("completed") == [("tick-all", "00:00", "completed")]
