"""Settings of a whole run: `catch`, `unique`, `id`, `logJobs` and `ignoreNoLog`."""

from __future__ import annotations

import fcntl
import io
import json
import os
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.errors import JobFileError
from ojobchannels.ojob import Output, RunResult, check_file, run_file
from ojobchannels.ojob.report.console import JsonLines

if TYPE_CHECKING:
    from tests.ojob.conftest import RecordingOutput, Run


FAILING = """\
ojob: {{catch: {catch}}}
jobs:
- {{name: Alarm, exec: "log('alarm', type(error).__name__)"}}
- {{name: Fails, exec: raise ValueError, args: {{n: 5}}}}
- {{name: Catches, exec: raise ValueError, catch: log("own")}}
todo: [Fails, Catches]
"""


@pytest.mark.parametrize(
    ("catch", "reported_line"),
    [
        ("Alarm", "Fails: alarm ValueError"),
        ("[Alarm]", "Fails: alarm ValueError"),
        ("\"log(args['n'], type(error).__name__)\"", "Fails: 5 ValueError"),
    ],
)
def test_the_catch_of_the_file_is_for_jobs_without_a_catch(
    run: Run, catch: str, reported_line: str
) -> None:
    """The job still counts as failed."""
    result, reported = run(FAILING.format(catch=catch))
    assert reported == [
        reported_line,
        "Fails failed (ValueError)",
        "Catches: own",
        "Catches failed (ValueError)",
    ]
    assert result.exit_status == 1


def test_a_failing_catch_of_the_file_does_not_call_itself(run: Run) -> None:
    """Called by the todo, its job is like any other, except that the file's catch does not apply to
    it."""
    _, reported = run(
        """\
        ojob: {catch: Alarm}
        jobs: [{name: Alarm, exec: raise ValueError}]
        todo: [Alarm]
        """
    )
    assert reported == ["Alarm failed (ValueError)"]


def test_a_file_can_replace_the_catch_of_an_included_file(
    tmp_path: Path, reported: RecordingOutput
) -> None:
    """The replacement applies to the jobs of both."""
    (tmp_path / "base.yaml").write_text(
        "ojob: {catch: log('base')}\njobs: [{name: A, exec: raise ValueError}]\n"
    )
    path = tmp_path / "f.yaml"
    path.write_text("include: base.yaml\nojob: {catch: log('mine')}\ntodo: [A]\n")
    run_file(path, output=reported)
    assert reported.lines == ["A: mine", "A failed (ValueError)"]


@pytest.mark.parametrize(
    ("catch", "fault"),
    [
        ("Alrm", "1:15: ojob.catch: unknown job 'Alrm'; did you mean `Alarm`?"),
        ("[Alarm, Bell]", "1:23: ojob.catch[1]: unknown job 'Bell'"),
        (r'"log(1,\n2"', "1:15: ojob.catch: invalid Python: "),
        ("job('Alrm')", "1:15: ojob.catch: unknown job 'Alrm'; did you mean `Alarm`?"),
        ("5", "1:15: ojob.catch: expected a job, a list of jobs, or code, found the number 5"),
    ],
)
def test_an_invalid_catch_is_reported_before_anything_runs(
    tmp_path: Path, catch: str, fault: str
) -> None:
    """It is reported with its position, like the catch of a job."""
    path = tmp_path / "f.yaml"
    path.write_text(f"ojob: {{catch: {catch}}}\njobs: [{{name: Alarm}}]\n")
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    assert str(caught.value).startswith(f"{path}:{fault}")


def events(tmp_path: Path, text: str, **args: Any) -> list[dict[str, Any]]:
    """Return the reported events of a run, as JSON."""
    path = tmp_path / "f.yaml"
    path.write_text(dedent(text))
    stream = io.StringIO()
    run_file(path, args, Output(JsonLines(stream)))
    return [json.loads(line) for line in stream.getvalue().splitlines()]


QUIET = """\
ojob: {settings}
jobs:
- {{name: Loud, exec: log("loud")}}
- {{name: Quiet, typeArgs: {{noLog: true}}, exec: "log('quiet'); 1 / args['n']"}}
- {{name: After, typeArgs: {{noLog: true}}, deps: Quiet}}
todo: [Loud, Quiet, After]
"""


@pytest.mark.parametrize(
    ("settings", "loud", "quiet"),
    [
        ("{}", ["started", "log", "completed"], ["log"]),
        ("{logJobs: false}", ["log"], ["log"]),
        ("{ignoreNoLog: true}", ["started", "log", "completed"], ["started", "log", "completed"]),
        ("{logJobs: false, ignoreNoLog: true}", ["log"], ["log"]),
    ],
)
def test_starts_and_ends_of_quiet_jobs_are_not_reported(
    tmp_path: Path, settings: str, loud: list[str], quiet: list[str]
) -> None:
    """Lines that jobs log themselves are always reported."""
    reported = events(tmp_path, QUIET.format(settings=settings), n=1)
    assert [one["event"] for one in reported if one["job"] == "Loud"] == loud
    assert [one["event"] for one in reported if one["job"] == "Quiet"] == quiet


@pytest.mark.parametrize("settings", ["{}", "{logJobs: false}"])
def test_a_job_that_failed_or_did_not_run_is_always_reported(tmp_path: Path, settings: str) -> None:
    """Even `noLog` does not hide an error."""
    reported = events(tmp_path, QUIET.format(settings=settings), n=0)
    assert [one["event"] for one in reported if one["job"] == "Quiet"] == ["log", "failed"]
    assert [one["event"] for one in reported if one["job"] == "After"] == ["depsfail"]


def test_the_id_of_a_run_is_in_all_its_reports(tmp_path: Path) -> None:
    """It is in JSON events, and in the lines of log files whose template has it."""
    text = """\
        ojob:
          id: eu-1
          logToFile: {logFolder: "%s", filenameTemplate: a.log, lineTemplate: "{{id}} {{job}}\\n"}
        jobs: [{name: A, exec: log("a")}]
        todo: [A]
        """
    reported = events(tmp_path, text % tmp_path)
    assert [one["id"] for one in reported] == ["eu-1"] * 3
    assert (tmp_path / "a.log").read_text() == "eu-1 A\n" * 3
    assert "id" not in events(tmp_path, "jobs: [{name: A}]\ntodo: [A]")[0]


def test_a_nested_run_without_an_id_has_that_of_the_outer_run() -> None:
    """Such as another job file that one of the jobs runs."""
    stream = io.StringIO()
    output = Output(JsonLines(stream))
    with output.with_run_id("eu-1"), output.with_run_id(None):
        output.log("A", "info", "a")
    output.log("A", "info", "b")
    inner, outer = map(json.loads, stream.getvalue().splitlines())
    assert inner["id"] == "eu-1"
    assert "id" not in outer


def test_a_line_template_with_an_id_needs_an_id(tmp_path: Path) -> None:
    """A missing id is an error, rather than an empty column."""
    path = tmp_path / "f.yaml"
    path.write_text("ojob: {logToFile: {lineTemplate: '{{id}} {{message}}'}}\n")
    with pytest.raises(
        JobFileError, match=r"`lineTemplate` contains {{id}}, but `ojob.id` is missing"
    ):
        check_file(path)


UNIQUE = """\
ojob: {unique: {pidFile: "%s"}}
jobs:
- name: Look
  exec: |
    from pathlib import Path
    log(Path(args["pid_file"]).read_text())
    try:
        args["again"]()
    except Exception as error:
        log(error)
todo: [Look]
"""


def test_a_unique_file_keeps_a_second_run_out(tmp_path: Path, reported: RecordingOutput) -> None:
    """The second one names the process that runs it, and the pid file is removed at the end."""
    pid_file = tmp_path / "run" / "f.pid"
    path = tmp_path / "f.yaml"
    path.write_text(UNIQUE % pid_file)

    def again() -> RunResult:
        return run_file(path, {}, reported)

    for _ in range(2):
        result = run_file(path, {"pid_file": str(pid_file), "again": again}, reported)
        assert result.exit_status == 0
        assert not pid_file.exists()
    assert reported.lines[:3] == [
        f"Look: {os.getpid()}\n",
        f"Look: {path} is already running: this process holds '{pid_file}'; call it after that run "
        "has ended, or set another `ojob.unique.pidFile`",
        "Look completed",
    ]


def test_the_pid_file_of_a_killed_process_blocks_no_run(
    tmp_path: Path, reported: RecordingOutput
) -> None:
    """The lock on the file decides, not the number left in it."""
    pid_file = tmp_path / "f.pid"
    pid_file.write_text(f"{os.getppid()}\n")
    path = tmp_path / "f.yaml"
    path.write_text(UNIQUE % pid_file)
    run_file(path, {"pid_file": str(pid_file), "again": print}, reported)
    assert reported.lines[0] == f"Look: {os.getpid()}\n"


def test_a_second_run_does_not_know_the_pid_before_it_is_written(tmp_path: Path) -> None:
    """Between the lock and the number, the holder is only "another process"."""
    pid_file = tmp_path / "f.pid"
    path = tmp_path / "f.yaml"
    path.write_text(UNIQUE % pid_file)
    with pid_file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(oc.RunsAlready, match="another process holds") as caught:
            run_file(path)
    assert caught.value.pid is None
    assert pid_file.exists()


def test_a_pid_file_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    """Nothing runs without it."""
    path = tmp_path / "f.yaml"
    path.write_text(UNIQUE % tmp_path)
    with pytest.raises(oc.InvalidOption, match=r"ojob\.unique\.pidFile.*cannot be used"):
        run_file(path)


def test_kill_previous_is_refused(tmp_path: Path) -> None:
    """The message says what to do instead."""
    path = tmp_path / "f.yaml"
    path.write_text("ojob:\n  unique: {killPrevious: true}\n")
    with pytest.raises(JobFileError, match=r"2:26: ojob\.unique\.killPrevious: .* with `kill`"):
        check_file(path)
    path.write_text("ojob:\n  unique: {killPrevious: false}\n")
    unique = check_file(path).settings.unique
    assert unique is not None
    assert unique.pid_file == "ojob.pid"
