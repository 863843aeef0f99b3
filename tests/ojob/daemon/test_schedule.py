"""Jobs that run at times, under a clock that the test moves: which times run, where, and once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from tests.ojob.schedules import Books, HandClock, RunDaemon

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
def test_a_managed_job_runs_at_its_times_with_a_record_for_each(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books, times: str
) -> None:
    """A time without a type means periodic; the job's own args apply; the record knows the time."""
    daemon = start_daemon(managed(times))
    for _ in range(3):
        hand_clock.advance(MINUTE)
        daemon.hear("Tick: ran all")
        daemon.hear("Tick completed")
    times_run = [("tick-all", f"12:0{minute}", "completed") for minute in (1, 2, 3)]
    assert books.fired() == times_run
    assert daemon.stop().exit_status == 0


def test_several_servers_run_each_time_once(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """One takes each fire time, also if another comes when the first has long ended its run."""
    late = type(hand_clock)()
    first, second = start_daemon(managed()), start_daemon(managed(), clock=late)
    for _ in range(3):
        hand_clock.advance(MINUTE)
        first.hear("Tick completed")
    for _ in range(4):
        late.advance(MINUTE)
    second.hear("Tick completed")
    second.stop()
    minutes = [f"12:0{minute}" for minute in (1, 2, 3, 4)]
    assert books.fired() == [("tick-all", minute, "completed") for minute in minutes]


def test_a_time_at_which_the_job_runs_elsewhere_is_recorded_as_skipped(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """That is no error, and the next time runs."""
    daemon = start_daemon(managed())
    with books.manager.run("tick-all"):
        hand_clock.advance(MINUTE)
        daemon.hear("Tick skipped ('tick-all' is already running, by host ")
    hand_clock.advance(MINUTE)
    daemon.hear("Tick completed")
    runs = [("tick-all", "12:01", "skipped"), ("tick-all", "12:02", "completed")]
    assert books.fired() == runs


@pytest.mark.parametrize(
    ("misfire", "statuses"),
    [
        ("latest", ["skipped", "skipped", "completed"]),
        ("all", ["completed", "completed", "completed"]),
        ("none", ["skipped", "skipped", "completed"]),
    ],
)
def test_times_that_a_running_daemon_was_late_for_follow_misfire(
    start_daemon: RunDaemon,
    hand_clock: HandClock,
    books: Books,
    misfire: str,
    statuses: list[str],
) -> None:
    """Three times are due at once: the last one runs, unless all are to."""
    daemon = start_daemon(managed(f"{{cron: '* * * * *', misfire: {misfire}}}"))
    hand_clock.advance(3 * MINUTE)
    for _ in range(statuses.count("completed")):
        daemon.hear("Tick completed")
    assert [status for *_, status in books.fired()] == statuses


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("latest", [("12:10", "skipped"), ("12:20", "skipped"), ("12:30", "completed")]),
        ("all", [("12:10", "completed"), ("12:20", "completed"), ("12:30", "completed")]),
        ("none", [("12:10", "skipped"), ("12:20", "skipped"), ("12:30", "skipped")]),
    ],
)
def test_times_in_which_no_server_ran_follow_misfire(
    start_daemon: RunDaemon,
    hand_clock: HandClock,
    books: Books,
    misfire: str,
    expected: list[tuple[str, str]],
) -> None:
    """After a downtime: one run, the latest; or all, in their order; or none that is too late."""
    text = managed(f"{{cron: '*/10 * * * *', misfire: {misfire}}}")
    start_daemon(text).stop()
    hand_clock.advance(35 * MINUTE)
    daemon = start_daemon(text)
    for _ in range(sum(status == "completed" for _, status in expected) or 2):
        daemon.hear("Tick completed" if misfire != "none" else "Tick: warn: not run for")
    daemon.stop()
    assert [fired[1:] for fired in books.fired()] == expected


def test_what_is_new_has_missed_nothing(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """A schedule begins when it is seen first, not at the beginning of time."""
    daemon = start_daemon(managed("{cron: '@daily', misfire: all}"))
    hand_clock.advance(12 * 60 * MINUTE)
    daemon.hear("Tick completed")
    daemon.stop()
    assert len(books.fired()) == 1


def test_many_missed_times_leave_a_bounded_number_of_records(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """A week without a server at a job of each second is told in 60 records, in no time."""
    text = managed("{cron: '* * * * * *'}")
    start_daemon(text).stop()
    hand_clock.advance(7 * 24 * 60 * MINUTE)
    start_daemon(text).hear("Tick completed")
    assert len(books.fired("skipped")) == 60
    assert len(books.fired("completed")) == 1


def test_a_patient_schedule_waits_for_the_run_elsewhere(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """With `misfire: all`, no fire time is lost because the job was still running."""
    daemon = start_daemon(managed("{cron: '* * * * *', misfire: all}"))
    with books.manager.run("tick-all"):
        hand_clock.advance(2 * MINUTE)
    for _ in range(2):
        daemon.hear("Tick completed")
    assert [status for *_, status in books.fired()] == ["completed", "completed"]


def test_a_patient_schedule_gives_up_when_the_daemon_stops(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """The stop does not wait for the other's run; the time is there for the next start."""
    text = managed("{cron: '* * * * *', misfire: all}")
    daemon = start_daemon(text)
    with books.manager.run("tick-all"):
        hand_clock.advance(MINUTE)
        assert daemon.stop().exit_status == 0
    assert books.fired() == []
    start_daemon(text).hear("Tick completed")
    assert books.fired() == [("tick-all", "12:01", "completed")]


class Failing:
    """Fails the next writing of records of runs, once for each error that it is given."""

    def __init__(self) -> None:
        self.errors: list[oc.ChannelError] = []

    @oc.hookimpl(wrapper=True)
    def get_set(self, key: object) -> Any:
        if self.errors and "startTime" in str(key):
            raise self.errors.pop()
        return (yield)


@pytest.mark.parametrize("error", [oc.ChannelUnavailable, oc.StorageFull])
def test_a_missed_time_whose_record_could_not_be_written_is_told_later(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books, error: type[oc.StorageFull]
) -> None:
    """The schedule stands by in the midst of what was missed, and leaves no gap in the history."""
    failing = Failing()
    oc.add_extension(failing)
    try:
        daemon = start_daemon(managed())
        failing.errors = [error("jobs", "it is away", "wait for it")]
        hand_clock.advance(3 * MINUTE)
        daemon.hear("Tick: error: schedule paused until the store is reachable: ")
        hand_clock.settle()
        hand_clock.advance(1000)
        daemon.hear("Tick completed")
    finally:
        oc.remove_extension(failing)
    times = [("12:01", "skipped"), ("12:02", "skipped"), ("12:03", "completed")]
    assert books.fired() == [("tick-all", *one) for one in times]


def test_a_clock_that_was_set_back_is_told_and_runs_no_time_again(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """Somebody learns why nothing runs; when the clock has caught up, all goes on."""
    daemon = start_daemon(managed())
    hand_clock.advance(MINUTE)
    daemon.hear("Tick completed")
    hand_clock.settle()
    hand_clock.advance(-60 * MINUTE)
    daemon.hear("Tick: warn: its fire times until 2026-03-01T12:01:00.000Z count as handled: ")
    for _ in range(61):
        hand_clock.settle()
        hand_clock.advance(MINUTE)
    daemon.hear("Tick completed")
    assert not [line for line in daemon.output.rest() if "count as handled" in line]
    runs = [("tick-all", "12:01", "completed"), ("tick-all", "12:02", "completed")]
    assert books.fired() == runs


PLAIN = """\
jobs:
- name: Tick
  typeArgs: {times}
  exec: |
    {code}
todo: [oJobManager Init, Tick]
"""


def plain(times: str = "{cron: '* * * * *'}", code: str = "log('ran')") -> str:
    return PLAIN.format(times=times, code=code)


def test_an_unmanaged_job_runs_on_each_server(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Nobody asks the others."""
    daemons = [start_daemon(plain()) for _ in range(2)]
    hand_clock.advance(MINUTE)
    for daemon in daemons:
        daemon.hear("Tick completed")


def test_an_unmanaged_job_with_once_runs_on_one_server(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """Each fire time is taken once; there is no record, as there is no run to record."""
    text = plain("{cron: '* * * * *', once: true, misfire: all}")
    first = start_daemon(text)
    second = start_daemon(text, output=first.output)
    hand_clock.advance(3 * MINUTE)
    for _ in range(3):
        first.hear("Tick: ran")
    for daemon in (first, second):
        daemon.stop()
    assert not [line for line in first.output.rest() if "ran" in line]
    assert books.fired() == []


def test_a_job_whose_own_server_is_away_fails_and_its_schedule_goes_on(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """What the body of a job cannot reach is no trouble of its schedule."""
    code = "import ojobchannels; raise ojobchannels.ChannelUnavailable('far', 'gone', 'wait')"
    daemon = start_daemon(plain("{cron: '* * * * *', once: true}", code))
    for _ in range(2):
        hand_clock.advance(MINUTE)
        daemon.hear("Tick failed (ChannelUnavailable: ")
    daemon.stop()
    assert not [line for line in daemon.output.rest() if "schedule paused" in line]


def test_once_needs_the_manager(start_daemon: RunDaemon) -> None:
    """Where nothing is shared, nobody can tell whether another server has run it."""
    daemon = start_daemon(
        """\
        jobs:
        - name: Tick
          typeArgs: {cron: "* * * * *", once: true}
        todo: [Tick]
        """
    )
    told = daemon.hear("Tick: error: schedule failed until the next fire time")
    assert "`once` needs the manager; put 'oJobManager Init' before it in the todo" in told


def test_an_unmanaged_job_does_not_overlap_itself(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """A time that comes while its last run is still on is passed over, and told."""
    code = "log('at work'); channel('gate').lock('go', ttl=60, wait=60).release()"
    text = plain(code=code)
    with oc.open_channel("gate") as gate:
        lease = gate.lock("go", ttl=60)
        daemon = start_daemon(text)
        hand_clock.advance(MINUTE)
        daemon.hear("Tick: at work")
        hand_clock.advance(MINUTE)
        daemon.hear("not run for 2026-03-01T12:02:00.000Z: the previous run is still active")
        lease.release()
        daemon.hear("Tick completed")
        gate.destroy()


def test_times_that_come_while_the_pool_is_full_follow_misfire(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """However many come, one of them waits for a thread; the last one runs, and none is lost."""
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
    with books.manager.locks.lock("gate", ttl=60):
        hand_clock.advance(MINUTE // 2)
        daemon.hear("Long: at work")
        for _ in range(3):
            hand_clock.advance(MINUTE)
        hand_clock.settle()
    daemon.hear("Tick completed")
    assert books.fired() == [
        ("tick-all", "12:01", "skipped"),
        ("tick-all", "12:02", "skipped"),
        ("tick-all", "12:03", "completed"),
    ]


def test_a_call_whose_arguments_cannot_be_made_fails_and_the_schedule_goes_on(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """A template that names nothing is told at each time, like any failure."""
    daemon = start_daemon(managed().replace("who: all", "which: all"))
    for _ in range(2):
        hand_clock.advance(MINUTE)
        daemon.hear("Tick failed (InvalidJobArgs: ")


def test_a_failed_run_does_not_end_the_schedule(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """It is recorded as failed, with its error, and the next time runs."""
    daemon = start_daemon(managed(code="raise OSError('no disk')"))
    for _ in range(2):
        hand_clock.advance(MINUTE)
        daemon.hear("Tick failed (OSError: no disk)")
    assert [status for *_, status in books.fired()] == ["failed", "failed"]


def test_a_run_that_lost_its_lock_does_not_end_the_schedule(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """It is recorded as lost."""
    code = "channel('oJobManager-locks').force_unlock('tick-all')"
    daemon = start_daemon(managed(code=code))
    for _ in range(2):
        hand_clock.advance(MINUTE)
        daemon.hear("Tick failed (LockLost")
    assert [status for *_, status in books.fired()] == ["lost", "lost"]


@pytest.mark.parametrize("code", ["args['n'] > 1", "n = args['n']\nreturn n > 1"])
def test_stop_when_ends_the_schedule(
    start_daemon: RunDaemon, hand_clock: HandClock, code: str
) -> None:
    """An expression or a block, asked before each run; that run and the later ones are not made."""
    times = f"{{cron: '* * * * *', stopWhen: {json.dumps(code)}}}"
    daemon = start_daemon(plain(times).replace("Tick]", "{name: Tick, args: {n: 2}}]"))
    lasting = start_daemon(plain(times).replace("Tick]", "{name: Tick, args: {n: 1}}]"))
    for _ in range(2):
        hand_clock.advance(MINUTE)
        lasting.hear("Tick completed")
    daemon.hear("Tick: schedule ended by `stopWhen`")
    daemon.stop()
    assert "Tick completed" not in daemon.output.rest()


def test_a_name_may_come_from_the_arguments_of_each_call(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """Each entry of the todo is a schedule of its own, with its own arguments."""
    text = managed().replace("Tick]", "{name: Tick, args: [{who: a}, {who: b}]}]")
    daemon = start_daemon(text)
    hand_clock.advance(MINUTE)
    for _ in range(2):
        daemon.hear("Tick completed")
    names = sorted(books.fired())
    assert names == [("tick-a", "12:01", "completed"), ("tick-b", "12:01", "completed")]


def test_fire_times_follow_the_zone_of_the_file(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """One o'clock in Lisbon is at noon UTC in summer, and the record is in UTC."""
    text = "ojob: {daemon: true, timezone: Europe/Lisbon}\n" + managed("{cron: '0 1 * * *'}")
    daemon = start_daemon(text)
    hand_clock.advance(30 * 24 * 60 * MINUTE)
    daemon.hear("Tick completed")
    assert books.fired("completed") == [("tick-all", "00:00", "completed")]


def test_thousands_of_schedules_run_on_one_thread_and_the_pool(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Two thousand jobs of each minute all run, each minute, on four threads and the scheduler."""
    daemon = start_daemon(
        """\
        jobs:
        - name: Start
        - name: Tick
          typeArgs: {cron: "* * * * *"}
          exec: |
            import threading

            channel("seen").set(args["n"], 1)
            if channel("seen").size() == 2000:
                names = [one.name for one in threading.enumerate()]
                log("all", len([name for name in names if "job" in name]) <= 5)
                channel("seen").unset_all(channel("seen").get_keys())
        todo: [Start, {name: Tick, args: ["""
        + ", ".join(f"{{n: {n}}}" for n in range(2000))
        + "]}]"
    )
    for _ in range(2):
        hand_clock.advance(MINUTE)
        daemon.hear("Tick: all True")
    result = daemon.stop()
    assert [outcome.job for outcome in result.outcomes] == ["Start", "Ready"]
