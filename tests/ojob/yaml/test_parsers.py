"""The two YAML parsers: whatever the fast one reads, it reads exactly as the other does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode

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


@settings(database=None, deadline=None, max_examples=300)
@given(st.text("+-_.0123456789abeonuxtrflsNI~=<:", max_size=7))
@example("TRUE")
@example("null")
@example(".inf")
def test_plain_scalars_are_read_by_the_rules_of_yaml_1_2(text: str) -> None:
    """The rules are those of ruamel.yaml."""
    ruamel = YAML(typ="safe", pure=True)
    tag = str(ruamel.resolver.resolve(ScalarNode, text, (True, False)))
    assert plain_tag(text) == (tag if tag in {*KINDS, f"{TAG}merge"} else f"{TAG}str")
    if tag in KINDS:
        try:
            expected = ruamel.constructor.construct_object(ScalarNode(tag, text))
        except (ValueError, LookupError):
            with pytest.raises(ValueError, match=r".*"):
                scalar_value(tag, text)
        else:
            assert repr(scalar_value(tag, text)) == repr(expected)
