"""Overrides of a todo entry: the states of the run in which it runs, and its type."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from ojobchannels.errors import JobFileError
from ojobchannels.ojob import check_file

if TYPE_CHECKING:
    from tests.ojob.conftest import Run


def faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "f.yaml"
    path.write_text(dedent(text).lstrip())
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    return [str(one).removeprefix(f"{path}:") for one in caught.value.diagnostics]


def test_a_call_runs_in_the_states_that_its_when_lists(run: Run) -> None:
    """The first state is `init`, code changes it, and calls in other states are skipped."""
    _, reported = run(
        """
        jobs:
        - {name: Go, exec: 'log(state()); state("ready")'}
        - {name: A, exec: log("a")}
        - {name: B, exec: log("b"), typeArgs: {when: [init, over]}}
        todo:
        - {name: A, when: init}
        - {name: A, when: [ready, over]}
        - Go
        - {name: A, when: [ready, over]}
        - B
        """
    )
    assert reported == [
        "A: a",
        "A completed",
        "A skipped (the state of the run is 'init', not 'ready' or 'over')",
        "Go: init",
        "Go completed",
        "A: a",
        "A completed",
        "B skipped (the state of the run is 'ready', not 'init' or 'over')",
    ]


def test_a_todo_entry_can_override_the_settings_of_its_job(run: Run) -> None:
    """Its type and typeArgs apply to this call, key by key over those of the job."""
    _, reported = run(
        """
        jobs: [{name: A, typeArgs: {single: true}, exec: 'log(args["n"])'}]
        todo:
        - {name: A, args: {n: 1}, type: shutdown}
        - {name: A, args: {n: 2}, typeArgs: {when: never}}
        - {name: A, args: {n: 3}}
        """
    )
    assert reported == [
        "A skipped (the state of the run is 'init', not 'never')",
        "A: 3",
        "A completed",
        "A: 1",
        "A completed",
    ]


def test_dependents_of_a_call_that_its_state_skipped_do_not_run(run: Run) -> None:
    """The dependency was skipped, not completed."""
    result, reported = run(
        """
        jobs: [{name: A}, {name: B, deps: A}]
        todo: [{name: A, when: ready}, B]
        """
    )
    assert [one.status for one in result.outcomes] == ["skipped", "depsfail"]
    assert result.exit_status == 0
    assert len(reported) == 2


def test_a_state_must_be_a_non_empty_string(run: Run) -> None:
    """Anything else is refused, and the state stays the same."""
    _, reported = run(
        """
        jobs: [{name: A, exec: state(5)}, {name: B, exec: log(state())}]
        todo: [A, B]
        """
    )
    assert "state() was called with 5, which is not a name; pass a non-empty string" in reported[0]
    assert reported[-2:] == ["B: init", "B completed"]


def test_settings_of_the_file_apply_to_overrides_of_a_todo_entry_too(run: Run) -> None:
    """With `logJobs: false`, no start or end is reported."""
    _, reported = run(
        """
        ojob: {logJobs: false}
        jobs: [{name: A, typeArgs: {noLog: true}, exec: log("a")}]
        todo: [{name: A, typeArgs: {noLog: false}}]
        """
    )
    assert reported == ["A: a"]


def test_overrides_of_a_todo_entry_are_checked_together_with_its_job(tmp_path: Path) -> None:
    """Diagnostics have the position of the entry; settings of the job's code are refused there."""
    found = faults(
        tmp_path,
        """
        jobs: [{name: A, typeArgs: {cron: "0 * * * *"}}, {name: B}]
        todo:
        - {name: A, typeArgs: {timeInterval: 5}}
        - {name: B, type: periodic}
        - {name: B, typeArgs: {misfire: all, lang: shell}}
        - {name: B, type: jobs}
        - {name: B, typeArgs: {timeout: 500, lockCh: x}}
        - {name: B, typeArgs: {lock: "{{"}}
        """,
    )
    assert [one.split(": ", 2)[:2] for one in found] == [
        ["3:24", "todo[0].typeArgs.timeInterval"],
        ["4:19", "todo[1].type"],
        ["5:24", "todo[2].typeArgs.misfire"],
        ["5:38", "todo[2].typeArgs.lang"],
        ["6:19", "todo[3].type"],
        ["7:38", "todo[4].typeArgs.lockCh"],
        ["8:30", "todo[5].typeArgs.lock"],
    ]
    assert found[3].endswith("the same for all its calls; write it in the `typeArgs` of the job")
