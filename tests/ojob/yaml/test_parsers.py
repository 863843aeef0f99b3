"""The two YAML parsers: whatever the fast one reads, it reads exactly as the other does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ojobchannels.errors import InvalidJobArgs, JobFileError
from ojobchannels.ojob import check_file
from ojobchannels.ojob.args.layers import parse_args
from ojobchannels.ojob.load.includes import PACKS
from ojobchannels.ojob.yaml.composer import (
    Node,
    Refused,
    Scalar,
    _Composer,
    exact_events,
    fast_events,
)
from ojobchannels.ojob.yaml.scalars import KINDS, TAG, plain_tag, scalar_value
from ojobchannels.ojob.yaml.source import scalar
from ojobchannels.ojob.yaml.syntax_errors import InvalidText

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
FILES = sorted([*EXAMPLES.glob("*.yaml"), *PACKS.glob("*.yaml")])
PIECES = [
    *("a", "b: ", "c:", "- ", "-", "\n", "\n  ", "\n    ", "{", "}", "[", "]", ", ", ",", ": "),
    *("'x'", '"y"', "'", '"', "&a ", "*a", "<<: ", "!!str ", "! ", "# c", " #", "|\n", ">-\n"),
    *("1", "1e3", "~", "true", "no", "0o7", "\\n", "\\", "%", "@", "`", "é", "...", "---", "|2\n"),
    *("? ", "?", ":"),
]  # fmt: skip


def tree(node: Node | None) -> Any:
    """Return all that is known of a node and of those below it."""
    if node is None:
        return None
    value = node.value
    at = (node.line, node.column) if value or node.style else None  # nothing to point at
    if isinstance(value, list):
        value = [tuple(map(tree, one)) if isinstance(one, tuple) else tree(one) for one in value]
    return type(node).__name__, node.tag, at, node.style, node.in_flow, value


def check_same(text: str) -> bool:
    """Compare the parsers, and return whether the fast one has read the text."""
    try:
        root = _Composer(fast_events(text)).document()
    except (Refused, InvalidText):
        return False
    if not isinstance(root, Scalar):  # no job file is a mere text
        assert tree(root) == tree(_Composer(exact_events(text)).document())
    return True


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_fast_parser_reads_the_examples_and_the_packs(path: Path) -> None:
    """It reads them, with the same nodes at the same positions."""
    assert check_same(path.read_text("utf-8"))


@settings(database=None, deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@example("a: {b:1}")
def test_the_fast_parser_reads_nothing_differently(text: str) -> None:
    """Or it refuses the text, and the exact parser is asked."""
    check_same(text)


CORE_SCHEMA = {
    "null": r"null|Null|NULL|~|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN",
    "merge": "<<",
}
"""As table 10.9 of the specification has it, in its order."""


@settings(database=None, deadline=None, max_examples=300)
@given(st.text("+-_.0123456789abeonuxtrflsNI~=<:", max_size=7))
@example("TRUE")
@example("null")
@example(".inf")
@example("2024_01")
@example("1e+5")
def test_plain_scalars_are_read_by_the_rules_of_yaml_1_2(text: str) -> None:
    """By those of its core schema, and the merge key of YAML 1.1."""
    tag = next((tag for tag, rule in CORE_SCHEMA.items() if re.fullmatch(rule, text)), "str")
    assert plain_tag(text) == f"{TAG}{tag}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, text) for text in ("2024_01", "1_000", "-1_0", "1_000.5", "0b11", "1e5_0")),
        *((text, text) for text in ("12:30", "2026-11-22", "0o8", "-0x1F", "+0o7", "1.2.3", "no")),
        *(("+5", 5), ("-5", -5), ("007", 7), ("0o17", 15), ("0xCAFE", 0xCAFE)),
        *(("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-.5e-1", -0.05), ("1.10", 1.1)),
    ],
)
def test_numbers_are_those_of_yaml_1_2_and_anything_else_is_text(text: str, value: Any) -> None:
    """In files, on the command line and as the default of a template."""
    assert repr(scalar(text)) == repr(value)
    tag = plain_tag(text)
    assert repr(scalar_value(tag, text) if tag in KINDS else text) == repr(value)


@pytest.mark.parametrize("text", ["12e45678", "-1e999", ".inf", ".nan", "9" * 5000])
def test_a_number_that_json_does_not_have_is_refused(text: str, tmp_path: Path) -> None:
    """It never becomes another number, nor text by accident."""
    with pytest.raises(ValueError, match=r".*"):
        scalar(text)
    with pytest.raises(InvalidJobArgs, match="quote it twice: sha="):
        parse_args([f"sha={text}"])
    with pytest.raises(InvalidJobArgs) as raised:
        parse_args([f"password={text}"])
    assert text[:40] not in str(raised.value)
    path = tmp_path / "f.yaml"
    path.write_text(f"jobs: [{{name: A, args: {{sha: {text}}}}}]\n")
    with pytest.raises(JobFileError, match="quote it"):
        check_file(path)
