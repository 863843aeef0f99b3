"""A managed job whose lock is held: it fails, is skipped, or waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from tests.ojob.run.test_started_runs import INIT, managed

if TYPE_CHECKING:
    from ojobchannels.manager import JobManager
    from tests.ojob.conftest import Run


def test_a_job_that_is_already_running_fails_without_harm_to_the_holder(
    run: Run, manager: JobManager
) -> None:
    """The error names the holder, and the `catch` that is called for it leaves the holder alone."""
    held = manager.start("x")
    result, reported = run(
        f"""\
jobs:
{managed("log('body')").replace("catch: oJobManager Error", "catch: [oJobManager Error, Say]")}
- {{name: Say, exec: "log(type(error).__name__, error.holder['pid'])"}}
- {{name: Dependent, deps: Job}}
todo: [Job, Dependent]
"""
    )
    assert result.exit_status == 1
    assert reported[0] == f"Job: JobLocked {held.record['pid']}"
    assert reported[1].startswith("Job failed (JobLocked: Can't lock to execute job 'x': its lock")
    assert f"pid {held.record['pid']}" in reported[1]
    assert reported[2:] == ["Dependent depsfail (dependency 'Job' failed)"]
    assert [record["status"] for record in manager.runs()] == ["skipped", "running"]
    held.end()
    assert manager.runs(status="completed")[0]["runId"] == held.run_id


@pytest.mark.parametrize("overall", [False, True], ids=["in its args", "for the whole run"])
def test_a_job_that_is_already_running_can_be_skipped_without_harm_to_the_holder(
    run: Run, manager: JobManager, overall: bool
) -> None:
    """No step and no `catch` runs, the holder is reported, dependents are skipped, and the exit
    status is 0."""
    held = manager.start("x")
    if_running = "fail" if overall else "skip"
    result, reported = run(
        f"""\
jobs:
{managed("log('body')").replace("name: x", f"name: x, ifRunning: {if_running}")}
- {{name: Dependent, deps: Job}}
todo: [Job, Dependent]
""",
        options={"if_running": "skip"} if overall else {},
    )
    assert result.exit_status == 0
    assert reported[0].startswith("Job skipped ('x' is already running (host ")
    assert f"pid {held.record['pid']}" in reported[0]
    assert reported[1:] == ["Dependent depsfail (dependency 'Job' was skipped)"]
    assert [record["status"] for record in manager.runs()] == ["skipped", "running"]
    held.end()
    assert manager.runs(status="completed")[0]["runId"] == held.run_id


@pytest.mark.parametrize("if_running", ["fail", "skip", "wait"])
def test_a_start_in_a_body_does_what_if_running_says(
    run: Run, manager: JobManager, if_running: str
) -> None:
    """Also where the lock is found held in the middle of a job."""
    held = manager.start("x")
    ends = threading.Timer(0.3, held.end)
    if if_running == "wait":
        ends.start()
    result, reported = run(
        f"""\
        jobs:
        - name: Job
          exec: |
            log("before")
            job("oJobManager Job Start", {{"name": "x", "ifRunning": "{if_running}"}})
            log("has the lock")
            job("oJobManager Job End", {{"name": "x"}})
        todo: [oJobManager Init, Job]
        """
    )
    outcome = {"fail": "failed", "skip": "skipped", "wait": "completed"}[if_running]
    assert reported[0] == "Job: before"
    assert reported[-1].startswith(f"Job {outcome}")
    assert ("Job: has the lock" in reported) is (if_running == "wait")
    assert result.exit_status == (if_running == "fail")
    if if_running != "wait":
        held.end()
    assert manager.locks.locks() == []


def test_a_job_does_not_wait_for_the_job_that_called_it(run: Run, manager: JobManager) -> None:
    """That would be forever; both fail, and the message says why."""
    result, reported = run(
        """\
jobs:
- name: Caller
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {name: x}
  exec: job("Called")
- name: Called
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {name: x, ifRunning: wait}
todo: [oJobManager Init, Caller]
"""
    )
    assert result.exit_status == 1
    assert "would wait forever for 'x', which the calling job has started" in reported[0]
    assert manager.locks.locks() == []


def test_an_unknown_if_running_is_a_diagnostic(run: Run) -> None:
    """Before any job runs, with the words that are known."""
    with pytest.raises(oc.JobFileError, match="use one of fail, skip, wait"):
        run(f"jobs:\n{managed().replace('name: x', 'name: x, ifRunning: skp')}{INIT}")


def test_a_short_job_on_two_servers_runs_once(run: Run, manager: JobManager) -> None:
    """With `lockAtLeastFor` the second server, a little later, finds the lock held."""
    text = f"jobs:\n{managed().replace('name: x', 'name: x, lockAtLeastFor: 60000')}{INIT}"
    first, _ = run(text, options={"if_running": "skip"})
    second, reported = run(text, options={"if_running": "skip"})
    assert (first.exit_status, second.exit_status) == (0, 0)
    assert "kept until " in reported[0]
    assert [record["status"] for record in manager.runs()] == ["skipped", "completed"]
    assert manager.runs()[0]["args"] == {}
    assert run(text)[0].exit_status == 1


def test_a_job_runs_as_often_at_once_as_it_allows(run: Run, manager: JobManager) -> None:
    """With `maxConcurrent`, counted over all processes; the holders are left alone."""
    text = f"jobs:\n{managed().replace('name: x', 'name: x, maxConcurrent: 2')}{INIT}"
    first = manager.start("x", max_concurrent=2)
    assert run(text)[0].exit_status == 0
    second = manager.start("x", max_concurrent=2)
    result, reported = run(text)
    assert result.exit_status == 1
    assert "none of its 2 slots is free" in reported[0]
    assert manager.runs(status="completed")[0]["args"] == {}
    first.end()
    second.end()


@pytest.mark.parametrize("number", ["0", "1001", "two", "1.5"])
def test_an_invalid_number_of_runs_is_a_diagnostic(run: Run, number: str) -> None:
    """Before any job runs."""
    text = managed().replace("name: x", f"name: x, maxConcurrent: {number}")
    with pytest.raises(oc.JobFileError, match="pass 1 to 1000"):
        run(f"jobs:\n{text}{INIT}")


@pytest.mark.parametrize(("if_running", "status"), [("fail", 1), ("skip", 0)])
def test_a_job_over_its_rate_limit_does_what_if_running_says(
    run: Run, manager: JobManager, if_running: str, status: int
) -> None:
    """It fails, with its `catch`, or is skipped; both are recorded as skipped."""
    args = f"name: x, rateLimit: 1/1h, ifRunning: {if_running}"
    text = f"jobs:\n{managed().replace('name: x', args)}{INIT}"
    assert run(text)[0].exit_status == 0
    result, reported = run(text)
    assert result.exit_status == status
    assert "rate limit 1/1h reached" in reported[0]
    assert [record["status"] for record in manager.runs()] == ["skipped", "completed"]
    assert manager.runs()[1]["args"] == {}
