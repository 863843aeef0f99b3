"""Timeouts of jobs in Python: `onTimeout` says whether they warn, fail, or are ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ojobchannels.errors import JobTimeout
from ojobchannels.manager.runs.run_options import RunOptions
from ojobchannels.ojob.process import time_limit

if TYPE_CHECKING:
    from ojobchannels.manager import JobManager
    from tests.ojob.conftest import Run

MANAGED = """\
jobs:
- name: Job
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {{name: x, {limits}}}
  exec: |
    import time
    {code}
- name: Launch
  exec: |
    launch("Job").wait()
todo: [oJobManager Init, {todo}]
"""


@pytest.fixture(autouse=True)
def lasting_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of a minute also for short timeouts, so that a machine that stalls loses none."""
    monkeypatch.setattr(RunOptions, "ttl", 60.0)


def join_threads() -> None:
    """Wait for the code that a run has left unfinished."""
    for thread in threading.enumerate():
        if thread.name in ("ojobchannels-job", "ojobchannels-limit"):
            thread.join()


LOOP = "while True: pass"
SLEEP = "time.sleep(60)"


@pytest.mark.parametrize(
    ("todo", "code"), [("Job", LOOP), ("Job", SLEEP), ("Launch", LOOP)], ids=str
)
def test_a_managed_job_with_a_timeout_in_the_file_fails_when_it_is_over(
    run: Run, manager: JobManager, todo: str, code: str
) -> None:
    """Its code ends, also in a system call of the main thread, and the lock is free."""
    before = time.monotonic()
    result, _ = run(MANAGED.format(limits="timeout: 500", code=code, todo=todo))
    assert time.monotonic() - before < 30
    failed = next(outcome for outcome in result.outcomes if outcome.job == "Job")
    assert isinstance(failed.error, JobTimeout)
    (record,) = manager.runs()
    assert (record["status"], record["error"].split(":")[0]) == ("failed", "JobTimeout")
    assert manager.locks.locks() == []


def test_code_that_does_not_react_to_its_timeout_loses_its_locks(
    run: Run, manager: JobManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has failed and another one can start, while the code waits in a system call of a
    thread of the pool; the pool runs other jobs meanwhile."""
    monkeypatch.setattr(time_limit, "GRACE_SECONDS", 0.05)
    end = str(tmp_path / "end")
    os.mkfifo(end)
    text = MANAGED.format(limits="timeout: 500", code=f"open({end!r}).read()", todo="Look")
    look = f"""\
- name: Look
  exec: |
    hanging = launch("Job")
    locks = channel("oJobManager-locks")
    while hanging.run_id is None or locks.locks():
        pass
    (record,) = channel("oJobManager-jobs").get_all()
    log(record["status"], launch("Other").result())
    open({end!r}, "w").close()
- name: Other
  exec: return "ran"
"""
    text = text.replace("- name: Launch\n", f"{look}- name: Launch\n")
    result, reported = run(f"ojob: {{numThreads: 1}}\n{text}")
    assert "Look: failed ran" in reported
    assert any("Its code does not react: its locks are released" in line for line in reported)
    assert result.exit_status == 1
    assert manager.runs()[0]["status"] == "failed"
    join_threads()


def test_a_job_that_is_to_be_killed_runs_in_a_process_that_ends_with_its_children(
    run: Run, manager: JobManager, tmp_path: Path
) -> None:
    """It may wait in a system call."""
    code = (
        f"import subprocess; subprocess.run('echo $$ > {tmp_path}/pid; exec sleep 60', shell=True)"
    )
    for timeout in (1000, 8000, 30000):
        limits = f"timeout: {timeout}, onTimeout: kill"
        result, _ = run(MANAGED.format(limits=limits, code=code, todo="Job"))
        assert isinstance(result.outcomes[1].error, JobTimeout)
        assert manager.runs()[0]["status"] == "failed"
        assert manager.locks.locks() == []
        if (tmp_path / "pid").exists():  # a busy machine may take longer to start the processes
            break
    child = Path("/proc", (tmp_path / "pid").read_text().strip(), "cmdline")
    assert not child.exists() or child.read_bytes() == b""  # it is dead, or waits for init


@pytest.mark.parametrize(
    ("limits", "type_args"),
    [
        ("timeout: 100, onTimeout: warn", "{noLog: true}"),
        ("timeout: 100", "{onTimeout: warn}"),
        ("timeout: 60000", "{timeout: 100, onTimeout: warn}"),
    ],
)
def test_a_job_that_only_warns_completes(
    run: Run, manager: JobManager, limits: str, type_args: str
) -> None:
    """`onTimeout` is an arg of the start, or in `typeArgs`."""
    text = MANAGED.format(limits=limits, code="time.sleep(0.2)", todo="Job")
    run(text.replace("- name: Job\n", f"- name: Job\n  typeArgs: {type_args}\n"))
    assert manager.runs()[0]["status"] == "completed"


def test_a_job_without_a_manager_has_a_timeout_too(run: Run) -> None:
    """Its `catch` runs, with the full time again, and knows the error."""
    result, reported = run(
        """\
        jobs:
        - name: Job
          typeArgs: {timeout: 100}
          exec: |
            while True: pass
          catch: |
            log(type(error).__name__)
            while True: pass
        todo: [Job]
        """
    )
    assert reported[0] == "Job: JobTimeout"
    error = result.outcomes[0].error
    assert isinstance(error, JobTimeout)
    assert "its `catch` failed too: JobTimeout" in error.__notes__[0]


def test_code_that_suppresses_the_end_of_its_time_has_still_failed(
    run: Run, manager: JobManager
) -> None:
    """An `except` for everything does not make the run a success."""
    code = "with __import__('contextlib').suppress(BaseException): time.sleep(60)"
    text = MANAGED.format(limits="timeout: 500", code=code, todo="Job")
    assert run(text)[0].exit_status == 1
    assert manager.runs()[0]["status"] == "failed"


def test_the_timeout_of_a_caller_ends_the_jobs_that_it_calls(run: Run, manager: JobManager) -> None:
    """The called job fails with it."""
    text = MANAGED.format(limits="timeout: 500", code="job('Slow')", todo="Job")
    slow = "- name: Slow\n  exec: |\n    while True: pass\n"
    result, _ = run(text.replace("- name: Launch\n", f"{slow}- name: Launch\n"))
    assert isinstance(result.outcomes[1].error, JobTimeout)
    assert manager.runs()[0]["status"] == "failed"


def test_a_run_does_not_wait_for_launched_code_that_does_not_react(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with status 1 and names the job; the process must then be ended."""
    monkeypatch.setattr(time_limit, "GRACE_SECONDS", 0.05)
    gate = threading.Event()
    monkeypatch.setattr(threading, "gate", gate, raising=False)
    code = "__import__('threading').gate.wait()"
    try:
        result, _ = run(MANAGED.format(limits="timeout: 500", code=code, todo="Launch"))
    finally:
        gate.set()
    assert result.exit_status == 1
    assert result.unfinished == ("Job",)
    join_threads()


def test_a_timeout_leaves_a_process_that_can_be_traced() -> None:
    """As debuggers do: before Python 3.13, a withdrawn exception makes traced calls hang."""
    program = """
import sys, threading
from ojobchannels.ojob.process.time_limit import TimeLimit

def work():
    limit = TimeLimit(0.05, lambda: None)
    try:
        limit.start()
        while True:
            pass
    except BaseException:
        limit.close()
    print("ended", limit.fired, flush=True)

def traced():
    print("traced")

thread = threading.Thread(target=work)
thread.start()
thread.join()
sys.settrace(lambda *event: None)
traced()
"""
    command = [sys.executable, "-P", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.splitlines() == ["ended True", "traced"], ended.stderr


def test_a_time_limit_that_did_not_start_can_be_closed() -> None:
    """An interrupt may come before its start; closing it must not raise another error."""
    limit = time_limit.TimeLimit(0.001, lambda: None)
    limit.close()
    assert not limit.fired
