"""Rules for args under `check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ojobchannels.errors import InvalidJobArgs, JobFileError
from ojobchannels.ojob import check_file
from ojobchannels.ojob.args.rules import Rule, apply_rules

if TYPE_CHECKING:
    from tests.ojob.conftest import Run


@pytest.mark.parametrize(
    ("rule", "value", "becomes"),
    [
        ("isString", "a", "a"),
        ("isNumber", 1.5, 1.5),
        ("isBoolean", False, False),
        ("isArray", [1], [1]),
        ("isMap", {"a": 1}, {"a": 1}),
        ("toNumber", "5", 5),
        ("toNumber", "0.5", 0.5),
        ("toBoolean", "Yes", True),
        ("toNumber.between(1, 10)", "10", 10),
        ("oneOf(['a', 'b'])", "b", "b"),
        ("oneOf([1, true])", True, True),
        ("match('^[a-z]+$')", "abc", "abc"),
        ("isString().default(null)", None, None),
        ("isNumber.default(-1)", None, -1),
        ("isArray.default([1, 'x', null])", None, [1, "x", None]),
        ("isMap.default({'a': [true]})", None, {"a": [True]}),
    ],
)
def test_valid_args_pass_and_may_be_converted(rule: str, value: Any, becomes: Any) -> None:
    """Steps apply from left to right; a default replaces a missing value."""
    args = {"x": {"y": value}}
    apply_rules((Rule.read("x.y", rule),), args, "here")
    assert args == {"x": {"y": becomes}}


@pytest.mark.parametrize(
    ("rule", "value", "message"),
    [
        ("isString", 5, "is 5, not a string"),
        ("isNumber", True, "is true, not a number"),
        ("isArray", "a", 'is "a", not a list'),
        ("toNumber", "much", 'is "much", not a number'),
        ("toNumber", "2024_01", 'is "2024_01", not a number'),
        ("toNumber", "nan", 'is "nan", not a number'),
        ("isString", {1}, "is {1}, not a string"),
        ("isNumber", "x" * 500, f'is "{"x" * 116}..., not a number'),
        ("toBoolean", "perhaps", 'is "perhaps", not a boolean'),
        ("toNumber.between(1, 10)", "11", "is 11, not between 1 and 10"),
        ("between(1, 10)", "a", 'is "a", not between 1 and 10'),
        ("oneOf(['a', 'b'])", "c", 'is "c", not one of "a", "b"'),
        ("oneOf([1, null])", True, "is true, not one of 1, null"),
        ("match('^[a-z]+$')", "A", 'is "A", which does not match ^[a-z]+$'),
        ("isString", None, "is missing"),
    ],
)
def test_invalid_args_are_reported(rule: str, value: Any, message: str) -> None:
    """The message contains the value, and what is expected."""
    with pytest.raises(InvalidJobArgs, match=r"^here: `x` ") as caught:
        apply_rules((Rule.read("x", rule),), {"x": value}, "here")
    assert f"`x` {message}" in str(caught.value)


def test_a_job_checks_its_args_before_and_after_its_code(run: Run) -> None:
    """`in` comes after `from`, `out` before `to`; all errors are reported at once."""
    result, messages = run(
        """
        jobs:
        - {name: First, exec: 'args["n"] = args.get("n", "5")'}
        - {name: Last, exec: 'log("last", args["n"])'}
        - name: Work
          from: First
          to: Last
          check:
            in: {n: "toNumber.between(1, 9)", to.host: isString.default("here")}
            out: {sum: isNumber}
          exec: |
            log(args)
            if args["n"] != 7:
                args["sum"] = args["n"] + 1
        todo:
        - Work
        - {name: Work, args: {n: 10, to: {host: 3}}}
        - {name: Work, args: {n: 7}}
        """
    )
    assert messages[:3] == [
        "Work: {'n': 5, 'to': {'host': 'here'}}",
        "Work: last 5",
        "Work completed",
    ]
    assert "`n` is 10, not between 1 and 9; `to.host` is 3, not a string" in messages[3]
    assert "`sum` is missing; pass args that match the job's `check`" in messages[5]
    assert result.exit_status == 1


def test_an_arg_that_is_not_a_map_is_not_replaced_by_one() -> None:
    """A value that is not a map has no parts, whatever the default."""
    args = {"host": "here"}
    with pytest.raises(InvalidJobArgs, match='`host` is "here", not a map'):
        apply_rules((Rule.read("host.name", "isString.default('x')"),), args, "here")
    assert args == {"host": "here"}


def test_calls_do_not_share_default_values() -> None:
    """A call does not see what an earlier one changed in it."""
    rule, first, second = Rule.read("x", "default([1])"), dict[str, Any](), dict[str, Any]()
    apply_rules((rule,), first, "here")
    first["x"].append(2)
    apply_rules((rule,), second, "here")
    assert second == {"x": [1]}


def test_the_rules_of_a_part_apply_around_its_own_code(run: Run) -> None:
    """They apply under `from`, `to` and `catch`."""
    _, messages = run(
        """
        jobs:
        - name: Count
          check: {in: {n: toNumber.default(1)}, out: {n: "between(1, 5)"}}
          exec: args["n"] += 1
        - {name: First, from: Count, exec: 'log(args["n"])'}
        - {name: Bad, exec: "1 / 0", catch: Count}
        todo: [First, {name: First, args: {n: "5"}}, {name: Bad, args: {n: x}}]
        """
    )
    assert messages[:2] == ["First: 2", "First completed"]
    assert "f.yaml:4: `n` is 6, not between 1 and 5;" in messages[2]
    assert any("its `catch` failed too: InvalidJobArgs: " in one for one in messages[3:])
    assert any('`n` is "x", not a number' in one for one in messages[3:])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("isStrin", "unknown rule `isStrin`; did you mean `isString`?"),
        ("is a number", "`is a number` is not a rule; write a chain such as"),
        ("between(1)", "`between` takes 2 values in parentheses; write `between(1, 10)`"),
        ("between('a', 10)", "`between` takes numbers; write `between(1, 10)`"),
        ("match(5)", "`match` takes a string; write `match('^[a-z]+$')`"),
        ("default({1})", "`{1}` is not a plain value; write a number"),
        ("isString(1)", "`isString` takes nothing in parentheses; write `isString`"),
        ("oneOf('ab')", "`oneOf` takes a list; write `oneOf(['a', 'b'])`"),
        ("match('(')", "`match` takes a regular expression: "),
        (
            "default(x + 1)",
            "`x + 1` is not a plain value; write a number, a list, or a string in quotes",
        ),
    ],
)
def test_an_invalid_rule_is_reported_with_its_position(
    tmp_path: Path, rule: str, message: str
) -> None:
    """The file is checked before any job runs."""
    path = tmp_path / "f.yaml"
    path.write_text(f'jobs:\n- name: A\n  check:\n    in:\n      x: "{rule}"\ntodo: [A]\n')
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    assert str(caught.value).startswith(f"{path}:5:10: jobs[0].check.in.x: ")
    assert message in str(caught.value)
