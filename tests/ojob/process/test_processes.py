"""Job files started as processes: many at once, killed, interrupted."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from ojobchannels.manager import JobManager
from ojobchannels.testing.forks import Forks
from ojobchannels.testing.programs import JOB_FILES, Program

pytestmark = pytest.mark.kit  # on one interpreter: most of the time goes into starting programs

WAITING = "interrupted: waiting for 'Work' (work); interrupt again to abandon them\n"

MAIN = """\
import os, sys
from ojobchannels.ojob import run_file
result = run_file(sys.argv[1])
print("unfinished", *result.unfinished)
sys.stdout.flush()
os._exit(result.exit_status) if result.unfinished else sys.exit(result.exit_status)
"""

JOBS = """\
include: oJobManager.yaml
ojob: {{numThreads: 1, {more}}}
jobs:
- name: Init
  to: oJobManager Init
  args:
    chJobs: {config}
    chLocks: {config}
- name: Work
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: [oJobManager Error, Alarm]
  args: {{name: work}}
  exec: |
    import sys
    print("at work", flush=True)
    sys.stdin.readline()
- {{name: Alarm, exec: "print('ALARM', flush=True)"}}
- {{name: After, exec: "print('REST OF TODO', flush=True)"}}
- name: Launch Jobs
  exec: |
    import threading
    launch("Work")
    for _ in range(2):
        launch("Queued")
    print("all launched", flush=True)
    # Not one long wait: a signal that comes just before it would not interrupt it.
    while not threading.Event().wait(0.2):
        pass
- name: Queued
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {{name: queued}}
  exec: print("QUEUED", flush=True)
todo: [Init, {todo}, After, After]
"""


@pytest.fixture(params=["db", "file"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Where the processes keep their channels."""
    return {"type": request.param, "args": {"file": str(tmp_path / f"m.{request.param}")}}


@pytest.fixture
def start(
    tmp_path: Path, config: dict[str, Any], _ojob_forks: Forks
) -> Iterator[Callable[..., Program]]:
    """Start a program with a job file and more arguments."""
    started: list[Program] = []

    def start(todo: str = "Work", more: str = "daemon: false") -> Program:
        path = tmp_path / "f.yaml"
        new = tmp_path / "new.yaml"
        new.write_text(dedent(JOBS.format(config=config, todo=todo, more=more)))
        new.replace(path)  # at once: processes that were started before may read it now
        process = Program(
            _ojob_forks,
            ["-c", MAIN, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            imports=JOB_FILES,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def read_until(process: Program, *words: str) -> str:
    """Read output of a process until it contains `word`."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if all(word in text for word in words):
            break
    return text


def test_of_eight_processes_at_once_one_runs_and_seven_report_why_not(
    start: Callable[..., Program], manager: JobManager
) -> None:
    processes = [start() for _ in range(8)]
    texts = {process: read_until(process, "at work") for process in processes}
    (winner,) = [process for process, text in texts.items() if "at work" in text]
    for process, text in texts.items():
        if process is not winner:
            text += process.communicate()[0]
            assert "Work | failed after " in text
            assert "JobLocked: Can't lock to execute job 'work': its lock is held by host " in text
            assert f"pid {winner.pid}" in text
            assert "ALARM" in text
            assert process.returncode == 1
    out, _ = winner.communicate("go\n")
    assert "Work | completed" in out
    assert winner.returncode == 0
    statuses = sorted(record["status"] for record in manager.runs())
    assert statuses == ["completed", *["skipped"] * 7]


def test_a_killed_run_blocks_no_other_and_is_shown_as_abandoned(
    start: Callable[..., Program], manager: JobManager
) -> None:
    first = start()
    read_until(first, "at work")
    first.kill()
    first.wait()
    second = start()
    read_until(second, "at work")
    second.communicate("go\n")
    assert second.returncode == 0
    assert [record["status"] for record in manager.runs()] == ["completed", "abandoned"]


@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_recorded_as_failed_and_releases_its_lock(
    start: Callable[..., Program], manager: JobManager, number: signal.Signals
) -> None:
    """Neither its catch nor the rest of the todo runs, and the exit status is 130."""
    process = start()
    read_until(process, "at work")
    process.send_signal(number)
    out, _ = process.communicate()
    assert process.returncode == 130
    assert f"Interrupted: stopped by {number.name}" in out
    assert "ALARM" not in out
    assert "REST OF TODO" not in out
    (record,) = manager.runs()
    assert (record["status"], record["error"]) == (
        "failed",
        f"Interrupted: stopped by {number.name}",
    )
    assert manager.locks.locks() == []


def test_an_interrupt_lets_launched_jobs_finish_and_starts_no_more(
    start: Callable[..., Program], manager: JobManager
) -> None:
    process = start("Launch Jobs")
    read_until(process, "at work", "all launched")
    process.terminate()
    message = read_until(process, WAITING)
    assert message.count("Queued | skipped: the run was interrupted before this job started\n") == 2
    out, _ = process.communicate("go\n")
    assert process.returncode == 130
    assert "Work | completed" in out
    assert "QUEUED" not in message + out
    assert [record["status"] for record in manager.runs("work")] == ["completed"]


@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize("todo", ["Work", "Launch Jobs"])
def test_an_interrupt_reports_in_one_line_which_calls_were_not_started(
    start: Callable[..., Program], todo: str
) -> None:
    """Each job once, with its number; also if the running job has launched others."""
    process = start(f"{todo}, {todo}")
    read_until(process, "at work")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate("go\n")
    reported = [line.partition(" | ")[2] for line in out.splitlines() if "not started" in line]
    left_out = f"interrupted: not started: '{todo}', 'After' (2 times)"
    assert reported == [f"ojob | warning: {left_out}"]


def test_an_interrupt_lets_calls_of_an_async_todo_finish_and_starts_no_more(
    start: Callable[..., Program], manager: JobManager
) -> None:
    """They run on the pool like launched ones; those that have not started do not run."""
    process = start("Work", "async: true")
    read_until(process, "at work")
    process.terminate()
    message = read_until(process, WAITING)
    assert "interrupted: not started: 'After' (2 times)\n" in message
    out, _ = process.communicate("go\n")
    assert process.returncode == 130
    assert "Work | completed" in out
    assert "REST OF TODO" not in message + out
    assert [record["status"] for record in manager.runs("work")] == ["completed"]


def test_a_second_run_of_a_unique_file_ends_at_once(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    """It names the process that runs the file; when that was killed, the next run starts."""
    unique = f"unique: {{pidFile: {tmp_path / 'f.pid'}}}"
    first = start("Work", unique)
    read_until(first, "at work")
    second = start("Work", unique)
    out, _ = second.communicate()
    assert second.returncode == 1  # as of any program that raises
    assert f"f.yaml is already running: process {first.pid} holds '{tmp_path / 'f.pid'}'; " in out
    first.kill()
    first.wait()
    third = start("Work", unique)
    read_until(third, "at work")
    assert (tmp_path / "f.pid").read_text() == f"{third.pid}\n"
    third.communicate("go\n")
    assert third.returncode == 0
    assert not (tmp_path / "f.pid").exists()


def test_a_second_interrupt_abandons_launched_jobs(
    start: Callable[..., Program], manager: JobManager
) -> None:
    """Their locks are not released while they still run: the end of the process frees them.

    Those that had not started were reported and recorded before.
    """
    process = start("Launch Jobs")
    read_until(process, "at work", "all launched")
    process.terminate()
    read_until(process, "interrupted: waiting")
    process.terminate()
    out = read_until(process, "unfinished")
    assert out.endswith("unfinished Work\n")
    assert process.wait() == 130
    assert [record["status"] for record in manager.runs("work")] == ["abandoned"]
    assert [(record["status"], record["reason"]) for record in manager.runs("queued")] == [
        ("skipped", "the run was interrupted before this job started")
    ] * 2
    assert manager.locks.locks() == []
