"""Shortcuts: todo entries in a form that a job declares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ojobchannels.errors import JobFileError
from ojobchannels.ojob import check_file

if TYPE_CHECKING:
    from tests.ojob.conftest import Run


GREET = """
jobs:
- name: Greet
  typeArgs: {shortcut: {name: greet, keyArg: person, args: {with: word}}}
  exec: log(args.get("word", "hello"), args["person"])
"""


@pytest.mark.parametrize("key", ["(greet)", "( greet )", "(greet"])
def test_a_shortcut_calls_its_job(run: Run, key: str) -> None:
    """With its value as one arg and further keys as others; the last parenthesis is optional."""
    text = f"todo:\n- {key!r}: Ann\n- {key!r}: {{first: Bob}}\n  '((with))': good morning\n"
    _, messages = run(GREET + text)
    assert messages == [
        "Greet: hello Ann",
        "Greet completed",
        "Greet: good morning {'first': 'Bob'}",
        "Greet completed",
    ]


def test_a_shortcut_is_known_in_all_files_of_the_run(run: Run, tmp_path: Path) -> None:
    """An entry may have other keys too; templates in it are rendered."""
    (tmp_path / "other.yaml").write_text(GREET)
    _, messages = run(
        """
        jobsInclude: other.yaml
        todo:
        - {(greet): "{{who}}", ((with)): hi}
        - {(greet): Bob, when: never}
        """,
        who="Ann",
    )
    assert messages == [
        "Greet: hi Ann",
        "Greet completed",
        "Greet skipped (the state of the run is 'init', not 'never')",
    ]


@pytest.mark.parametrize(
    ("todo", "message"),
    [
        (
            "- (great): Ann",
            "todo[0]['(great)']: no job declares the shortcut `(great)`; call a job",
        ),
        ("- {(greet): Ann, ((by)): x}", "no job declares the shortcut `((by))`"),
        ("- {(greet): Ann, args: {x: 1}}", "no job declares the shortcut `(greet)`"),
        ("- {(greet): Ann, name: Greet}", "no job declares the shortcut `(greet)`"),
    ],
)
def test_an_unknown_shortcut_is_reported(tmp_path: Path, todo: str, message: str) -> None:
    """The diagnostic points at its key."""
    path = tmp_path / "f.yaml"
    path.write_text(f"{GREET}todo:\n{todo}\n")
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    assert message in str(caught.value)
    assert f"{path}:7:" in str(caught.value)


@pytest.mark.parametrize(
    ("shortcut", "message"),
    [
        ("{name: a}", "`keyArg` is missing"),
        ("{name: '(a)', keyArg: x}", "invalid name of a shortcut: '(a)'"),
        (
            "{name: a, keyArg: x, nolog: true}",
            "`nolog` is not supported here; write `noLog: true` in",
        ),
    ],
)
def test_an_invalid_shortcut_is_reported(tmp_path: Path, shortcut: str, message: str) -> None:
    """The diagnostic says which key is wrong."""
    path = tmp_path / "f.yaml"
    path.write_text(f"jobs: [{{name: A, typeArgs: {{shortcut: {shortcut}}}}}]\ntodo: [A]\n")
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    assert message in str(caught.value)


def test_a_shortcut_belongs_to_one_job_of_a_file(tmp_path: Path) -> None:
    """Otherwise an entry could call either of them."""
    path = tmp_path / "f.yaml"
    path.write_text(
        "jobs:\n"
        "- {name: A, typeArgs: {shortcut: {name: a, keyArg: x}}}\n"
        "- {name: B, typeArgs: {shortcut: {name: a, keyArg: x}}}\n"
        "todo:\n- (a): 1\n"
    )
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    position = "3:41: jobs[1].typeArgs.shortcut.name"
    message = "duplicate shortcut 'a'; the first is on line 2; rename one of them"
    assert str(caught.value) == f"{path}:{position}: {message}"


def test_the_shortcut_of_a_later_file_counts(tmp_path: Path) -> None:
    """The same holds for its jobs."""
    (tmp_path / "base.yaml").write_text(
        "jobs: [{name: A, typeArgs: {shortcut: {name: a, keyArg: x}}}]\n"
    )
    path = tmp_path / "f.yaml"
    path.write_text(
        "include: base.yaml\n"
        "jobs: [{name: B, typeArgs: {shortcut: {name: a, keyArg: x}}}]\n"
        "todo:\n- (a): 1\n"
    )
    assert [entry.job for entry in check_file(path).todo] == ["B"]
