"""Cancelled runs of job files: what becomes of code in Python, in children, and under `catch`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ojobchannels as oc
from tests.ojob.conftest import Run

FILE = """
jobs:
- name: Job
  from: oJobManager Job Start
  to: oJobManager Job End
  catch:
  - oJobManager Error
  - Clean Up
  args: {{name: job}}
  {options}
  exec: |
{code}
- name: Clean Up
  exec: |
    log("cleaned up")
todo: [oJobManager Init, Job]
"""


def works(pid: int) -> bool:
    """Return whether a process exists and is not only waiting for its parent to notice its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@contextmanager
def cancelling(manager: oc.JobManager) -> Iterator[None]:
    """Cancel the first run that has written a line."""
    requested: list[str] = []

    def on_output(change: oc.Change) -> None:
        if change.op == "set" and not requested:
            requested.append(change.value["runId"])
            manager.cancel(change.value["runId"], author="ann@desk", reason="stuck")

    subscription = manager._channels.output.subscribe(on_output)
    try:
        yield
    finally:
        subscription.close()


def cancelled(run: Run, manager: oc.JobManager, options: str, *code: str) -> list[str]:
    """Run a file whose job is cancelled, check its record, and return what was reported."""
    text = FILE.format(options=options, code="\n".join(f"    {line}" for line in code))
    with cancelling(manager):
        result, reported = run(text)
    assert result.exit_status == 1
    record = manager.runs("job")[0]
    assert record["status"] == "cancelled"
    assert "cancelled by ann@desk: stuck" in record["error"]
    assert manager.locks.lock_info("job") is None
    assert "Job: cleaned up" in reported
    return reported


def test_python_code_is_interrupted_at_its_next_call_of_a_helper(
    run: Run, manager: oc.JobManager
) -> None:
    """Also in a job that it calls; what is under `catch` may use the helpers."""
    reported = cancelled(run, manager, "", "while True:", "    log('tick')")
    assert "Job failed (RunCancelled: job 'job' was cancelled by ann@desk: stuck" in reported[-1]


def test_python_code_can_clean_up(run: Run, manager: oc.JobManager) -> None:
    """The exception is raised in it, like any other."""
    code = ["try:", "    while True: log('tick')", "finally:", "    print('finally')"]
    cancelled(run, manager, "", *code)
    output = manager.output(manager.runs("job")[0]["runId"])
    assert output is not None
    assert "finally" in [line.text for _, line in output.numbered()]


def test_python_in_a_child_process_is_ended(run: Run, manager: oc.JobManager) -> None:
    """Although it never calls a helper again."""
    options = "typeArgs: {timeout: 60000, onTimeout: kill}"
    cancelled(run, manager, options, "log(1)", "while True: pass")


@pytest.mark.parametrize("writes", ["true", "echo x"], ids=["silent", "writing"])
def test_a_shell_is_ended_with_all_that_it_has_started(
    run: Run, manager: oc.JobManager, writes: str
) -> None:
    """Also what it has put into the background, and while it writes without a pause."""
    code = [
        "sleep 600 & echo pid $!",
        "(sleep 600; true) & echo pid $!",
        f"while true; do {writes}; done",
    ]
    reported = cancelled(run, manager, "typeArgs: {lang: shell}", *code)
    pids = [int(line.rpartition(" ")[2]) for line in reported if ": pid " in line]
    assert len(pids) == 2
    assert not any(map(works, pids))


def test_a_job_that_a_cancelled_run_calls_is_interrupted(run: Run, manager: oc.JobManager) -> None:
    """It works for the run, though it is not managed itself."""
    text = FILE.format(options="", code="    job('Inner')")
    text = text.replace("todo:", "- name: Inner\n  exec: |\n    while True: log('tick')\ntodo:")
    with cancelling(manager):
        run(text)
    assert manager.runs("job")[0]["status"] == "cancelled"
