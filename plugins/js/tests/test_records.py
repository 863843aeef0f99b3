"""What bodies conclude from the run records, if they judge by `endTime` and `inError` alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ojobchannels import JobManager

Run: TypeAlias = Callable[..., tuple[Any, list[str]]]

CONCLUDE = """
- name: Conclude
  exec: |
    var jobs = $ch("oJobManager-jobs").getAll();
    log("seen: " + jobs.map(job => job.name + " " + (isDef(job.endTime)
      ? (job.inError ? "ERROR" : "COMPLETED") : "RUNNING")).join(", "));
    log("history: " + $from(jobs).groupBy("name").select(group => group.key + " "
      + group.items.filter(job => !job.inError).length + " of " + group.items.length).join(", "));
"""

DYING = """
import os, sys
import ojobchannels as oc

oc.JobManager(f"sqlite:///{sys.argv[1]}", f"sqlite:///{sys.argv[1]}").start("my-job", timeout=3600)
os.kill(os.getpid(), 9)
"""
DOCUMENT = Path(__file__).with_name("document")


@pytest.fixture
def dead_run(config: dict[str, Any]) -> None:
    """A run of `my-job` whose process was killed."""
    subprocess.run([sys.executable, "-c", DYING, config["args"]["file"]], check=False)


def test_a_run_that_did_not_begin_is_neither_completed_nor_a_success(
    run: Run, manager: JobManager
) -> None:
    """It was skipped, or a dependency failed: the monitor and the history do not count it."""
    with manager.run("nightly"):
        _, reported = run(
            "include: [oJobManager.yaml]\njobs:\n"
            + "".join(
                f"- {{name: {job}, from: [oJobManager Job Start, {check}], "
                "to: oJobManager Job End, catch: oJobManager Error, "
                f"args: {{name: {name}}}, exec: '{code}'{deps}}}\n"
                for job, name, check, code, deps in (
                    ("Nightly", "nightly", "Has work", "", ""),
                    ("Idle", "idle", "Has none", "", ""),
                    ("Broken", "broken", "Has work", 'throw "bad"', ""),
                    ("After", "after", "Has work", "", ", deps: Broken"),
                    ("Good", "good", "Has work", "", ""),
                )
            )
            + "- {name: Has work}\n- {name: Has none, exec: 'skip(\"no news\")'}\n"
            + CONCLUDE
            + "todo: [oJobManager Init, Nightly, Idle, Broken, After, Good, Conclude]\n"
        )
    seen = next(line for line in reported if "seen: " in line).split("seen: ")[1].split(", ")
    assert sorted(seen) == ["broken ERROR", "good COMPLETED", "nightly RUNNING"]
    history = next(line for line in reported if "history: " in line).split("history: ")[1]
    assert sorted(history.split(", ")) == ["broken 0 of 1", "good 1 of 1", "nightly 1 of 1"]
    shown = {(record["name"], record["status"]) for record in manager.runs()}
    assert {("nightly", "skipped"), ("idle", "skipped"), ("after", "depsfail")} < shown


@pytest.mark.usefixtures("dead_run")
def test_a_dead_run_is_an_error_and_not_running(run: Run, manager: JobManager) -> None:
    """A body that reads the records finds its end and its error, without a start before."""
    (record,) = manager.jobs.get_all()
    assert isinstance(record, dict)
    assert "endTime" not in record
    with manager.run("alive"):
        _, reported = run(
            f"include: [oJobManager.yaml]\njobs:\n{CONCLUDE}todo: [oJobManager Init, Conclude]\n"
        )
    assert "Conclude: seen: alive RUNNING, my-job ERROR" in reported


@pytest.mark.usefixtures("dead_run")
def test_the_conditional_job_starts_after_the_last_run_was_killed(
    run_path: Run, manager: JobManager, config: dict[str, Any]
) -> None:
    """It does not take the dead run for one that is running."""
    result, reported = run_path(DOCUMENT / "status.yaml", config)
    assert result.exit_status == 0
    assert "Conditional Job: Job already running, skipping" not in reported
    assert [record["status"] for record in manager.runs("my-job")] == ["completed", "abandoned"]


def test_the_first_record_of_a_job_is_its_latest_run(
    run_path: Run, manager: JobManager, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The current status is that of the last run, not of the first one ever."""
    long = manager.start("long")
    with manager.run("my-job"):
        pass
    manager.start("my-job").fail("no disk")
    long.end()
    run_path(DOCUMENT / "status.yaml", config)
    first, second = capsys.readouterr().out.split("Job: my-job")[1:3]
    assert "Status: Failed\nError: no disk" in first
    assert "Status: Success" in second


def test_a_forced_unlock_leaves_a_note_and_an_unknown_name_is_an_error(
    run: Run, manager: JobManager
) -> None:
    """The record says whether a lock was taken away or a process died."""
    unlock = """
include: [oJobManager.yaml]
jobs:
- name: Force Unlock
  exec: |
    if (isDef(global.__oJobManager)) {
      global.__oJobManager.jobLocks.unlock(args.jobName);
      log("Unlocked: " + args.jobName);
    }
todo: [oJobManager Init, Force Unlock]
"""
    held = manager.start("stuck")
    result, reported = run(unlock, jobName="stick")
    assert result.exit_status == 1
    assert "Force Unlock: Unlocked: stick" not in reported
    assert (
        "the lock 'stick' is not held; pass the name of a held lock; held: 'stuck'" in reported[-1]
    )
    result, reported = run(unlock, jobName="stuck")
    assert "Force Unlock: Unlocked: stuck" in reported
    (record,) = manager.runs("stuck")
    assert "force-released by a job file" in record["note"]
    assert "its lock was force-released while it was running" in record["error"]
    held._give_up(RuntimeError())
