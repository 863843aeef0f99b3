"""``ojob run``, and the commands that show its runs."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from tests.cli.conftest import Jobs

pytestmark = pytest.mark.kit  # on one interpreter: most of its time goes into programs that start


def test_a_successful_run_exits_with_0_and_is_recorded(each: Jobs) -> None:
    done = each.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert [record["status"] for record in each.records()] == ["completed"]
    seen = each.ojob("history", "--file", "work.yaml")
    assert [row[3] for row in each.rows(seen.stdout)] == ["completed"]


def test_a_failed_job_exits_with_1_and_its_error_is_reported(each: Jobs) -> None:
    done = each.run("fail=true")
    assert done.returncode == 1
    assert "ValueError: no" in done.stderr
    assert "ValueError: no\n" in each.show("history")


@pytest.mark.parametrize(
    ("word", "value"), [("limit=5", "5"), ("limit='5'", "'5'"), ("limit=", "None")]
)
def test_arguments_are_parsed_as_yaml(jobs: Jobs, word: str, value: str) -> None:
    assert f"limit {value}\n" in jobs.run(word).stdout


def test_an_argument_without_a_key_exits_with_2(jobs: Jobs) -> None:
    done = jobs.run("limit")
    assert (done.returncode, done.stdout) == (2, "")
    assert "write key=value" in done.stderr


def test_a_terminated_run_exits_with_130_and_is_recorded(jobs: Jobs) -> None:
    process = jobs.hold()
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [record["status"] for record in jobs.records()] == ["failed"]


def test_one_of_eight_concurrent_runs_works_and_seven_are_skipped(each: Jobs) -> None:
    words = "run", "work.yaml", "hold=true", "--if-running", "skip"
    processes = [each.ojob.start(*words) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        ends = {pool.submit(process.wait, 60): process for process in processes}
        losers = [ends.pop(end) for end in islice(as_completed(ends.copy()), 7)]
        (winner,) = ends.values()
        output = winner.communicate("\n", timeout=60)[0]
    assert "completed" in output
    assert [process.returncode for process in (winner, *losers)] == [0] * 8
    for loser in losers:
        assert "skipped: 'work' is already running (host" in loser.stdout.read()
    statuses = [record["status"] for record in each.records()]
    assert sorted(statuses) == ["completed"] + ["skipped"] * 7
    assert [row[3] for row in each.rows(each.show("history", "--status", "completed"))] == [
        "completed"
    ]
    assert f"pid {winner.pid}" in each.show("history", "--status", "skipped")


def test_a_killed_run_is_shown_as_abandoned_and_the_next_one_works(each: Jobs) -> None:
    process = each.hold()
    process.kill()
    process.wait()
    assert [record["status"] for record in each.records("jobs")] == ["abandoned"]
    with each.manager() as manager:
        (record,) = manager.jobs.get_all()
        assert (record["status"], record["inError"]) == ("abandoned", True)
    assert each.run().returncode == 0
    assert [record["status"] for record in each.records()] == ["completed", "abandoned"]
    assert [row[1] for row in each.rows(each.show("jobs"))] == ["completed"]


def test_warnings_of_the_manager_are_printed_like_lines_of_jobs(jobs: Jobs) -> None:
    """A file that configures logging gets them there instead."""
    text = (jobs.folder / "work.yaml").read_text(encoding="utf-8")
    for setting in ("", "import logging; logging.basicConfig(format='LOGGED %(message)s')"):
        process = jobs.hold()
        process.kill()
        process.wait()
        opening = f"- name: Open\n  exec: {json.dumps(setting)}\n"
        (jobs.folder / "work.yaml").write_text(text.replace("- name: Open\n", opening))
        notice = r"run of job 'work' ended \(abandoned\), run [0-9a-f]+: .* probably died\n"
        done = jobs.run()
        if setting:
            assert re.fullmatch("LOGGED " + notice, done.stderr)
        else:
            assert re.search(r"^[-\d]+ [+:\d]+ \| ojob \| warning: " + notice, done.stdout, re.M)
            assert done.stderr == ""


def test_a_second_interrupt_names_each_unfinished_job_once(jobs: Jobs) -> None:
    """The first one waits for launched jobs, and counts those with the same name."""
    (jobs.folder / "work.yaml").write_text(
        """
jobs:
- {name: Child, exec: "print('at work', flush=True); args['event'].wait()"}
- name: Parent
  exec: |
    import threading
    for _ in range(3):
        launch("Child", {"event": threading.Event()})
todo: [Parent]
"""
    )
    process = jobs.ojob.start("run", "work.yaml")
    output = ""
    while output.count("at work") < 3 or "Parent | completed" not in output:
        output += process.stdout.readline()
    for message in ("interrupted: waiting for 'Child' (3 times); interrupt again", None):
        process.terminate()
        while message and message not in process.stdout.readline():
            pass
    err = process.communicate(timeout=60)[1]
    assert (process.returncode, err) == (130, "ojob: left unfinished: 'Child'\n")


def test_jobs_shows_the_running_run_although_later_ones_were_skipped(jobs: Jobs) -> None:
    process = jobs.hold()
    assert "skipped" in jobs.run("--if-running", "skip").stdout
    ((name, status, *_),) = jobs.rows(jobs.show("jobs"))
    assert (name, status) == ("work", "running")
    process.communicate("\n", timeout=60)
    assert [record["status"] for record in jobs.records("jobs")] == ["completed"]


def test_history_filters_by_name_status_time_and_number(jobs: Jobs) -> None:
    for args in ((), ("fail=true",), ("name=other",)):
        jobs.run(*args)
    assert [record["name"] for record in jobs.records("history", "other")] == ["other"]
    (failed,) = jobs.records("history", "--status", "failed")
    assert failed["error"] == "ValueError: no\nsuch day"
    assert len(jobs.records("history", "--since", "1h")) == 3
    assert jobs.records("history", "--since", "2100-01-01") == []
    assert [record["name"] for record in jobs.records("history", "--limit", "1")] == ["other"]
    assert len(jobs.records("history", "--limit", "0")) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("wrok",), "No runs of a job 'wrok' are recorded; did you mean `work`?\n"),
        (("work", "--status", "failed"), "No matching runs of job 'work' are recorded.\n"),
    ],
)
def test_history_without_matching_runs_suggests_the_closest_job(
    jobs: Jobs, words: tuple[str, ...], message: str
) -> None:
    jobs.run()
    done = jobs.ojob("history", *words, *jobs.locations)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", message)


def test_history_reports_that_there_are_more_runs(jobs: Jobs) -> None:
    jobs.run()
    jobs.run()
    done = jobs.ojob("history", *jobs.locations, "--limit", "1")
    assert len(jobs.rows(done.stdout)) == 1
    assert "--limit 0 shows all" in done.stderr


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("--status", "odd"), "running, completed, failed"),
        (("--since", "tomorrow"), "write 2h, 7d"),
        (("--limit", "-1"), "x>=0"),
    ],
)
def test_history_rejects_invalid_filters(jobs: Jobs, words: tuple[str, str], advice: str) -> None:
    jobs.run()
    done = jobs.ojob("history", *jobs.locations, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert advice in done.stderr


def test_report_counts_the_runs_of_each_job(jobs: Jobs) -> None:
    for args in ((), ("fail=true",), ("name=other",)):
        jobs.run(*args)
    other, work = jobs.rows(jobs.show("report"))
    assert (other[:4], work[:4]) == (["other", "1", "1", "0"], ["work", "2", "1", "1"])
    assert [(row["name"], row["failed"]) for row in jobs.records("report")] == [
        ("other", 0),
        ("work", 1),
    ]


def test_without_records_a_message_goes_to_stderr_and_json_is_an_empty_list(
    ojob: Any, tmp_path: Path
) -> None:
    url = f"sqlite:////{tmp_path}/jobs.db"
    with oc.JobManager(url, url):
        pass
    for name in ("jobs", "history", "report", "locks"):
        done = ojob(name, "--jobs", url)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.startswith("No ")
        assert json.loads(ojob(name, "--jobs", url, "--json").stdout) == []


@pytest.fixture
def long_history(jobs: Jobs) -> Jobs:
    """More records than fit into a pipe."""
    jobs.run()
    with jobs.manager() as manager:
        ((key, record),) = manager.jobs.items()
        manager.jobs.set_all(
            [(key | {"startTime": at}, record | {"startTime": at}) for at in range(5000)]
        )
    return jobs


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_closed_pipe_ends_the_output_without_a_message(
    long_history: Jobs, words: tuple[str, ...]
) -> None:
    process = long_history.ojob.start("history", "--limit", "0", *long_history.locations, *words)
    assert process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 141
