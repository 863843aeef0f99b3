"""Schedules of unmanaged jobs, under a clock that the test moves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from tests.ojob.schedules import HandClock, RunDaemon, StoredRuns

pytest_plugins = ["tests.ojob.schedules"]


MINUTE = 60_000


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
    """Servers do not coordinate unmanaged jobs."""
    daemons = [start_daemon(plain()) for _ in range(2)]
    hand_clock.move(MINUTE)
    for daemon in daemons:
        daemon.wait_for("Tick completed")


def test_an_unmanaged_job_with_once_runs_on_one_server(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """Each fire time is claimed once, without a run record."""
    text = plain("{cron: '* * * * *', once: true, misfire: all}")
    first = start_daemon(text)
    second = start_daemon(text, output=first.output)
    hand_clock.move(3 * MINUTE)
    for _ in range(3):
        first.wait_for("Tick: ran")
    for daemon in (first, second):
        daemon.stop()
    assert not [line for line in first.output.rest() if "ran" in line]
    assert stored_runs.fired() == []


def test_a_job_whose_own_server_is_down_fails_and_its_schedule_continues(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """An error of the job's body does not pause the schedule."""
    code = "import ojobchannels; raise ojobchannels.ChannelUnavailable('far', 'gone', 'wait')"
    daemon = start_daemon(plain("{cron: '* * * * *', once: true}", code))
    for _ in range(2):
        hand_clock.move(MINUTE)
        daemon.wait_for("Tick failed (ChannelUnavailable: ")
    daemon.stop()
    assert not [line for line in daemon.output.rest() if "schedule paused" in line]


def test_once_needs_the_manager(start_daemon: RunDaemon) -> None:
    """Without shared channels, no server knows whether another one has run the job."""
    daemon = start_daemon(
        """\
        jobs:
        - name: Tick
          typeArgs: {cron: "* * * * *", once: true}
        todo: [Tick]
        """
    )
    reported = daemon.wait_for("Tick: error: schedule failed, retrying at the next fire time")
    assert "`once` needs the manager; put 'oJobManager Init' before it in the todo" in reported


def test_an_unmanaged_job_does_not_overlap_itself(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """A fire time during the previous run is skipped and reported."""
    code = "log('at work'); channel('gate').lock('go', ttl=60, wait=60).release()"
    text = plain(code=code)
    with oc.open_channel("gate") as gate:
        lease = gate.lock("go", ttl=60)
        daemon = start_daemon(text)
        hand_clock.move(MINUTE)
        daemon.wait_for("Tick: at work")
        hand_clock.move(MINUTE)
        due = datetime(2026, 3, 1, 12, 2, tzinfo=UTC).astimezone()
        daemon.wait_for(f"not run for {due}: the previous run is still active")
        lease.release()
        daemon.wait_for("Tick completed")
        gate.destroy()


@pytest.mark.parametrize("code", ["args['n'] > 1", "n = args['n']\nreturn n > 1"])
def test_stop_when_ends_the_schedule(
    start_daemon: RunDaemon, hand_clock: HandClock, code: str
) -> None:
    """It is an expression or a block, evaluated before each run; neither that run nor later ones
    start."""
    times = f"{{cron: '* * * * *', stopWhen: {json.dumps(code)}}}"
    daemon = start_daemon(plain(times).replace("Tick]", "{name: Tick, args: {n: 2}}]"))
    lasting = start_daemon(plain(times).replace("Tick]", "{name: Tick, args: {n: 1}}]"))
    for _ in range(2):
        hand_clock.move(MINUTE)
        lasting.wait_for("Tick completed")
    daemon.wait_for("Tick: schedule ended by `stopWhen`")
    daemon.stop()
    assert "Tick completed" not in daemon.output.rest()


def test_thousands_of_schedules_run_on_one_thread_and_the_pool(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Two thousand jobs run each minute, on four threads, the scheduler and the operator link."""
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
                log("all", len([name for name in names if "job" in name]) <= 6)
                channel("seen").unset_all(channel("seen").get_keys())
        todo: [Start, {name: Tick, args: ["""
        + ", ".join(f"{{n: {n}}}" for n in range(2000))
        + "]}]"
    )
    for _ in range(2):
        hand_clock.move(MINUTE)
        daemon.wait_for("Tick: all True")
    result = daemon.stop()
    assert [outcome.job for outcome in result.outcomes] == ["Start", "Ready"]
