"""The `catch` of a file hears once of every failed and every dead run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ojobchannels.manager import JobManager
    from tests.ojob.conftest import Run

FILE = """\
ojob: {{catch: Alarm}}
jobs:
- {{name: Alarm, exec: "log('alarm', type(error).__name__, args.get('n'))"}}
- {{name: Own, exec: log("own")}}
- name: Work
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: {catch}
  args: {{name: work, n: 5}}
  exec: raise ValueError
todo: [oJobManager Init, Work]
"""


@pytest.mark.parametrize(
    ("catch", "expected"),
    [
        ("oJobManager Error", ["Work: alarm ValueError 5"]),
        ("[]", ["Work: alarm ValueError 5"]),
        ("[oJobManager Error, Own]", ["Work: own"]),
    ],
)
def test_the_catch_of_the_file_runs_unless_the_job_has_one_for_its_failures(
    run: Run, manager: JobManager, catch: str, expected: list[str]
) -> None:
    """Bundled jobs such as `oJobManager Error` only keep the records."""
    _, reported = run(FILE.format(catch=catch))
    assert reported[:-1] == expected
    assert [record["status"] for record in manager.runs()] == ["failed"]


def test_a_job_whose_lock_is_held_is_a_failure_too(run: Run, manager: JobManager) -> None:
    """The file hears of it."""
    held = manager.start("work")
    _, reported = run(FILE.format(catch="oJobManager Error"))
    assert reported[0] == "Work: alarm JobLocked 5"
    held.end()


def test_the_catch_of_the_file_is_called_once_for_a_dead_run(run: Run, manager: JobManager) -> None:
    """With the args of that run, by the first run of a file with such a `catch`."""
    manager.start("elsewhere", args={"n": 7})._give_up(RuntimeError())
    manager.start("listed", args={"n": 8})._give_up(RuntimeError())
    assert [record["status"] for record in manager.runs("listed")] == ["abandoned"]
    text = FILE.format(catch="oJobManager Error").replace("raise ValueError", "pass")
    _, reported = run(text)
    assert sorted(reported) == [
        "Work completed",
        "elsewhere: alarm RunAbandoned 7",
        "listed: alarm RunAbandoned 8",
    ]
    assert run(text)[1] == ["Work completed"]


def test_a_failing_catch_for_a_dead_run_is_logged(run: Run, manager: JobManager) -> None:
    """It does not fail the run that found it."""
    manager.start("elsewhere")._give_up(RuntimeError())
    text = (
        FILE.format(catch="[]").replace("raise ValueError", "pass").replace("log('al", "log(1/0, '")
    )
    result, reported = run(text)
    assert result.exit_status == 0
    assert "elsewhere: error: its `catch` failed too: ZeroDivisionError" in reported[0]
