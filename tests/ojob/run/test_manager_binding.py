"""The manager of a job file is opened once, as configured, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from ojobchannels.manager import JobManager
from ojobchannels.ojob import RunResult, run_file

if TYPE_CHECKING:
    from tests.ojob.conftest import RecordingOutput, Run


JOBS = """\
include: oJobManager.yaml
jobs:
- name: Init
  to: oJobManager Init
  args: {{chJobs: {config}, chLocks: {config}}}
- name: Try
  exec: |
    try:
        job("Init")
    except Exception as e:
        log(type(e).__name__)
- name: Job
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {{name: x}}
  exec: log("ran")
- {{name: Launcher, exec: launch("Job")}}
todo: [{todo}]
"""
Open: TypeAlias = Callable[..., RunResult]


@pytest.fixture
def open_with(tmp_path: Path, reported: RecordingOutput) -> Open:
    """Run a todo with the given jobs, the channels of its `Init`, and args for the run."""

    def open_with(config: Any, todo: str, **args: Any) -> RunResult:
        path = tmp_path / "f.yaml"
        path.write_text(JOBS.format(config=config, todo=todo))
        return run_file(path, args, reported)

    return open_with


@pytest.mark.parametrize(
    "config",
    [
        {"type": "db", "args": {"file": "/proc/nowhere/jobs.db"}},
        {"type": "db", "args": {}},
        {"type": "nosuch"},
        {"type": "ignite", "args": {"gridName": "g"}},
        [1],
    ],
)
@pytest.mark.parametrize("init", ["Init", "Try"])
def test_a_manager_that_cannot_be_opened_ends_the_run(
    open_with: Open, reported: RecordingOutput, config: Any, init: str
) -> None:
    """Nothing runs on memory instead, even if a job suppresses the error."""
    result = open_with("'{{where}}'", f"{init}, Job, Launcher", where=config)
    assert result.exit_status == 1
    assert reported.lines[-2:] == [
        "Job depsfail (the manager could not be opened)",
        "Launcher depsfail (the manager could not be opened)",
    ]
    assert "Job: ran" not in reported.lines


def test_init_again_with_the_same_channels_does_nothing(open_with: Open, config: Any) -> None:
    assert open_with(config, "Init, Init, oJobManager Init, Job, Init").exit_status == 0


def test_init_again_with_other_channels_is_an_error(open_with: Open, config: Any) -> None:
    result = open_with(config, "Init, {name: Init, args: {chJobs: {type: simple}}}, Job")
    assert [one.status for one in result.outcomes] == ["completed", "failed", "depsfail"]
    assert "the manager is already open with chJobs db" in str(result.outcomes[1].error)


def test_a_start_without_init_opens_simple_channels(
    open_with: Open, reported: RecordingOutput
) -> None:
    assert open_with("{}", "Job, Launcher").exit_status == 0
    assert reported.lines.count("Job: ran") == 2


@pytest.mark.parametrize(
    ("args", "warned"),
    [
        ("chJobs: {type: simple}", True),
        ("chJobs: 'sqlite:///j.db'", True),
        ("chLocks: {type: simple}", False),
        ("chLocks: 'sqlite:///l.db'", False),
    ],
)
def test_locks_in_memory_give_a_warning_unless_they_are_configured(
    open_with: Open,
    reported: RecordingOutput,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: str,
    warned: bool,
) -> None:
    """Another process would not see them, and both would run the same job."""
    monkeypatch.chdir(tmp_path)
    assert open_with("{}", f"{{name: oJobManager Init, args: {{{args}}}}}").exit_status == 0
    assert len(reported.lines) == warned
    assert all("locks are only in the memory of this process" in line for line in reported.lines)


def test_channels_of_the_caller_take_precedence_over_those_of_the_file(
    run: Run, manager: JobManager, tmp_path: Path
) -> None:
    file = tmp_path / "never.db"
    result, _ = run(
        f"""\
        jobs:
        - name: Job
          from: oJobManager Job Start
          to: oJobManager Job End
          args: {{name: x, chJobs: {{type: db, args: {{file: '{file}'}}}}}}
        todo: [Job]
        """
    )
    assert result.exit_status == 0
    assert manager.runs()[0]["status"] == "completed"
    assert not file.exists()


def test_the_managers_channels_do_not_exist_before_init(run: Run) -> None:
    result, _ = run("jobs: [{name: Job, exec: channel('oJobManager-jobs')}]\ntodo: [Job]\n")
    assert "put 'oJobManager Init' before it in the todo" in str(result.outcomes[0].error)


def test_the_managers_channels_take_no_configuration(run: Run) -> None:
    code = "channel('oJobManager-jobs', {'type': 'simple'})"
    result, _ = run(f'jobs: [{{name: Job, exec: "{code}"}}]\ntodo: [oJobManager Init, Job]\n')
    assert "configure it in 'oJobManager Init'" in str(result.outcomes[1].error)


@pytest.mark.parametrize(
    "place",
    [
        '"redis://:pa,w0rd@localhost"',
        '"redis://localhost?password=pa,w0rd&db=1"',
        '{type: redis, args: {username: job, password: "pa,w0rd}"}}',
    ],
)
def test_no_error_about_a_configuration_shows_a_password(run: Run, place: str) -> None:
    """Neither for the manager nor for a job's own channel, wherever the password is."""
    result, reported = run(
        f"""\
        jobs:
        - {{name: Init, to: oJobManager Init, args: {{chJobs: {place}}}}}
        - {{name: Other, to: oJobManager Init, args: {{chJobs: other}}}}
        - name: Open
          args: {{config: {place}}}
          exec: |
            channel("mine")
            channel("mine", args["config"])
        todo: [Open, Init, Other]
        """
    )
    assert [outcome.status for outcome in result.outcomes] == ["failed", "completed", "failed"]
    assert "the channel 'mine' is already open with None, not" in reported[0]
    assert "the manager is already open with chJobs" in reported[2]
    assert "w0rd" not in "".join(reported)
