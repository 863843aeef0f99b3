"""Runs from the command line, and what the other commands tell of them."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc

pytestmark = pytest.mark.kit  # on one interpreter: most of its time goes into programs that start

TYPES = ("db", "file")
URLS = {"db": "sqlite:///{}.db", "file": "file:{}.file"}
JOB_FILE = """
include: [oJobManager.yaml]
jobs:
- name: Open
  to: oJobManager Init
  args:
    chJobs: {type: TYPE, args: {file: jobs.TYPE}}
    chLocks: {type: TYPE, args: {file: locks.TYPE}}
- name: Work
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {name: work}
  exec: |
    import sys
    log(f"limit {args.get('limit')!r}")
    if args.get("hold"):
        sys.stdin.readline()
    if args.get("fail"):
        raise ValueError("no\\nsuch day")
todo: [Open, Work]
"""


class Jobs:
    """A job file, and what the command line does with it."""

    def __init__(self, ojob: Any, type: str) -> None:
        self.ojob = ojob
        self.folder: Path = ojob.folder
        self.type = type
        self.places = ("--jobs", URLS[type].format("jobs"), "--locks", URLS[type].format("locks"))
        (self.folder / "work.yaml").write_text(JOB_FILE.replace("TYPE", type), encoding="utf-8")

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Runs the file."""
        done: subprocess.CompletedProcess[str] = self.ojob("run", "work.yaml", *args)
        return done

    def hold(self) -> subprocess.Popen[str]:
        """Starts a run that works until its input ends; returns once it is at work."""
        process: subprocess.Popen[str] = self.ojob.start("run", "work.yaml", "hold=true")
        assert process.stdout is not None
        while "limit" not in (line := process.stdout.readline()):
            assert line, process.communicate()
        return process

    def look(self, *words: str, answer: str = "") -> str:
        """Returns what a command prints that went well and had no complaint."""
        done = self.ojob(*words, *self.places, answer=answer)
        assert (done.returncode, done.stderr) == (0, "")
        out: str = done.stdout
        return out

    def records(self, *words: str) -> list[dict[str, Any]]:
        """Returns the records that a command prints for programs."""
        records: list[dict[str, Any]] = json.loads(self.look(*(words or ("history",)), "--json"))
        return records

    def manager(self) -> oc.JobManager:
        """Opens the same channels in this process."""
        jobs, locks = (
            {"type": self.type, "args": {"file": self.folder / f"{name}.{self.type}"}}
            for name in ("jobs", "locks")
        )
        return oc.JobManager(jobs, locks)


@pytest.fixture
def jobs(ojob: Any) -> Jobs:
    """A job file on `db`."""
    return Jobs(ojob, "db")


@pytest.fixture(params=TYPES)
def each(request: pytest.FixtureRequest, ojob: Any) -> Jobs:
    """A job file on each type that lasts."""
    return Jobs(ojob, request.param)


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()[1:]]


def test_a_good_run_exits_with_0_and_is_recorded(each: Jobs) -> None:
    done = each.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert [record["status"] for record in each.records()] == ["completed"]
    seen = each.ojob("history", "--file", "work.yaml")
    assert [row[3] for row in rows(seen.stdout)] == ["completed"]


def test_a_failed_job_exits_with_1_and_its_error_is_told(each: Jobs) -> None:
    done = each.run("fail=true")
    assert done.returncode == 1
    assert "ValueError: no" in done.stderr
    assert "ValueError: no\n" in each.look("history")


@pytest.mark.parametrize(
    ("word", "value"), [("limit=5", "5"), ("limit='5'", "'5'"), ("limit=", "None")]
)
def test_arguments_are_read_as_yaml(jobs: Jobs, word: str, value: str) -> None:
    assert f"limit {value}\n" in jobs.run(word).stdout


def test_a_word_that_is_no_argument_exits_with_2(jobs: Jobs) -> None:
    done = jobs.run("limit")
    assert (done.returncode, done.stdout) == (2, "")
    assert "write key=value" in done.stderr


def test_a_run_that_is_asked_to_stop_exits_with_130_and_is_recorded(jobs: Jobs) -> None:
    process = jobs.hold()
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [record["status"] for record in jobs.records()] == ["failed"]


def test_of_eight_at_once_one_runs_and_seven_say_why_not(each: Jobs) -> None:
    processes = [each.ojob.start("run", "work.yaml", "hold=true") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        ends = {pool.submit(process.wait, 60): process for process in processes}
        losers = [ends.pop(end) for end in islice(as_completed(ends.copy()), 7)]
        (winner,) = ends.values()
        told = winner.communicate("\n", timeout=60)[0]
    assert "completed" in told
    assert [one.returncode for one in (winner, *losers)] == [0] * 8
    for loser in losers:
        assert "skipped: 'work' is already running, by host" in loser.stdout.read()
    statuses = [record["status"] for record in each.records()]
    assert sorted(statuses) == ["completed"] + ["skipped"] * 7
    assert [row[3] for row in rows(each.look("history", "--status", "completed"))] == ["completed"]
    assert f"pid {winner.pid}" in each.look("history", "--status", "skipped")


def test_a_killed_run_is_told_as_abandoned_and_the_next_one_runs(each: Jobs) -> None:
    process = each.hold()
    process.kill()
    process.wait()
    assert [record["status"] for record in each.records("jobs")] == ["abandoned"]
    with each.manager() as manager:
        assert [record["status"] for _, record in manager.jobs.items()] == ["running"]
    assert each.run().returncode == 0
    assert [record["status"] for record in each.records()] == ["completed", "abandoned"]
    assert [row[1] for row in rows(each.look("jobs"))] == ["completed"]


def test_what_the_manager_notices_is_told_like_what_jobs_say(jobs: Jobs) -> None:
    """Here that the last run was abandoned; a file that sets up logging itself has it there."""
    for setting in ("", "import logging; logging.basicConfig(format='LOGGED %(message)s')"):
        process = jobs.hold()
        process.kill()
        process.wait()
        text = JOB_FILE.replace("TYPE", "db")
        opening = f"- name: Open\n  exec: {json.dumps(setting)}\n"
        (jobs.folder / "work.yaml").write_text(text.replace("- name: Open\n", opening))
        notice = r"the last run of job 'work' was abandoned: .* \(run [0-9a-f]+\)\n"
        done = jobs.run()
        if setting:
            assert re.fullmatch("LOGGED " + notice, done.stderr)
        else:
            assert re.search(r"^\d\d:\d\d:\d\d \| ojob \| warning: " + notice, done.stdout, re.M)
            assert done.stderr == ""


def test_what_a_second_interrupt_leaves_is_named_once(jobs: Jobs) -> None:
    """Launched jobs of one name are counted while they are waited for."""
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
    told = ""
    while told.count("at work") < 3 or "Parent | completed" not in told:
        told += process.stdout.readline()
    for said in ("interrupted: waiting for 'Child' (3 times); interrupt again", None):
        process.terminate()
        while said and said not in process.stdout.readline():
            pass
    err = process.communicate(timeout=60)[1]
    assert (process.returncode, err) == (130, "ojob: left unfinished: 'Child'\n")


def test_jobs_tells_the_run_that_is_on_although_others_were_skipped_since(jobs: Jobs) -> None:
    process = jobs.hold()
    assert "skipped" in jobs.run().stdout
    ((name, status, *_),) = rows(jobs.look("jobs"))
    assert (name, status) == ("work", "running")
    process.communicate("\n", timeout=60)
    assert [record["status"] for record in jobs.records("jobs")] == ["completed"]


def test_history_is_narrowed_by_name_status_time_and_number(jobs: Jobs) -> None:
    for args in ((), ("fail=true",), ("name=other",)):
        jobs.run(*args)
    assert [record["name"] for record in jobs.records("history", "other")] == ["other"]
    (failed,) = jobs.records("history", "--status", "failed")
    assert failed["error"] == "ValueError: no\nsuch day"
    assert len(jobs.records("history", "--since", "1h")) == 3
    assert jobs.records("history", "--since", "2100-01-01") == []
    assert [record["name"] for record in jobs.records("history", "--limit", "1")] == ["other"]
    assert len(jobs.records("history", "--limit", "0")) == 3


def test_history_says_when_there_is_more(jobs: Jobs) -> None:
    jobs.run()
    jobs.run()
    done = jobs.ojob("history", *jobs.places, "--limit", "1")
    assert len(rows(done.stdout)) == 1
    assert "--limit 0 shows all" in done.stderr


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("--status", "odd"), "running, completed, failed"),
        (("--since", "tomorrow"), "write 2h, 7d"),
        (("--limit", "-1"), "x>=0"),
    ],
)
def test_history_refuses_what_it_cannot_read(
    jobs: Jobs, words: tuple[str, str], advice: str
) -> None:
    jobs.run()
    done = jobs.ojob("history", *jobs.places, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert advice in done.stderr


def test_report_counts_by_job_how_runs_ended(jobs: Jobs) -> None:
    for args in ((), ("fail=true",), ("name=other",)):
        jobs.run(*args)
    other, work = rows(jobs.look("report"))
    assert (other[:4], work[:4]) == (["other", "1", "1", "0"], ["work", "2", "1", "1"])
    assert [(row["name"], row["failed"]) for row in jobs.records("report")] == [
        ("other", 0),
        ("work", 1),
    ]


def test_nothing_recorded_is_said_on_stderr_and_is_an_empty_list_for_programs(
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


def test_locks_tells_who_holds_which(each: Jobs) -> None:
    process = each.hold()
    ((name, holder, *_),) = rows(each.look("locks"))
    (lock,) = each.records("locks")
    assert (name, holder.rpartition(":")[2]) == ("work", str(process.pid))
    assert (lock["name"], lock["holder"]["pid"]) == ("work", process.pid)


@pytest.mark.parametrize(("words", "answer"), [(("--yes",), ""), ((), "y\n"), ((), "Yes\n")])
def test_unlock_puts_the_holder_out_and_leaves_a_note_in_its_record(
    each: Jobs, words: tuple[str, ...], answer: str
) -> None:
    process = each.hold()
    done = each.ojob("unlock", "work", *words, *each.places, answer=answer)
    assert done.returncode == 0
    assert done.stdout.startswith("Unlocked 'work', held by host ")
    assert ("[y/N]" in done.stderr) is not bool(words)
    (record,) = each.records("jobs")
    assert "with ojob unlock" in record["note"]
    assert each.records("locks") == []
    process.communicate("\n", timeout=60)
    assert [record["status"] for record in each.records()] == ["lost"]
    assert "with ojob unlock" in each.look("history")


@pytest.mark.parametrize(("answer", "status"), [("n\n", 1), ("\n", 1), ("what\n", 1), ("", 2)])
def test_unlock_leaves_the_lock_unless_the_answer_is_yes(
    jobs: Jobs, answer: str, status: int
) -> None:
    jobs.hold()
    done = jobs.ojob("unlock", "work", *jobs.places, answer=answer)
    assert (done.returncode, done.stdout) == (status, "")
    assert ("--yes" in done.stderr) is (status == 2)
    assert [lock["name"] for lock in jobs.records("locks")] == ["work"]


def test_unlock_leaves_a_holder_that_it_did_not_show(jobs: Jobs) -> None:
    """Between the question and the answer the lock may have gone to another run."""
    with jobs.manager() as manager:
        first = manager.start("work")
        process = jobs.ojob.start("unlock", "work", *jobs.places)
        asked = ""
        while not asked.endswith("[y/N] "):
            asked += process.stderr.read(1)
        first.end()
        second = manager.start("work")
        out, err = process.communicate("y\n", timeout=60)
        assert (process.returncode, out) == (1, "")
        assert err.startswith("Left as it is: lock 'work' is held by another now, host ")
        second.check()
        second.end()


def test_unlock_of_a_lock_that_is_freed_before_the_answer_does_nothing(jobs: Jobs) -> None:
    """It is free, and that is said."""
    with jobs.manager() as manager:
        run = manager.start("work")
        process = jobs.ojob.start("unlock", "work", *jobs.places)
        while process.stderr.read(1) != "]":
            pass
        run.end()
        out, _ = process.communicate("y\n", timeout=60)
        assert (process.returncode, out) == (0, "Lock 'work' is free: nothing to unlock.\n")


def test_unlock_of_a_free_lock_is_well_and_names_those_that_are_held(jobs: Jobs) -> None:
    jobs.hold()
    done = jobs.ojob("unlock", "wrok", *jobs.places)
    assert done.returncode == 0
    assert done.stdout == "Lock 'wrok' is free: nothing to unlock.\n"
    assert done.stderr == "Held are: work\n"
    assert json.loads(jobs.look("unlock", "wrok", "--json")) is None


def test_unlock_tells_programs_whom_it_put_out(jobs: Jobs) -> None:
    process = jobs.hold()
    put_out = json.loads(jobs.look("unlock", "work", "--yes", "--json"))
    assert put_out["holder"]["pid"] == process.pid


def test_prune_removes_what_is_old_and_marks_what_was_abandoned(jobs: Jobs) -> None:
    process = jobs.hold()
    process.kill()
    process.wait()
    jobs.run("name=other")
    assert jobs.look("prune", "--older-than", "1h") == "Removed 0 records, marked 1 as abandoned.\n"
    assert len(jobs.records()) == 2
    assert json.loads(jobs.look("prune", "--older-than", "0s", "--json")) == {
        "removed": 2,
        "abandoned": 0,
    }
    assert jobs.records() == []


def test_prune_refuses_a_span_without_a_unit(jobs: Jobs) -> None:
    done = jobs.ojob("prune", *jobs.places, "--older-than", "7")
    assert (done.returncode, done.stdout) == (2, "")
    assert "12h, 7d" in done.stderr


@pytest.fixture
def long_history(jobs: Jobs) -> Jobs:
    """More records than a pipe holds."""
    jobs.run()
    with jobs.manager() as manager:
        ((key, record),) = manager.jobs.items()
        manager.jobs.set_all(
            [(key | {"startTime": at}, record | {"startTime": at}) for at in range(5000)]
        )
    return jobs


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_closed_pipe_ends_the_output_in_silence(
    long_history: Jobs, words: tuple[str, ...]
) -> None:
    process = long_history.ojob.start("history", "--limit", "0", *long_history.places, *words)
    assert process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 141
