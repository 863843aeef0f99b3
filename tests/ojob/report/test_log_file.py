"""`logToFile`, `logToConsole` and `--json`, as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import TypeAlias

import pytest

import ojobchannels as oc
from ojobchannels.ojob import check_file, run_file

Ojob: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the job file is."""
    return tmp_path / "f.yaml"


@pytest.fixture
def ojob(tmp_path: Path, path: Path) -> Ojob:
    """Runs a job file by the command line, in its folder."""

    def run(text: str, *options: str) -> subprocess.CompletedProcess[str]:
        path.write_text(dedent(text))
        return subprocess.run(
            [sys.executable, "-m", "ojobchannels", "run", path.name, *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_run_also_logs_to_a_file(ojob: Ojob, tmp_path: Path) -> None:
    """Lines of jobs, warnings and errors, each with its type."""
    result = ojob(
        """\
        ojob: {logToFile: {logFolder: logs/here}}
        jobs:
        - {name: Work, exec: "log('one'); log_warn('two'); 1/0"}
        todo: [Work]
        """
    )
    assert result.returncode == 1
    (file,) = (tmp_path / "logs" / "here").iterdir()
    logged = [line.split(" | ", 1)[1] for line in file.read_text().splitlines()]
    assert logged[:3] == ["INFO | Work | started", "INFO | Work | one", "WARN | Work | two"]
    assert logged[3].startswith("ERROR | Work | failed after ")
    assert " s: ZeroDivisionError: " in logged[3]
    assert "Work | one" in result.stdout
    assert "ZeroDivisionError" in result.stderr


@pytest.mark.parametrize(
    "settings", ["logToFile: {logFolder: logs, setLogOff: true}", "logToConsole: false"]
)
def test_the_console_can_be_turned_off(ojob: Ojob, tmp_path: Path, settings: str) -> None:
    """With or without a log file; the exit status still reports the result."""
    result = ojob(f"ojob: {{{settings}}}\njobs: [{{name: Work, exec: 1/0}}]\ntodo: [Work]\n")
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")
    assert (tmp_path / "logs").exists() is ("logToFile" in settings)


def test_programs_get_json_and_nothing_else(ojob: Ojob) -> None:
    """Output of jobs, and of processes that they start, goes to standard error."""
    result = ojob(
        """\
        jobs:
        - name: Work
          exec: |
            import subprocess
            print("by hand", flush=True)
            subprocess.run(["echo", "by a process"])
            log("said")
        todo: [Work]
        """,
        "--json",
    )
    assert result.returncode == 0
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["event"], one["job"]) for one in events] == [
        ("started", "Work"),
        ("log", "Work"),
        ("completed", "Work"),
    ]
    assert result.stderr.splitlines() == ["by hand", "by a process"]


def test_nothing_runs_without_the_log_that_was_asked_for(path: Path, tmp_path: Path) -> None:
    """The error names the folder and the setting."""
    (tmp_path / "logs").write_text("")
    path.write_text(
        f"ojob: {{logToFile: {{logFolder: '{tmp_path}/logs/here'}}}}\n"
        "jobs: [{name: Work, exec: 'print(1)'}]\ntodo: [Work]\n"
    )
    with pytest.raises(oc.LogFileUnavailable, match=r"logs/here/.*ojob\.logToFile\.logFolder"):
        run_file(path)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("fileDateFormat: yyyy-ww", "'ww', which is not a field; the fields are yyyy"),
        ("lineTemplate: '{{time}}'", "unknown name {{time}}; known: {{timedate}}, {{type}}"),
        ("HKRegExPattern: 'a('", "invalid regular expression"),
        ("HKhowLongAgoInMinutes: 0", "0 is out of range: write minutes, 1 or more"),
        ("numberOfEntriesToKeep: 10", "remove it: no log lines are kept in memory"),
        ("logfolder: logs", "did you mean `logFolder`?"),
        ("dontCompress: 1", "expected a boolean"),
    ],
)
def test_an_invalid_setting_is_reported_before_any_job_runs(
    path: Path, written: str, message: str
) -> None:
    """With its line and what to write."""
    path.write_text(f"ojob:\n  logToFile:\n    {written}\njobs: [{{name: A}}]\ntodo: [A]\n")
    with pytest.raises(oc.JobFileError) as raised:
        check_file(path)
    (diagnostic,) = raised.value.diagnostics
    assert message in f"{diagnostic.message}: {diagnostic.hint}"
    assert diagnostic.line == 3
