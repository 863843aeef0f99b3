"""Durable launches of the jobs of a file, which its daemon takes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from tests.ojob.schedules import RunDaemon

pytest_plugins = ["tests.ojob.schedules"]

FILE = """\
jobs:
- name: Send
  from: [oJobManager Job Start, Check]
  to: oJobManager Job End
  catch: oJobManager Error
  check: {{in: {{pin: isString.secret}}}}
  args: {{name: send, pin: none here{args}}}
  exec: |
    {code}
- name: Check
  exec: |
    {check}
- name: Count
  exec: |
    return args.get("number", 0) + 1
- name: Broken
  exec: |
    raise ValueError("no such file")
todo: [oJobManager Init]
"""

UNTIL_STOPPED = """
    import time
    go = channel("go")
    go.set("began", True)
    while go.get("ends") is None:
        time.sleep(0.01)
    return "sent"
"""


def file(code: str = "return 'sent'", args: str = "", check: str = "pass") -> str:
    return FILE.format(code=code, args=args, check=check)


def test_a_manager_that_does_not_know_the_job_launches_it(
    manager: oc.JobManager, start_daemon: RunDaemon
) -> None:
    """The record leads back to the launch, and what the file declares as secret is masked."""
    launch = manager.launch("Send", {"pin": "4711-0815"}, durable=True)
    daemon = start_daemon(file())
    assert launch.result() == "sent"
    (record,) = manager.runs("send")
    assert (record["launchId"], record["runId"]) == (launch.launch_id, launch.run_id)
    assert record["args"] == launch.info.args == {"pin": "***"}
    assert launch.info.attempts == 1
    daemon.wait_for("Send completed")


def test_a_job_without_records_is_launched_too(
    manager: oc.JobManager, start_daemon: RunDaemon
) -> None:
    """Its launch says how it ended."""
    count = manager.launch("Count", {"number": 6}, durable=True)
    broken = manager.launch("Broken", durable=True)
    start_daemon(file())
    assert count.result() == 7
    with pytest.raises(oc.LaunchFailed, match="ValueError: no such file"):
        broken.result()
    assert (count.run_id, manager.runs()) == (None, [])


def test_each_attempt_has_a_record(manager: oc.JobManager, start_daemon: RunDaemon) -> None:
    """The launch is tried again as often as it says; `catch` is called each time."""
    launch = manager.launch("Send", retries=1, durable=True)
    daemon = start_daemon(file("raise ValueError('broken')"))
    with pytest.raises(oc.LaunchFailed, match="ValueError: broken"):
        launch.result()
    records = manager.runs("send")
    assert [(one["attempt"], one["status"]) for one in records] == [(2, "failed"), (1, "failed")]
    daemon.wait_for("Send failed")
    daemon.wait_for("Send failed")


def test_a_launch_waits_while_its_job_is_running(
    manager: oc.JobManager, start_daemon: RunDaemon
) -> None:
    """It says why; nothing is recorded or reported until it can start."""
    with manager.run("send"):
        launch = manager.launch("Send", durable=True)
        daemon = start_daemon(file())
        refused = threading.Event()
        while (reason := launch.info.reason) is None:
            refused.wait(0.02)
        assert reason.startswith("the job is running elsewhere: ")
        assert (launch.state, launch.info.attempts) == ("waiting", 0)
    assert launch.result() == "sent"
    assert [record["status"] for record in manager.runs("send")] == ["completed", "completed"]
    daemon.wait_for("Send completed")
    assert not [line for line in daemon.output.rest() if "Send" in line]


@pytest.mark.parametrize("is_busy", [True, False])
def test_a_job_that_skips_ends_its_launch_as_skipped(
    manager: oc.JobManager, start_daemon: RunDaemon, is_busy: bool
) -> None:
    """Because it is running elsewhere and `ifRunning` says so, or because its `from` does."""
    run = manager.start("send" if is_busy else "other")
    launch = manager.launch("Send", durable=True)
    start_daemon(file(args=", ifRunning: skip", check="skip('nothing to do')"))
    assert launch.result() is None
    expected = "is already running" if is_busy else "nothing to do"
    assert (launch.state, expected in (launch.info.error or "")) == ("skipped", True)
    manager.end(run)


def test_only_jobs_of_the_present_file_are_taken(
    manager: oc.JobManager, start_daemon: RunDaemon
) -> None:
    """Another launch waits, visibly, until a daemon has read a file with its job."""
    launch = manager.launch("Late", durable=True)
    other = manager.launch("Count", {"number": 1}, durable=True)
    daemon = start_daemon(file())
    assert other.result() == 2
    assert (launch.state, launch.info.takers) == ("waiting", ())
    daemon.reload(file().replace("name: Count", "name: Late"))
    assert launch.result() == 1


def test_a_daemon_that_stops_ends_what_runs_and_leaves_the_rest(
    manager: oc.JobManager, start_daemon: RunDaemon
) -> None:
    """The next daemon takes the launch that it did not start."""
    launch = manager.launch("Send", durable=True)
    with oc.open_channel("go") as go:
        daemon = start_daemon(file(UNTIL_STOPPED))
        began = threading.Event()
        while go.get("began") is None:
            began.wait(0.02)
        waiting = manager.launch("Send", durable=True)
        daemon.control.stop()
        daemon.wait_for("waiting for 'Send'")
        go.set("ends", True)
        assert daemon.result().exit_status == 0
        assert launch.result(0) == "sent"
        assert waiting.state == "waiting"
