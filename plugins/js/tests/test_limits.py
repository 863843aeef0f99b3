"""The limits of the engine: checks that execute nothing, and memory that stays bounded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ojobchannels import JobFileError
from ojobchannels.ojob import check_file


@pytest.mark.parametrize(
    "text",
    [
        "}, ...(() => { throw new Error('executed') })(), ...{",
        "}}); throw new Error('executed'); ({a() {",
        "}]; throw new Error('executed'); [function () {",
        "} throw new Error('executed'); {",
    ],
)
def test_a_check_does_not_execute_code_that_closes_its_function(tmp_path: Path, text: str) -> None:
    """It is a syntax error, like a closing brace without an opening one."""
    path = tmp_path / "f.yaml"
    path.write_text(f"jobs:\n- name: A\n  lang: js\n  exec: |\n    {text}\n")
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    assert "invalid js: " in str(caught.value)
    assert "executed" not in str(caught.value)


def test_a_text_that_exhausts_the_parser_is_a_diagnostic(tmp_path: Path) -> None:
    """The process of the check is not affected."""
    path = tmp_path / "f.yaml"
    path.write_text(f"jobs:\n- name: A\n  lang: js\n  exec: |\n    {100_000 * '['}\n")
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    assert caught.value.diagnostics[0].message.startswith("invalid js: ")


@pytest.mark.parametrize(
    ("yaml", "error"),
    [
        (
            "a0: &a0 [x, x]\n"
            + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)),
            "64 MiB",
        ),
        ("&a [*a]", "64 MiB"),
    ],
    ids=["shared", "circular"],
)
def test_aliases_in_yaml_do_not_expand_without_bound(
    body: Callable[..., Any], yaml: str, error: str
) -> None:
    """A text of a kilobyte may have aliases for a terabyte; code can catch the error."""
    reported = body("try { af.fromYAML(args.yaml); } catch (e) { log(e.message); }", yaml=yaml)
    assert error in reported[0]


def test_aliases_in_yaml_are_read(body: Callable[..., Any]) -> None:
    """Within the bound each alias is a value of its own."""
    assert body("log(af.fromYAML(args.yaml))", yaml="[&a {b: 1}, *a]") == ['[{"b":1},{"b":1}]']
