"""Schedules, daemons and actions from the command line."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import ojobchannels as oc
from ojobchannels.cli import cli
from ojobchannels.host.clock import now_ms
from ojobchannels.manager.schedules.published import Published, lock_name
from ojobchannels.manager.serving.presence import Presence

HOUR_MS = 3_600_000
DAEMON = """
include: oJobManager.yaml
ojob: {daemon: true}
jobs:
- name: Work
  typeArgs: {cron: "0 0 1 1 *"}
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {name: work}
  exec: log(f"limit {args['limit']}")
todo: [oJobManager Init, Work]
"""


def schedule(name: str, since: int) -> Published:
    """Return a schedule that is due every hour."""
    return Published(
        name=name,
        job=name.title(),
        run=name,
        claims=name,
        launched_by=None,
        cron=None,
        interval=HOUR_MS,
        timezone="UTC",
        misfire="latest",
        jitter=0,
        overdue_after=60_000,
        since=since,
        ended=False,
    )


class Operator:
    """Calls commands on the channels of a daemon that this process plays."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:////{folder / 'jobs.db'}"
        self.manager = oc.JobManager(self.url, self.url)
        self.daemons: list[Presence] = []

    def publish(self, *schedules: Published, file_hash: str = "a" * 64, host: str = "") -> Presence:
        """Publish schedules as a daemon, whose host may be another."""
        daemon = Presence(self.manager.state, "/srv/jobs.yaml", file_hash)
        if host:
            daemon.info = replace(daemon.info, host=host)
        daemon.update(list(schedules), {}, file_hash)
        self.daemons.append(daemon)
        return daemon

    def call(self, *words: str) -> Result:
        return CliRunner().invoke(cli, [*words, "--jobs", self.url])

    def json(self, *words: str) -> Any:
        done = self.call(*words, "--json")
        assert done.stderr == ""
        return json.loads(done.stdout)

    def problems(self) -> list[str]:
        """Return what the doctor finds."""
        return [check["text"] for check in self.json("doctor") if check["level"] == "problem"]

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.close()
        self.manager.close()


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    """Return an operator whose jobs have an empty history."""
    operator = Operator(tmp_path)
    yield operator
    operator.close()


def test_schedules_are_shown_overdue_ones_first(operator: Operator) -> None:
    """With the daemons that have them; also when no daemon is alive."""
    daemon = operator.publish(
        schedule("hourly", now_ms()), schedule("late", now_ms() - HOUR_MS * 3)
    )
    rows = operator.json("schedules")
    assert [(row["name"], row["overdue_since"] is None) for row in rows] == [
        ("late", False),
        ("hourly", True),
    ]
    title, late, hourly = operator.call("schedules").stdout.splitlines()
    assert title.split()[:3] == ["SCHEDULE", "STATE", "NEXT"]
    assert "overdue 2 h" in late
    assert re.search(r"waiting +in \d+ ", hourly)
    assert "every 3600 s" in hourly
    daemon.close()
    assert "none alive" in operator.call("schedules").stdout


def test_a_pause_is_shown_with_its_author_and_reason_until_it_is_resumed(
    operator: Operator,
) -> None:
    """In the schedules, in the actions and by the doctor, where it is a note."""
    operator.publish(schedule("hourly", now_ms()))
    done = operator.call("pause", "hourly", "--until", "2h", "--reason", "disk full")
    assert (done.exit_code, done.stdout[:22]) == (0, "Paused 'hourly' until ")
    (row,) = operator.json("schedules")
    assert row["paused"]["reason"] == "disk full"
    assert abs(row["paused"]["until"] - now_ms() - 2 * HOUR_MS) < HOUR_MS / 60
    shown = operator.call("schedules").stdout
    assert re.search(r"for another (2 h 0|1 h 59) min: disk full", shown)
    assert operator.problems() == []
    assert "paused by" in operator.call("doctor").stdout
    assert operator.call("resume", "Hourly").stdout.startswith("Resumed 'Hourly', which ")
    assert "there is nothing to resume" in operator.call("resume", "hourly").stdout
    rows = operator.json("actions")
    assert [(row["action"], row["reason"]) for row in rows] == [
        ("resume", ""),
        ("pause", "disk full"),
    ]


@pytest.mark.parametrize("command", ["pause", "resume", "now"])
def test_a_name_that_no_daemon_has_published_is_an_error(operator: Operator, command: str) -> None:
    """With the closest one."""
    operator.publish(schedule("hourly", now_ms()))
    done = operator.call(command, "houry")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "hourly" in done.stderr


def test_a_time_in_the_past_is_an_error(operator: Operator) -> None:
    operator.publish(schedule("hourly", now_ms()))
    done = operator.call("pause", "hourly", "--until", "2020-01-01")
    assert (done.exit_code, "in the past" in done.stderr) == (2, True)


def test_a_request_that_no_daemon_takes_is_an_error(operator: Operator) -> None:
    """The actions show that it has expired."""
    operator.publish(schedule("hourly", now_ms()))
    assert operator.call("now", "hourly", "--wait", "0s").exit_code == 2
    assert [row["state"] for row in operator.json("actions")] == ["expired"]


def test_daemons_are_shown_alive_or_stopped(operator: Operator) -> None:
    operator.publish(schedule("hourly", now_ms()))
    operator.publish(schedule("daily", now_ms()), host="other").close()
    states = {row["host"]: row["alive"] for row in operator.json("daemons")}
    assert len(states) == 2
    assert states["other"] is False
    assert "stopped" in operator.call("daemons").stdout


def test_the_doctor_finds_overdue_schedules_and_daemons_that_differ(operator: Operator) -> None:
    """In the file, on two hosts; a daemon that was stopped in order is not reported."""
    operator.publish(schedule("late", now_ms() - HOUR_MS * 3), host="one")
    other = operator.publish(schedule("late", now_ms()), file_hash="b" * 64, host="two")
    differ, overdue = operator.problems()
    assert "aaaaaaaa on one; bbbbbbbb on two" in differ
    assert "'late' was due 2 h ago" in overdue
    other.close()
    assert len(operator.problems()) == 1


def test_the_doctor_finds_a_daemon_without_a_sign_of_life(operator: Operator) -> None:
    """Its lock is free, and it was not stopped in order."""
    daemon = operator.publish(schedule("hourly", now_ms()), host="one")
    operator.manager.state.force_unlock(lock_name(daemon.info.id))
    (found,) = operator.problems()
    assert "gives no sign of life" in found
    assert " gone " in operator.call("daemons").stdout


@pytest.mark.kit
def test_a_daemon_runs_what_is_asked_for(ojob: Any) -> None:
    """With the arguments, once; the run and the action have the reason."""
    url = f"sqlite:////{ojob.folder / 'jobs.db'}"
    (ojob.folder / "work.yaml").write_text(DAEMON, encoding="utf-8")
    daemon = ojob.start("run", "work.yaml", "--jobs", url)
    while "running until stopped" not in (line := daemon.stdout.readline()):
        assert line
    with oc.JobManager(url, url) as manager:
        while not manager.schedules():  # a daemon does not wait for its store
            time.sleep(0.02)
    done = ojob("now", "Work", "limit=5", "--reason", "asked", "--wait", "60s", "--jobs", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("; see ojob actions.\n")
    while "limit" not in (line := daemon.stdout.readline()):
        assert line
    assert "limit 5" in line
    with oc.JobManager(url, url) as manager:
        (action,) = manager.actions()
        assert (action.action, action.reason) == ("now", "asked")
        while not manager.runs("work", status="completed"):
            time.sleep(0.02)
    daemon.terminate()
    assert daemon.wait() == 0


def test_launches_are_shown_with_the_process_that_would_take_them(operator: Operator) -> None:
    """One that no process takes says so."""
    launch = operator.manager.launch("send", {"token": "secret-7"}, durable=True)
    (row,) = operator.json("launches")
    assert (row["id"], row["name"], row["state"]) == (launch.launch_id, "send", "waiting")
    done = operator.call("launches", "--wide")
    assert done.exception is None, done.output
    shown = done.stdout
    assert "no process takes it" in shown
    assert "secret-7" not in shown + str(row)


def test_a_launch_from_the_command_line_is_that_of_python(operator: Operator) -> None:
    """It prints its identifier; its options and args are in the launch."""
    options = ["--priority", "0", "--retries", "2", "--delay", "1h", "--key", "monday"]
    result = operator.call("launch", "Send", "limit=7", *options)
    (info,) = operator.manager.launches()
    assert result.stdout == f"{info.id}\n"
    assert "no process takes launches of 'Send' now" in result.stderr
    assert (info.name, info.args, info.priority) == ("Send", {"limit": 7}, 0)
    assert info.due - info.added == HOUR_MS
    assert operator.json("launch", "Send", "limit=8", "--key", "monday")["id"] == info.id
    assert len(operator.manager.launches()) == 1


def test_a_launch_that_waits_is_cancelled(operator: Operator) -> None:
    """By its identifier; one that has ended is not known as a run."""
    launch = operator.manager.launch("Send", durable=True)
    cancelled = operator.call("cancel", launch.launch_id)
    assert cancelled.stdout.endswith("of job 'Send' was cancelled before it began.\n")
    assert (cancelled.exit_code, launch.state) == (0, "cancelled")
    assert operator.call("cancel", launch.launch_id).exit_code == 2
