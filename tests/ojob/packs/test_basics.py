"""The pack oJobBasics.yaml in job files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.ojob.conftest import Run


def test_output_of_shell_commands_is_logged(run: Run) -> None:
    """Or it is stored in the args; another exit status than `exitcode` is a failure."""
    result, reported = run(
        """\
        jobs:
        - name: Say
          to: oJob sh
          args: {cmd: [echo one, "cat; echo wrong >&2"], stdin: two, prefix: "> "}
        - name: Keep Quiet
          from: oJob sh
          args: {cmd: "pwd; exit 3", quiet: true, exitcode: 3, directory: /}
          exec: log(repr(args["stdout"]), repr(args["stderr"]))
        - name: Fail
          to: oJob sh
          args: {cmd: "exit 4"}
        todo: [Say, Keep Quiet, Fail]
        """,
    )
    assert sorted(reported[:3]) == ["Say: > one", "Say: > two", "Say: warn: > wrong"]
    assert r"Keep Quiet: '/\n' ''" in reported
    assert result.exit_status == 1
    assert "`cmd`: exit status 4" in str(result.outcomes[-1].error)


def test_args_are_logged_sorted_selected_and_split(run: Run) -> None:
    """All by paths through the args."""
    _, reported = run(
        """\
        jobs:
        - name: Show
          from: [oJob Sort Array, oJob Split into items]
          args:
            name: sorted.names
            srcName: names
            reverse: true
            names: [b, c, a]
            source: text
            text: "one,two"
            separator: ","
          exec: |
            log(args["sorted"]["names"], args["_list"])
        - name: Pick
          from: oJob Map Array
          args:
            name: picked
            srcName: people
            selectors: [name, home.town]
            limit: 1
            people: [{name: Ada, age: 36, home: {town: London}}, {name: Bob}]
          exec: log(args["picked"])
        todo:
        - Show
        - Pick
        - {name: oJob Stringify, args: {name: a.b.1, min: true, a: {b: [1, {c: 2}]}}}
        - {name: oJob YAML, args: {name: a, a: {b: [1, x]}}}
        - {name: oJob Print args, args: {_path: a, a: 5}}
        """,
    )
    message = [line for line in reported if "completed" not in line]
    assert message == [
        "Show: ['c', 'b', 'a'] [{'item': 'one'}, {'item': 'two'}]",
        "Pick: [{'name': 'Ada', 'home.town': 'London'}]",
        'oJob Stringify: {"c": 2}',
        "oJob YAML: b: [1, x]",
        "oJob Print args: 5",
    ]


def test_args_that_are_not_json_are_logged_as_their_repr(run: Run) -> None:
    """As YAML and as JSON, also inside of maps and lists, and if their own code for it fails."""
    result, reported = run(
        """\
        jobs:
        - name: Make
          exec: |
            class Odd:
                def __repr__(self): raise RuntimeError
            args["row"] = {"set": {1}, 5: [Odd()], "text": "plain"}
        - {name: Yaml, from: Make, to: oJob YAML, args: {name: row}}
        - {name: Json, from: Make, to: oJob Stringify, args: {name: row, min: true}}
        todo: [Yaml, Json]
        """,
    )
    assert result.exit_status == 0
    odd = "<Odd, whose text is not available (RuntimeError)>"
    assert f'Json: {{"set": "{{1}}", "5": ["{odd}"], "text": "plain"}}' in reported
    assert "{1}" in reported[0]


def test_results_are_kept_for_other_jobs(run: Run) -> None:
    """Under a name, whole or in part; the error for an unknown name lists the kept ones."""
    result, reported = run(
        """\
        jobs:
        - {name: Count, exec: "args['count'] = {'words': 3}", to: oJob Keep result}
        - name: Use
          from: oJob Get kept result
          args: {ojobkeep: {keep: count.words}}
          exec: log(args["words"])
        todo: [Count, Use, {name: oJob Get kept result, args: {ojobkeep: {name: other}}}]
        """,
    )
    assert "Use: 3" in reported
    assert "no value was kept as 'other'; kept values: 'default'" in str(result.outcomes[-1].error)


def test_args_are_read_from_files(run: Run, tmp_path: Path) -> None:
    """JSON or YAML; an invalid file is reported with the position of its error."""
    (tmp_path / "a.json").write_text('{"who": "Ada"}')
    (tmp_path / "b.yaml").write_text("who: Bob\n")
    (tmp_path / "c.yaml").write_text("who: [\n")
    calls = "\n".join(
        f"- {{name: Greet, args: {{file: '{tmp_path / name}'}}}}"
        for name in ("a.json", "b.yaml", "c.yaml")
    )
    result, reported = run(
        "jobs:\n- {name: Greet, from: oJob Args from YAML, exec: \"log('Hello', args['who'])\"}\n"
        f"todo:\n{calls}\n",
    )
    assert [line for line in reported if "Hello" in line] == [
        "Greet: Hello Ada",
        "Greet: Hello Bob",
    ]
    assert "c.yaml:2" in str(result.outcomes[-1].error)


def test_a_switch_runs_the_jobs_of_a_value(run: Run) -> None:
    """Or the default jobs for any other value."""
    _, reported = run(
        """\
        jobs:
        - {name: Greet, exec: "log(args.get('how', 'plainly'))"}
        - name: Choose
          from: oJob Switch
          args:
            switchOn: mood
            lowerCase: true
            todos: {good: [{name: Greet, args: {how: warmly}}, Greet]}
            default: Greet
        todo:
        - {name: Choose, args: {mood: GOOD}}
        - {name: Choose, args: {mood: 1}}
        """,
    )
    assert [line for line in reported if line.startswith("Greet: ")] == [
        "Greet: warmly",
        "Greet: plainly",
        "Greet: plainly",
    ]


@pytest.mark.parametrize(
    ("format", "message"),
    [
        ("json", '"status": "completed"'),
        ("yaml", "job: Work"),
        ("table", "job   status     seconds"),
    ],
)
def test_a_report_lists_the_outcomes_of_the_jobs(run: Run, format: str, message: str) -> None:
    """In three formats, now or at the end."""
    _, lines = run(
        f"""\
        jobs: [{{name: Work}}]
        todo:
        - {{name: oJob Jobs Final Report, args: {{format: {format}}}}}
        - Work
        """,
    )
    assert message in "\n".join(lines)
    assert lines[0] == "Work completed"
