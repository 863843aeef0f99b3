"""Jobs that call other jobs in parallel with `each`, and job files as jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.errors import JobFileError
from ojobchannels.ojob import check_file, run_file

if TYPE_CHECKING:
    from ojobchannels.manager import JobManager
    from tests.ojob.conftest import RecordingOutput, Run


def test_each_runs_its_jobs_in_parallel_and_waits_for_them(run: Run) -> None:
    """Each job gets the args of the call; a name selects one of the jobs."""
    result, reported = run(
        """
        jobs:
        - {name: Meet, exec: 'args["gate"].wait(30); log(args["n"])'}
        - {name: Other, exec: 'log("other", args["n"])'}
        - name: Work
          each: [Meet, Other]
          exec: |
            import threading
            gate = threading.Barrier(3)
            for n in range(3):
                each({"gate": gate, "n": n}, "Meet")
            each({"n": 3}, "Other")
        - {name: After, exec: log("after")}
        todo: [Work, After]
        """
    )
    assert result.exit_status == 0
    assert sorted(reported[:8]) == sorted(
        [f"Meet: {n}" for n in range(3)]
        + ["Other: other 3"]
        + ["Meet completed"] * 3
        + ["Other completed"]
    )
    assert reported[8:] == ["Work completed", "After: after", "After completed"]


def test_a_failure_of_each_fails_the_job_after_all_calls(run: Run) -> None:
    """The first error is raised, with a note on how many calls failed."""
    result, reported = run(
        """
        jobs:
        - {name: Part, exec: 'if args["n"] % 2: raise ValueError(args["n"])'}
        - name: Work
          each: Part
          typeArgs: {eachThreads: 1}
          exec: |
            for n in range(4):
                each({"n": n})
        todo: [Work]
        """
    )
    assert result.exit_status == 1
    error = result.outcomes[-1].error
    assert repr(error) == "ValueError(1)"
    assert getattr(error, "__notes__", [])[-1] == "2 of the 4 calls of each() failed"
    assert [line for line in reported if line == "Part completed"] == ["Part completed"] * 2


@pytest.mark.parametrize(
    ("job", "reported"),
    [
        ("{name: A, exec: each()}", "each() was called, but the job has no `each`; list the jobs"),
        (
            "{name: A, each: A, exec: 'each({}, \"B\")'}",
            "each() was called for 'B', which is not listed under `each`; add it to A",
        ),
    ],
)
def test_each_calls_only_the_jobs_listed_under_the_key(run: Run, job: str, reported: str) -> None:
    """Other jobs are refused, because the list is checked with the file."""
    result, lines = run(f"jobs: [{job}]\ntodo: [A]\n")
    assert result.exit_status == 1
    assert reported in lines[0]


def test_each_in_the_code_of_a_part_uses_the_list_of_the_part(run: Run) -> None:
    """A job under `from` calls the jobs under its own `each`."""
    result, reported = run(
        """
        jobs:
        - {name: A, exec: log("a")}
        - {name: First, each: A, exec: each()}
        - {name: Work, from: First, exec: log("works")}
        todo: [Work]
        """
    )
    assert reported == ["A: a", "A completed", "Work: works", "Work completed"]
    assert result.exit_status == 0


def test_each_is_checked_with_the_file(tmp_path: Path) -> None:
    """The listed jobs must exist, and the code must be Python."""
    path = tmp_path / "f.yaml"
    path.write_text("jobs:\n- {name: A, each: [B]}\n- {name: C, each: A, lang: shell}\ntodo: [A]\n")
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    first, second = map(str, caught.value.diagnostics)
    assert "2:20: jobs[0].each[0]: unknown job 'B'" in first
    assert "3:13: jobs[1].each: `each` is for Python; the code of this job is shell" in second


OTHER = """
include: [oJobManager.yaml]
help: {expects: [{name: day, mandatory: true}]}
jobs:
- {name: Part, args: {name: part}, from: oJobManager Job Start, to: oJobManager Job End,
   exec: 'log(args["day"])'}
- {name: Open, from: oJobManager Init}
todo: [Open, Part]
"""


def test_a_job_file_can_be_a_job_of_another(run: Run, tmp_path: Path, manager: JobManager) -> None:
    """It gets the args of the job, and its managed jobs use the same channels."""
    (tmp_path / "other.yaml").write_text(OTHER)
    result, reported = run(
        """
        jobs:
        - {name: All, type: jobs, typeArgs: {file: other.yaml}, args: {day: "{{when}}"}, to: Tell}
        - {name: Tell, exec: log("reported")}
        todo: [{name: All, args: {when: Monday}}]
        """
    )
    assert result.exit_status == 0
    assert reported == [
        "Open completed",
        "Part: Monday",
        "Part completed",
        "All: reported",
        "All completed",
    ]
    assert [record["name"] for record in manager.runs()] == ["part"]


def test_a_job_file_can_be_a_part_of_a_job(run: Run, tmp_path: Path) -> None:
    """It may be listed under `from`, `to` or `catch`, like any other job."""
    (tmp_path / "other.yaml").write_text('jobs: [{name: In, exec: log("in")}]\ntodo: [In]\n')
    result, reported = run(
        """
        jobs:
        - {name: All, type: jobs, typeArgs: {file: other.yaml}}
        - {name: Work, from: All, exec: log("works")}
        todo: [Work]
        """
    )
    assert reported == ["In: in", "In completed", "Work: works", "Work completed"]
    assert result.exit_status == 0


@pytest.mark.usefixtures("sigint")
def test_an_interrupt_skips_the_rest_of_a_nested_job_file(
    tmp_path: Path, reported: RecordingOutput
) -> None:
    """This also holds when the nested file runs on another thread than the main one."""
    (tmp_path / "other.yaml").write_text(
        """
jobs:
- {name: First, exec: 'log("at work"); channel("gate").lock("go", ttl=60, wait=60).release()'}
- {name: Second, exec: log("never")}
todo: [First, Second]
"""
    )
    path = tmp_path / "f.yaml"
    path.write_text(
        """
ojob: {async: true}
jobs:
- {name: All, type: jobs, typeArgs: {file: other.yaml}}
- name: Stop
  exec: |
    import signal
    channel("gate").lock("stop", ttl=60, wait=60).release()
    signal.raise_signal(signal.SIGINT)
todo: [All, Stop]
"""
    )
    with oc.open_channel("gate") as gate:
        steps = {
            "First: at work": gate.lock("stop", ttl=60),
            "waiting for": gate.lock("go", ttl=60),
        }

        class Stepping(type(reported)):  # type: ignore[misc]  # known to mypy as a value alone
            """Takes the next step of the test at each reported line."""

            def log(self, job: str, level: str, text: str) -> None:
                """Record the line, then take the next step."""
                super().log(job, level, text)
                for word, lease in list(steps.items()):
                    if word in self.lines[-1]:
                        steps.pop(word)
                        lease.release()

        output = Stepping()
        result = run_file(path, {}, output)
        gate.destroy()
    assert result.exit_status == 130
    assert "First completed" in output.lines
    assert not [line for line in output.lines if line.startswith("Second")]
    assert [one.job for one in result.outcomes if one.status == "failed"] == ["All"]


def test_a_job_file_with_a_failed_job_fails_as_a_job(run: Run, tmp_path: Path) -> None:
    """The error names the file and the failed job."""
    (tmp_path / "other.yaml").write_text("jobs: [{name: Bad, exec: 1 / 0}]\ntodo: [Bad]\n")
    result, reported = run(
        "jobs: [{name: All, type: jobs, typeArgs: {file: other.yaml}}]\ntodo: [All]\n"
    )
    assert result.exit_status == 1
    assert reported[-1].endswith("other.yaml: these jobs failed: 'Bad')")


def test_a_nested_job_file_is_checked_with_its_parent(tmp_path: Path) -> None:
    """All diagnostics of both files are reported with their positions, including cycles and missing
    files."""
    main, other = tmp_path / "main.yaml", tmp_path / "other.yaml"
    main.write_text(
        "jobs:\n- {name: A, type: jobs, typeArgs: {file: other.yaml}}\n"
        "- {name: B, type: jobs, typeArgs: {file: gone.yaml}}\n"
        "- {name: C, type: jobs, exec: x}\n- {name: D, typeArgs: {file: other.yaml}}\n"
        "todo: [A, E]\n"
    )
    other.write_text(
        "jobs: [{name: A, type: jobs, typeArgs: {file: main.yaml}}]\nodd: 1\ntodo: [A]\n"
    )
    with pytest.raises(JobFileError) as caught:
        check_file(main)
    reported = [str(one).removeprefix(f"{tmp_path}/") for one in caught.value.diagnostics]
    assert [one.split(": ")[0] for one in reported] == [
        *("main.yaml:3:42", "main.yaml:4:19", "main.yaml:4:25"),
        *("main.yaml:5:24", "main.yaml:6:11", "other.yaml:1:47", "other.yaml:2:1"),
    ]
    assert (
        "main.yaml would run itself through this job, endlessly; name another file" in reported[5]
    )
