"""`ojob logs` and `ojob show`, on the output of real runs."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.conftest import Jobs

pytestmark = pytest.mark.kit  # on one interpreter: most of the time goes into starting programs


def without_time(text: str) -> list[str]:
    """Return the lines without the time at their begin."""
    return [line.partition(" | ")[2] for line in text.splitlines()]


def test_logs_and_show_have_the_output_of_a_run(each: Jobs) -> None:
    """Of the latest run of a job, or of a run by its identifier or the beginning of that."""
    assert each.run("limit=1").returncode == 0
    assert each.run("limit=2", "fail=true").returncode == 1
    failed, completed = each.records()
    assert without_time(each.show("logs", "work")) == ["limit 2"]
    assert without_time(each.show("logs", completed["runId"])) == ["limit 1"]
    (line,) = map(json.loads, each.show("logs", completed["runId"][:8], "--json").splitlines())
    assert (line["number"], line["level"], line["text"]) == (1, "info", "limit 1")
    shown = each.show("show", "work")
    assert re.search(rf"^run +{failed['runId']}$", shown, re.MULTILINE)
    assert re.search(r"^error +ValueError: no$", shown, re.MULTILINE)
    assert re.search(r"^ValueError: no$", shown, re.MULTILINE)
    assert shown.splitlines()[-2:-1] == ["Output:"]
    document = json.loads(each.show("show", completed["runId"], "--json"))
    assert [entry["text"] for entry in document.pop("output")] == ["limit 1"]
    assert document == completed
    assert completed["runId"][:8] in each.show("history")


def test_logs_follow_an_active_run(jobs: Jobs) -> None:
    """From another process; at the end the status is shown."""
    with jobs.hold() as process:
        following = jobs.ojob.start("logs", "work", "--follow", *jobs.locations)
        assert without_time(following.stdout.readline()) == ["limit None"]
        process.communicate("\n")
        out, err = following.communicate(timeout=60)
    assert out == ""
    assert re.fullmatch(r"The run ended after .*: completed\.\n", err)
    assert following.returncode == 0


def test_only_an_unknown_run_is_an_error(jobs: Jobs) -> None:
    """A run without output has a message, and exit status 0."""
    with jobs.manager() as manager, manager.run("silent") as run:
        pass
    done = jobs.ojob("logs", "silent", *jobs.locations)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"Nothing is kept of run {run.run_id} of job 'silent'.\n"
    done = jobs.ojob("show", "silnt", *jobs.locations)
    assert done.returncode == 2
    assert done.stderr == "ojob: there is no run or job 'silnt'; did you mean `silent`?\n"


def test_control_characters_of_an_output_are_escaped(jobs: Jobs) -> None:
    """The output of a job must not take over the terminal that shows it."""
    with jobs.manager() as manager, manager.run("hostile") as run:
        run.log("\x1b[2Jforged")
    assert without_time(jobs.show("logs", "hostile")) == ["\\x1b[2Jforged"]
    assert "\x1b" not in jobs.show("show", "hostile")


def test_missing_lines_are_counted(jobs: Jobs) -> None:
    """Between the first and the last part; `--last` shows the end."""
    with jobs.manager() as manager, manager.run("long") as run:
        for number in range(1, 5001):
            run.log(f"line {number}")
    lines = jobs.show("logs", "long").splitlines()
    gap = next(line for line in lines if line.endswith("lines are not kept ..."))
    missing = int(gap.split()[1])
    assert len(lines) - 1 + missing == 5000
    assert without_time(jobs.show("logs", "long", "--last", "2")) == ["line 4999", "line 5000"]
    assert "Output, the last 20 of 5000 lines:" in jobs.ojob("show", "long", *jobs.locations).stdout


def test_cancel_ends_a_run_in_another_process(each: Jobs) -> None:
    """The record has the user, the reason and the status; the exit status says whether it ended."""
    file = each.folder / "work.yaml"
    file.write_text(file.read_text().replace("sys.stdin.readline()", "while True: state()"))
    with each.hold() as process:
        done = each.ojob("cancel", "work", "--reason", "stuck", *each.locations)
        process.communicate(timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"Run \w+ of job 'work' ended after .*: cancelled \(.*: stuck", done.stdout)
    assert process.returncode == 1
    assert [record["status"] for record in each.records()] == ["cancelled"]
    done = each.ojob("cancel", "work", *each.locations)
    assert done.returncode == 2
    assert "it has ended (cancelled)" in done.stderr


def test_cancel_says_if_the_run_does_not_end(jobs: Jobs) -> None:
    """Code that calls no helper goes its way; the status is 1."""
    with jobs.hold() as process:
        done = jobs.ojob("cancel", "work", "--wait", "100ms", *jobs.locations)
        process.communicate("\n")
    assert done.returncode == 1
    assert "is running" in done.stdout
