"""Args: their precedence, and templates in job files."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from ojobchannels.errors import InvalidJobArgs
from ojobchannels.ojob import Output, RunResult, run_file
from ojobchannels.ojob.args.templates import render


class Silent(Output):
    """Drops all events."""

    def _emit(self, *_: object) -> None:
        pass


def run(folder: Path, text: str, **args: Any) -> RunResult:
    path = folder / "f.yaml"
    path.write_text(dedent(text))
    return run_file(path, args, Silent())


SHOW = """\
jobs:
- name: First
  args: {who: from, only: from}
  exec: print(args)
- name: Job
  from: First
  args: {who: job}
  exec: print(args)
- name: Caller
  exec: "job('Job', {'who': 'call'})"
- name: Launcher
  exec: "launch('Job', {'who': 'launch'})"
"""


@pytest.mark.parametrize(
    ("todo", "given", "winner"),
    [
        ("[First]", {}, "from"),
        ("[Job]", {}, "job"),
        ("[Job]", {"who": "command line"}, "command line"),
        ("[{name: Job, args: {who: todo}}]", {"who": "command line"}, "todo"),
        ("[Caller]", {"who": "command line"}, "call"),
        ("[Launcher]", {"who": "command line"}, "launch"),
    ],
)
def test_args_rank_from_the_steps_own_to_the_call(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    todo: str,
    given: dict[str, str],
    winner: str,
) -> None:
    assert run(tmp_path, f"{SHOW}todo: {todo}\n", **given).exit_status == 0
    for line in capsys.readouterr().out.splitlines():
        assert f"'who': '{winner}'" in line
        assert "'only': 'from'" in line


def test_args_are_replaced_key_by_key_not_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        tmp_path,
        """\
        jobs:
        - name: A
          args: {place: {type: db, file: a.db}, more: 1}
          exec: print(args)
        todo:
        - {name: A, args: {place: {type: simple}}}
        """,
    )
    assert capsys.readouterr().out == "{'place': {'type': 'simple'}, 'more': 1}\n"


def test_two_to_jobs_do_not_see_each_others_args(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        tmp_path,
        """\
        jobs:
        - {name: Show A, args: {target: a}, exec: "print(args['target'])"}
        - {name: Show B, args: {target: b}, exec: "print(args['target'])"}
        - {name: Job, to: [Show A, Show B]}
        todo: [Job, {name: Job, args: {target: c}}]
        """,
    )
    assert capsys.readouterr().out.split() == ["a", "b", "c", "c"]


def test_the_args_of_an_outer_step_win_over_those_of_its_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        tmp_path,
        """\
        jobs:
        - {name: Inner, args: {where: inner}, exec: "print(args['where'])"}
        - {name: Outer, args: {where: outer}, to: Inner}
        - {name: Job, from: [Inner, Outer, Inner]}
        todo: [Job]
        """,
    )
    assert capsys.readouterr().out.split() == ["inner", "outer", "inner"]


def test_one_map_of_args_goes_through_all_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        tmp_path,
        """\
        jobs:
        - {name: Load, exec: "args['rows'] = [1, 2]"}
        - {name: Save, exec: "print(args)"}
        - name: Job
          from: Load
          to: Save
          exec: |
            args = {"sum": sum(args["rows"])}
        todo: [Job]
        """,
    )
    assert capsys.readouterr().out == "{'sum': 3}\n"


def test_calls_do_not_share_args(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(
        tmp_path,
        """\
        jobs:
        - name: Job
          args: {seen: []}
          exec: |
            args["seen"].append(1)
            args["given"].append(1)
            print(args)
        - name: Twice
          exec: |
            mine = {"given": []}
            job("Job", mine)
            job("Job", mine)
            print(mine)
        todo: [Twice]
        """,
    )
    assert capsys.readouterr().out.splitlines() == [
        "{'seen': [1], 'given': [1]}",
        "{'seen': [1], 'given': [1]}",
        "{'given': []}",
    ]


def test_a_list_of_args_runs_the_job_once_for_each_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(
        tmp_path,
        """\
        jobs:
        - {name: Job, exec: "print(10 // args['n'])"}
        - {name: After, deps: Job}
        todo:
        - {name: Job, args: [{n: 5}, {n: 0}, {n: 2}]}
        - After
        """,
    )
    assert capsys.readouterr().out.split() == ["2", "5"]
    statuses = [outcome.status for outcome in result.outcomes]
    assert statuses == ["completed", "failed", "completed", "depsfail"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{n}}", 5),
        ("{{ n }}", 5),
        ("${n}", 5),
        ("batch-{{n}}", "batch-5"),
        ("${yes} and ${none}", "true and null"),
        ("{{map}}", {"a": [1, {"b": "deep"}]}),
        ("<{{map.a}}>", '<[1,{"b":"deep"}]>'),
        ("{{map.a.1.b}}", "deep"),
        ("${gone:-x}", "x"),
        ("${gone:-42}", 42),
        ("n=${gone:-42}", "n=42"),
        ("${gone:-}", ""),
        ("${n:-x}", 5),
        ("${none:-x}", None),
        ("${map.z:-x}", "x"),
        (r"\${n} \{{n}}", "${n} {{n}}"),
        ("$n {n} $(n)", "$n {n} $(n)"),
        ("{{over}}", 5),
        ("{{chosen.x}}", 1),
        ("{{data}}", "{{n}} ${gone}"),
    ],
)
def test_templates(text: str, value: object) -> None:
    """A template alone keeps the type of its value; inside a text it becomes text."""
    written = {
        "text": text,
        "over": "{{n}}",
        "options": {"first": {"x": 1}},
        "chosen": "{{options.first}}",
    }
    args = {
        "n": 5,
        "yes": True,
        "none": None,
        "map": {"a": [1, {"b": "deep"}]},
        "data": "{{n}} ${gone}",
    }
    assert render(written, args, "here")["text"] == value


def test_templates_are_rendered_inside_maps_and_lists() -> None:
    written = {"a": {"b": ["{{n}}", "x{{n}}"]}, "{{n}}": 1}
    assert render(written, {"n": 5}, "here") == {"a": {"b": [5, "x5"]}, "{{n}}": 1}


def test_a_name_that_refers_to_itself_counts_as_unknown() -> None:
    assert render({"a": "${a:-x}"}, {}, "here") == {"a": "x"}
    for written in ({"a": "{{a}}"}, {"a": "{{b}}", "b": "{{a}}"}, {"a": {"b": "{{a}}"}}):
        with pytest.raises(InvalidJobArgs, match="`a` refers to itself"):
            render(written, {}, "here")


def test_the_error_for_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InvalidJobArgs) as caught:
        render({"name": "batch-{{batchId}}"}, {"batch": 1, "items": []}, "f.yaml:7")
    assert str(caught.value) == (
        "f.yaml:7, args.name: unknown name `batchId`; pass it, or write `${batchId:-default}`; "
        "known names: `batch`, `items`, `name`"
    )


def test_an_unknown_name_fails_the_job_before_its_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(
        tmp_path,
        """\
        jobs:
        - {name: First, exec: print("first")}
        - {name: Job, from: First, args: {a: "{{b}}"}, catch: print("caught")}
        todo: [Job]
        """,
    )
    assert result.exit_status == 1
    assert isinstance(result.outcomes[0].error, InvalidJobArgs)
    assert capsys.readouterr().out == ""


def test_templates_in_the_own_args_of_a_to_job_see_earlier_args(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        tmp_path,
        """\
        jobs:
        - {name: Report, args: {text: "{{count}} rows"}, exec: "print(args['text'])"}
        - {name: Job, to: Report, exec: "args['count'] = 3"}
        todo: [Job]
        """,
    )
    assert capsys.readouterr().out == "3 rows\n"


def test_values_from_the_command_line_and_from_code_are_not_templates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        tmp_path,
        """\
        jobs:
        - {name: Show, args: {copy: "{{given}}"}, exec: "print(args)"}
        - {name: Call, exec: "job('Show', {'given': '${nothing}'})"}
        todo: [Show, Call]
        """,
        given="{{nothing}}",
    )
    assert capsys.readouterr().out.splitlines() == [
        "{'copy': '{{nothing}}', 'given': '{{nothing}}'}",
        "{'copy': '${nothing}', 'given': '${nothing}'}",
    ]


def chain_of_args(of: Any, count: int) -> dict[str, Any]:
    """Return args of which each refers to the one before, in the form of `of`."""
    template = json.dumps(of).replace("BEFORE", "{{x%d}}")
    before = template.count("%d")
    return {"x0": "ha"} | {
        f"x{at}": json.loads(template % ((at - 1,) * before)) for at in range(1, count)
    }


@pytest.mark.parametrize("of", ["BEFORE" * 9, ["BEFORE"] * 9, {"a": "BEFORE", "b": ["-BEFORE"]}])
def test_templates_that_expand_to_too_much_are_refused_quickly(of: Any) -> None:
    """Args that multiply by referring to each other cause an error, not a hang."""
    with pytest.raises(InvalidJobArgs, match=r"f\.yaml:7, args\.x\d+.*: its templates expand to"):
        render(chain_of_args(of, 30), {}, "f.yaml:7")


def test_long_chains_of_templates_are_refused() -> None:
    """The error is about the args, not a RecursionError."""
    assert render(chain_of_args("BEFORE", 90), {}, "here")["x89"] == "ha"
    with pytest.raises(InvalidJobArgs, match="over more than 100 steps; refer to the"):
        render({"all": "{{x1999}}"} | chain_of_args("BEFORE", 2000), {}, "here")
