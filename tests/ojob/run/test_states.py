"""How a todo entry has its job run: in which states of the run, and of which type."""

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


def test_a_call_is_made_in_the_states_that_its_when_names(run: Run) -> None:
    """The first is `init`; code goes over to others. What does not fit is skipped."""
    _, told = run(
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
    assert told == [
        "A: a",
        "A completed",
        "A skipped (the state of the run is 'init', not 'ready' or 'over')",
        "Go: init",
        "Go completed",
        "A: a",
        "A completed",
        "B skipped (the state of the run is 'ready', not 'init' or 'over')",
    ]


def test_a_todo_entry_may_have_its_job_run_in_another_manner(run: Run) -> None:
    """Its type and typeArgs count for this call, key by key over those of the job."""
    _, told = run(
        """
        jobs: [{name: A, typeArgs: {single: true}, exec: 'log(args["n"])'}]
        todo:
        - {name: A, args: {n: 1}, type: shutdown}
        - {name: A, args: {n: 2}, typeArgs: {when: never}}
        - {name: A, args: {n: 3}}
        """
    )
    assert told == [
        "A skipped (the state of the run is 'init', not 'never')",
        "A: 3",
        "A completed",
        "A: 1",
        "A completed",
    ]


def test_what_depends_on_a_call_that_its_state_left_out_does_not_run(run: Run) -> None:
    """It has been skipped, not done."""
    result, told = run(
        """
        jobs: [{name: A}, {name: B, deps: A}]
        todo: [{name: A, when: ready}, B]
        """
    )
    assert [one.status for one in result.outcomes] == ["skipped", "depsfail"]
    assert result.exit_status == 0
    assert len(told) == 2


def test_a_state_is_named_by_a_text(run: Run) -> None:
    """Anything else is refused, and the state stays."""
    _, told = run(
        """
        jobs: [{name: A, exec: state(5)}, {name: B, exec: log(state())}]
        todo: [A, B]
        """
    )
    assert "state() was called with 5, which is not a name; pass a non-empty string" in told[0]
    assert told[-2:] == ["B: init", "B completed"]


def test_settings_of_the_file_count_for_what_a_todo_entry_says_too(run: Run) -> None:
    """No start or end is told with `logJobs: false`."""
    _, told = run(
        """
        ojob: {logJobs: false}
        jobs: [{name: A, typeArgs: {noLog: true}, exec: log("a")}]
        todo: [{name: A, typeArgs: {noLog: false}}]
        """
    )
    assert told == ["A: a"]


def test_the_manner_of_a_todo_entry_is_checked_together_with_its_job(tmp_path: Path) -> None:
    """At the place of the entry; what belongs to the code of the job is refused there."""
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
        ["7:24", "todo[4].typeArgs.timeout"],
        ["7:38", "todo[4].typeArgs.lockCh"],
        ["8:30", "todo[5].typeArgs.lock"],
    ]
    assert found[3].endswith("the same for all its calls; write it in the `typeArgs` of the job")
