"""The todo, one call after another or in parallel: order, dependencies, records, progress."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from ojobchannels.errors import JobFileError
from ojobchannels.manager import JobManager
from ojobchannels.ojob import Output, check_file, run_file
from ojobchannels.ojob.report.console import JsonLines

if TYPE_CHECKING:
    from tests.ojob.conftest import Run
    from tests.ojob.schedules import HandClock, RunDaemon, StoredRuns

pytest_plugins = ["tests.ojob.schedules"]

MEETING = """\
jobs:
- {{name: Left, typeArgs: {type_args}, exec: "args['meeting'].wait(60)"}}
- {{name: Right, exec: "args['meeting'].wait(60)"}}
- {{name: After, deps: [Left, Right], exec: log("after")}}
- {{name: Last, exec: log("last")}}
todo: [After, Left, Right, Last]
"""


class Meeting:
    """A barrier for jobs, which fails those that wait too long."""

    def __init__(self, parties: int) -> None:
        self._barrier = threading.Barrier(parties)

    def wait(self, timeout: float) -> None:
        self._barrier.wait(timeout)


@pytest.mark.parametrize(
    "settings", ["{async: true}", "{sequential: false}", "{async: true, sequential: false}"]
)
def test_calls_of_an_async_todo_run_in_parallel(run: Run, settings: str) -> None:
    """Each runs after its dependencies, in whatever order they are listed."""
    text = f"ojob: {settings}\n" + MEETING.format(type_args="{}")
    result, reported = run(text, meeting=Meeting(2))
    assert result.exit_status == 0
    assert reported.index("Left completed") < reported.index("After: after")
    assert reported.index("Right completed") < reported.index("After: after")
    assert not any(outcome.launched for outcome in result.outcomes)


def test_the_todo_continues_during_an_async_job(run: Run) -> None:
    """All other jobs run one after another, each after its dependencies."""
    result, reported = run(MEETING.format(type_args="{async: true}"), meeting=Meeting(2))
    assert result.exit_status == 0
    assert reported.index("Left completed") < reported.index("After: after")
    assert reported[-4:] == ["After: after", "After completed", "Last: last", "Last completed"]


def test_calls_for_a_list_of_args_run_in_parallel(run: Run) -> None:
    """At most `numThreads` at a time."""
    result, reported = run(
        """\
        ojob: {async: true, numThreads: 3}
        jobs:
        - {name: Meet, exec: "args['meeting'].wait(60)"}
        todo: [{name: Meet, args: [{n: 1}, {n: 2}, {n: 3}]}]
        """,
        meeting=Meeting(3),
    )
    assert reported == ["Meet completed"] * 3
    assert result.exit_status == 0


def test_a_failure_skips_only_its_dependents(run: Run, manager: JobManager) -> None:
    """This also holds if one of several calls fails; a managed dependent gets its record."""
    result, reported = run(
        """\
        ojob: {async: true}
        jobs:
        - {name: Part, exec: "1 / args['n']"}
        - name: Whole
          deps: Part
          from: oJobManager Job Start
          to: oJobManager Job End
          args: {name: whole}
        - {name: Other, exec: log("other")}
        todo: [oJobManager Init, Whole, {name: Part, args: [{n: 1}, {n: 0}, {n: 2}]}, Other]
        """
    )
    assert "Whole depsfail (dependency 'Part' failed)" in reported
    assert "Other completed" in reported
    assert result.exit_status == 1
    assert [one["status"] for one in manager.runs(name="whole")] == ["depsfail"]


def test_all_later_calls_wait_for_the_call_that_opens_the_manager(
    run: Run, manager: JobManager
) -> None:
    """Otherwise a managed job could start on channels in memory."""
    result, _ = run(
        """\
        ojob: {async: true}
        jobs:
        - name: Managed
          from: oJobManager Job Start
          to: oJobManager Job End
          args: {name: "m-{{n}}"}
        - {name: Open, from: oJobManager Init, exec: "import time; time.sleep(0.05)"}
        todo: [Open, {name: Managed, args: [{n: 1}, {n: 2}]}]
        """
    )
    assert result.exit_status == 0
    assert {one["name"]: one["status"] for one in manager.runs()} == {
        "m-1": "completed",
        "m-2": "completed",
    }


def test_managed_jobs_run_in_parallel_too(run: Run) -> None:
    """A call that only uses the manager is not waited for."""
    result, reported = run(
        """\
        ojob: {async: true}
        jobs:
        - name: Managed
          from: oJobManager Job Start
          to: oJobManager Job End
          args: {name: managed}
          exec: args["meeting"].wait(60)
        - {name: Other, exec: "args['meeting'].wait(60)"}
        todo: [oJobManager Init, Managed, Other]
        """,
        meeting=Meeting(2),
    )
    assert sorted(reported) == ["Managed completed", "Other completed"]
    assert result.exit_status == 0


def test_a_manager_that_cannot_be_opened_stops_all_later_calls(tmp_path: Path) -> None:
    """As in a todo that runs its calls one after another."""
    (tmp_path / "file").touch()
    path = tmp_path / "f.yaml"
    place = f"{{type: db, args: {{file: {tmp_path / 'file' / 'm.db'}}}}}"
    path.write_text(
        "include: oJobManager.yaml\nojob: {async: true}\n"
        "jobs: [{name: A, exec: log('ran')}]\n"
        f"todo: [{{name: oJobManager Init, args: {{chJobs: {place}, chLocks: {place}}}}}, A]\n"
    )
    result = run_file(path, output=Output(JsonLines(io.StringIO())))
    assert [one.status for one in result.outcomes] == ["failed", "depsfail"]
    assert result.exit_status == 1


def test_shutdown_jobs_of_an_async_todo_follow_its_order(run: Run) -> None:
    """The last one in the todo runs first, in whatever order the pool has reached them."""
    _, reported = run(
        """\
        ojob: {async: true}
        jobs:
        - {name: Slow, exec: "import time; time.sleep(0.05)"}
        - {name: One, type: shutdown, deps: Slow}
        - {name: Two, type: shutdown}
        todo: [Slow, One, Two]
        """
    )
    assert reported == ["Slow completed", "Two completed", "One completed"]


WAITING = """\
ojob: {{daemon: true, depsTimeout: 60000{more}}}
jobs:
- {{name: Slow, exec: "log('at work'); channel('oJobManager-locks').lock('go', ttl=60, wait=60)"}}
- name: After
  deps: Slow
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {{name: after}}
- {{name: Last, exec: log("all are made")}}
{rest}
"""
LAUNCHING = """\
- name: Parent
  exec: |
    launch("Slow")
    after = launch("After")
    log("waits")
    log(after.result(), after.state)
- {name: Begin, exec: launch("Parent")}
todo: [oJobManager Init, Begin]"""


@pytest.mark.parametrize(
    ("more", "rest"),
    [
        (", async: true", "todo: [oJobManager Init, Slow, After, Last]"),
        ("", LAUNCHING),
    ],
)
def test_after_deps_timeout_a_job_no_longer_waits_for_its_dependency(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns, more: str, rest: str
) -> None:
    """In the todo and launched: it is reported and recorded at once, while the dependency
    continues."""
    with stored_runs.manager.locks.lock("go", ttl=60):
        daemon = start_daemon(WAITING.format(more=more, rest=rest))
        daemon.wait_for("Slow: at work")
        daemon.wait_for("Last: all are made" if more else "Parent: waits")
        hand_clock.move(60_000)
        daemon.wait_for("After depsfail (dependency 'Slow' did not end within 60000 ms)")
        if not more:
            daemon.wait_for("Parent: None depsfail")
        assert [one["status"] for one in stored_runs.manager.runs(name="after")] == ["depsfail"]
    daemon.wait_for("Slow completed")
    daemon.stop()
    assert not [line for line in daemon.output.rest() if line.startswith("After")]


LONG = """\
jobs:
- {name: Step, exec: "1 / args['n']"}
- {name: Quiet, typeArgs: {noLog: true}}
todo: [oJobManager Init, {name: Step, args: [{n: 1}, {n: 2}, {n: 3}]}%s]
"""


def started(tmp_path: Path, text: str, **args: Any) -> list[str]:
    """Return the texts of the start events."""
    path = tmp_path / "f.yaml"
    path.write_text("include: oJobManager.yaml\n" + dedent(text))
    stream = io.StringIO()
    run_file(path, args, Output(JsonLines(stream)))
    events = map(json.loads, stream.getvalue().splitlines())
    return [one["text"] for one in events if one["event"] == "started"]


def test_a_long_todo_reports_its_progress(tmp_path: Path) -> None:
    """Only calls of the file's own jobs are counted; a short todo has no positions."""
    assert started(tmp_path, LONG % "") == ["started"] * 3
    assert started(tmp_path, LONG % ", Step, Step", n=1) == [
        f"started ({number} of 5)" for number in range(1, 6)
    ]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ("{async: true, sequential: true}", "1:7: ojob: `async` and `sequential` contradict"),
        ("{async: 1}", "1:15: ojob.async: expected a boolean, found the number 1"),
        ("{depsTimeout: 0}", "1:21: ojob.depsTimeout: 0 is out of range; write milliseconds"),
    ],
)
def test_a_setting_without_effect_is_a_diagnostic(
    tmp_path: Path, settings: str, fault: str
) -> None:
    """It is reported with its position, before anything runs."""
    path = tmp_path / "f.yaml"
    path.write_text(f"ojob: {settings}\n")
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    assert str(caught.value).startswith(f"{path}:{fault}")


def test_the_last_file_that_sets_it_decides_on_the_order(tmp_path: Path) -> None:
    """By either of the two keys."""
    (tmp_path / "base.yaml").write_text("ojob: {async: true}\n")
    path = tmp_path / "f.yaml"
    path.write_text("include: base.yaml\n")
    assert check_file(path).settings.is_async
    path.write_text("include: base.yaml\nojob: {sequential: true}\n")
    assert not check_file(path).settings.is_async


def test_launched_jobs_are_distinguished_by_their_run_names(tmp_path: Path) -> None:
    """From their start on, because their lines are interleaved."""
    text = """\
        jobs:
        - name: Child
          from: oJobManager Job Start
          to: oJobManager Job End
          args: {name: "child-{{n}}"}
        - {name: Parent, exec: "for n in (1, 2): launch('Child', {'n': n})"}
        todo: [Parent]
        """
    reported = started(tmp_path, text)
    assert sorted(reported) == ["started", "started (child-1)", "started (child-2)"]
