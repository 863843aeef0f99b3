"""The todo, call after call or side by side: order, dependencies, records, and how far it is."""

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
    from tests.ojob.schedules import Books, HandClock, RunDaemon

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
    """Lets nobody go before all are there, and fails those who have waited for long."""

    def __init__(self, parties: int) -> None:
        self._barrier = threading.Barrier(parties)

    def wait(self, timeout: float) -> None:
        self._barrier.wait(timeout)


@pytest.mark.parametrize(
    "settings", ["{async: true}", "{sequential: false}", "{async: true, sequential: false}"]
)
def test_calls_of_an_async_todo_are_made_side_by_side(run: Run, settings: str) -> None:
    """Each after those that it depends on, wherever these stand."""
    text = f"ojob: {settings}\n" + MEETING.format(type_args="{}")
    result, told = run(text, meeting=Meeting(2))
    assert result.exit_status == 0
    assert told.index("Left completed") < told.index("After: after")
    assert told.index("Right completed") < told.index("After: after")
    assert not any(outcome.launched for outcome in result.outcomes)


def test_the_todo_goes_on_beside_an_async_job(run: Run) -> None:
    """All others are made one after the other, each when what it depends on is over."""
    result, told = run(MEETING.format(type_args="{async: true}"), meeting=Meeting(2))
    assert result.exit_status == 0
    assert told.index("Left completed") < told.index("After: after")
    assert told[-4:] == ["After: after", "After completed", "Last: last", "Last completed"]


def test_a_list_of_args_is_worked_on_side_by_side(run: Run) -> None:
    """So many at a time as there are threads."""
    result, told = run(
        """\
        ojob: {async: true, numThreads: 3}
        jobs:
        - {name: Meet, exec: "args['meeting'].wait(60)"}
        todo: [{name: Meet, args: [{n: 1}, {n: 2}, {n: 3}]}]
        """,
        meeting=Meeting(3),
    )
    assert told == ["Meet completed"] * 3
    assert result.exit_status == 0


def test_a_failure_leaves_out_only_what_depends_on_it(run: Run, manager: JobManager) -> None:
    """Also of a job with several calls, of which one fails; a managed one gets its record."""
    result, told = run(
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
    assert "Whole depsfail (dependency 'Part' failed)" in told
    assert "Other completed" in told
    assert result.exit_status == 1
    assert [one["status"] for one in manager.runs(name="whole")] == ["depsfail"]


def test_what_opens_the_manager_is_waited_for_by_all_behind_it(
    run: Run, manager: JobManager
) -> None:
    """Else a managed job would begin before its channels are known, with those in memory."""
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


def test_managed_jobs_are_made_side_by_side_too(run: Run) -> None:
    """Who only uses the manager is not waited for."""
    result, told = run(
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
    assert sorted(told) == ["Managed completed", "Other completed"]
    assert result.exit_status == 0


def test_what_cannot_be_opened_stops_all_behind_it(tmp_path: Path) -> None:
    """As in a todo that is gone through one by one."""
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


def test_shutdown_jobs_of_an_async_todo_keep_its_order(run: Run) -> None:
    """The last one of the todo comes first, though the first one may have been come to last."""
    _, told = run(
        """\
        ojob: {async: true}
        jobs:
        - {name: Slow, exec: "import time; time.sleep(0.05)"}
        - {name: One, type: shutdown, deps: Slow}
        - {name: Two, type: shutdown}
        todo: [Slow, One, Two]
        """
    )
    assert told == ["Slow completed", "Two completed", "One completed"]


def test_a_job_that_raises_an_interrupt_leaves_out_what_has_not_begun(run: Run) -> None:
    """On the pool as in the main thread."""
    result, told = run(
        """\
        ojob: {async: true, numThreads: 1}
        jobs:
        - {name: Stop, exec: raise KeyboardInterrupt}
        - {name: After, deps: Stop, exec: log("ran")}
        todo: [Stop, After]
        """
    )
    assert result.exit_status == 130
    assert told == [
        "Stop failed (KeyboardInterrupt)",
        "ojob: warn: interrupted: not started: 'After'",
    ]


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
def test_after_its_time_a_job_waits_no_longer_for_what_it_depends_on(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books, more: str, rest: str
) -> None:
    """In the todo and launched: it is told and recorded at once, though the other goes on."""
    with books.manager.locks.lock("go", ttl=60):
        daemon = start_daemon(WAITING.format(more=more, rest=rest))
        daemon.hear("Slow: at work")
        daemon.hear("Last: all are made" if more else "Parent: waits")
        hand_clock.advance(60_000)
        daemon.hear("After depsfail (dependency 'Slow' did not end within 60000 ms)")
        if not more:
            daemon.hear("Parent: None depsfail")
        assert [one["status"] for one in books.manager.runs(name="after")] == ["depsfail"]
    daemon.hear("Slow completed")
    daemon.stop()
    assert not [line for line in daemon.output.rest() if line.startswith("After")]


LONG = """\
jobs:
- {name: Step, exec: "1 / args['n']"}
- {name: Quiet, typeArgs: {noLog: true}}
todo: [oJobManager Init, {name: Step, args: [{n: 1}, {n: 2}, {n: 3}]}%s]
"""


def started(tmp_path: Path, text: str, **args: Any) -> list[str]:
    """The texts of the starts of jobs, as programs are told them."""
    path = tmp_path / "f.yaml"
    path.write_text("include: oJobManager.yaml\n" + dedent(text))
    stream = io.StringIO()
    run_file(path, args, Output(JsonLines(stream)))
    events = map(json.loads, stream.getvalue().splitlines())
    return [one["text"] for one in events if one["event"] == "started"]


def test_a_long_todo_tells_how_far_it_is(tmp_path: Path) -> None:
    """Counted are calls of the file's own jobs; a short todo is clear without."""
    assert started(tmp_path, LONG % "") == ["started"] * 3
    assert started(tmp_path, LONG % ", Step, Step", n=1) == [
        f"started ({number} of 5)" for number in range(1, 6)
    ]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ("{async: true, sequential: true}", "1:7: ojob: `async` and `sequential` contradict"),
        ("{async: 1}", "1:15: ojob.async: expected true or false, found the number 1"),
        ("{depsTimeout: 0}", "1:21: ojob.depsTimeout: 0 is out of range; write milliseconds"),
    ],
)
def test_what_makes_no_sense_is_a_fault(tmp_path: Path, settings: str, fault: str) -> None:
    """With its place, before anything runs."""
    path = tmp_path / "f.yaml"
    path.write_text(f"ojob: {settings}\n")
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    assert str(caught.value).startswith(f"{path}:{fault}")


def test_the_last_file_that_says_so_decides_on_the_order(tmp_path: Path) -> None:
    """By whichever of the two keys."""
    (tmp_path / "base.yaml").write_text("ojob: {async: true}\n")
    path = tmp_path / "f.yaml"
    path.write_text("include: base.yaml\n")
    assert check_file(path).is_async
    path.write_text("include: base.yaml\nojob: {sequential: true}\n")
    assert not check_file(path).is_async


def test_launched_jobs_are_told_apart_by_what_they_manage(tmp_path: Path) -> None:
    """From their start on, as their lines come among each other."""
    text = """\
        jobs:
        - name: Child
          from: oJobManager Job Start
          to: oJobManager Job End
          args: {name: "child-{{n}}"}
        - {name: Parent, exec: "for n in (1, 2): launch('Child', {'n': n})"}
        todo: [Parent]
        """
    told = started(tmp_path, text)
    assert sorted(told) == ["started", "started (child-1)", "started (child-2)"]
