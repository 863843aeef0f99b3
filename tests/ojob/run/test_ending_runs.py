"""Jobs that end their managed runs themselves, in another way, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.errors import LockLost, RunNotStarted
from ojobchannels.manager import JobManager

if TYPE_CHECKING:
    from tests.ojob.conftest import Run


CUSTOM = """\
jobs:
- name: Job
  from: oJobManager Job Start
  args: {name: x}
  exec: |
    try:
        1 / args["n"]
        job("oJobManager Job End", {"name": args["name"]})
        log(channel("oJobManager-locks").lock_info("x"))
    except ZeroDivisionError as e:
        job("oJobManager Error", {"name": args["name"], "e": e})
        log(channel("oJobManager-locks").lock_info("x"))
        raise
todo: [Job]
"""


@pytest.mark.parametrize(
    ("number", "status", "error"),
    [(1, "completed", None), (0, "failed", "ZeroDivisionError")],
)
def test_a_body_can_end_its_run_itself(
    run: Run, manager: JobManager, number: int, status: str, error: str | None
) -> None:
    result, reported = run(CUSTOM, n=number)
    assert reported[0] == "Job: None"
    assert [outcome.status for outcome in result.outcomes] == [status]
    (record,) = manager.runs()
    assert record["status"] == status
    assert (record.get("error") or "").partition(":")[0] == (error or "")


def test_error_without_arguments_ends_the_latest_run_with_the_current_exception(
    run: Run, manager: JobManager
) -> None:
    run(
        """\
        jobs:
        - name: Job
          exec: |
            job("oJobManager Job Start", {"name": "one"})
            job("oJobManager Job Start", {"name": "two"})
            try:
                raise KeyError("x")
            except KeyError:
                job("oJobManager Error")
            job("oJobManager Error", {"e": "not good"})
        todo: [Job]
        """
    )
    assert {one["name"]: one["error"] for one in manager.runs()} == {
        "one": "not good",
        "two": "KeyError: 'x'",
    }


@pytest.mark.parametrize("tool", ["oJobManager Job End", "oJobManager Error"])
@pytest.mark.parametrize("args", ["{}", "{'name': 'x'}"])
def test_ending_a_run_that_this_job_has_not_started_is_an_error_and_writes_nothing(
    run: Run, manager: JobManager, tool: str, args: str
) -> None:
    held = manager.start("x")
    result, _ = run(
        f"""\
        jobs:
        - name: Job
          exec: |
            job("{tool}", {args})
        todo: [oJobManager Init, Job, {tool}]
        """
    )
    errors = [outcome.error for outcome in result.outcomes[1:]]
    assert [type(error) for error in errors] == [RunNotStarted, RunNotStarted]
    assert [record["status"] for record in manager.runs()] == ["running"]
    held.end()


def test_the_end_of_a_run_of_another_name_says_which_runs_there_are(run: Run) -> None:
    """Its `name` was changed in between, or written wrongly."""
    result, _ = run(
        """\
        jobs:
        - name: Job
          from: oJobManager Job Start
          to: oJobManager Job End
          args: {name: x}
          exec: args["name"] = "y"
        todo: [Job]
        """
    )
    reason = "oJobManager Job End: there is no open run of 'y' here"
    advice = "pass the name of a run that this job has started: 'x'"
    assert str(result.outcomes[0].error) == f"{reason}; {advice}"


def test_error_as_catch_does_nothing_if_no_run_was_started(run: Run, manager: JobManager) -> None:
    result, reported = run(
        """\
        jobs:
        - {name: Job, catch: oJobManager Error, exec: raise ValueError}
        todo: [oJobManager Init, Job]
        """
    )
    assert reported == ["Job failed (ValueError)"]
    assert isinstance(result.outcomes[1].error, ValueError)
    assert manager.runs() == []


def test_a_run_that_the_job_leaves_open_ends_with_the_job(run: Run, manager: JobManager) -> None:
    """It is completed, its lock is released, and a warning says what is missing."""
    result, reported = run(
        """\
        jobs:
        - {name: Job, from: oJobManager Job Start, args: {name: x}}
        todo: [Job]
        """
    )
    assert result.exit_status == 0
    advice = "put 'oJobManager Job End' under `to`"
    assert reported == [
        f"Job: warn: its run 'x' ends with the job; {advice}",
        "Job completed",
    ]
    assert manager.runs()[0]["status"] == "completed"
    assert manager.locks.locks() == []


def test_an_end_without_a_start_names_what_is_missing(run: Run) -> None:
    result, reported = run(
        """\
        jobs:
        - {name: Job, to: oJobManager Job End, args: {name: x}}
        todo: [oJobManager Init, Job]
        """
    )
    assert result.exit_status == 1
    assert isinstance(result.outcomes[1].error, RunNotStarted)
    assert "put 'oJobManager Job Start' under `from`" in reported[-1]


def test_a_run_left_open_that_has_lost_its_lock_fails_the_job(
    run: Run, manager: JobManager
) -> None:
    result, reported = run(
        """\
        jobs:
        - name: Job
          from: oJobManager Job Start
          args: {name: x}
          exec: channel("oJobManager-locks").force_unlock("x")
        todo: [Job]
        """
    )
    assert reported[-1].startswith("Job failed (LockLost: lost the lock 'x'")
    assert isinstance(result.outcomes[0].error, LockLost)
    assert manager.runs()[0]["status"] == "lost"


def test_two_runs_of_one_job_are_ended_by_their_names(run: Run, manager: JobManager) -> None:
    result, _ = run(
        """\
        jobs:
        - {name: Start A, from: oJobManager Job Start, args: {name: a}}
        - {name: Start B, from: oJobManager Job Start, args: {name: b}}
        - {name: End A, to: oJobManager Job End, args: {name: a}}
        - {name: End B, to: oJobManager Job End, args: {name: b}}
        - {name: Job, from: [Start A, Start B], to: [End A, End B]}
        todo: [Job]
        """
    )
    assert result.outcomes[0].error is None
    assert {one["name"]: one["status"] for one in manager.runs()} == {
        "a": "completed",
        "b": "completed",
    }


def test_a_job_that_skips_itself_after_its_start_is_skipped_in_the_record_too(
    run: Run, manager: JobManager
) -> None:
    """The record has the reason, dependents do not run, and the lock is released."""
    result, reported = run(
        """\
        jobs:
        - {name: Look, exec: skip("no news")}
        - {name: Job, from: [oJobManager Job Start, Look], to: oJobManager Job End, args: {name: a}}
        - {name: Dependent, deps: Job, from: oJobManager Job Start, args: {name: b}}
        todo: [Job, Dependent]
        """
    )
    assert reported == [
        "Job skipped (no news)",
        "Dependent depsfail (dependency 'Job' was skipped)",
    ]
    assert result.exit_status == 0
    (record,) = manager.runs("a")
    assert (record["status"], record["reason"]) == ("skipped", "no news")
    assert (record["endTime"], record["duration"]) == (record["startTime"], 0)
    assert record["inError"] is False
    assert manager.runs("b")[0]["status"] == "depsfail"
    assert manager.locks.locks() == []


def test_runs_started_before_a_busy_lock_are_skipped_with_the_job(
    run: Run, manager: JobManager
) -> None:
    """With `ifRunning: skip`, the whole job is skipped, whatever it has started before."""
    held = manager.start("b")
    result, _ = run(
        """\
        jobs:
        - {name: Start A, from: oJobManager Job Start, args: {name: a}}
        - {name: Start B, from: oJobManager Job Start, args: {name: b}}
        - {name: Job, from: [Start A, Start B], args: {ifRunning: skip}, exec: 1/0}
        todo: [Job]
        """
    )
    assert result.exit_status == 0
    (record,) = manager.runs("a")
    assert record["status"] == "skipped"
    assert record["reason"].startswith("'b' is already running")
    assert manager.locks.lock_info("a") is None
    held.end()
