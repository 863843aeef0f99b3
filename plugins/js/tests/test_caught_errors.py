"""The errors that code under `catch`, and code with a `catch` of its own, sees and records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ojobchannels import JobManager


@pytest.mark.parametrize(
    ("thrown", "seen"),
    [
        ('new RangeError("too far")', "true RangeError too far"),
        ('"too far: 7"', "true Error too far: 7"),
    ],
)
def test_the_error_under_catch_is_an_error(run: Callable[..., Any], thrown: str, seen: str) -> None:
    """It has the name and the message of what was thrown."""
    _, reported = run(
        f"""\
        jobs:
        - name: A
          exec: |
            throw {thrown};
          catch: log(error instanceof Error, error.name, error.message);
        todo: [A]
        """
    )
    assert reported[0] == f"A: {seen}"


@pytest.mark.parametrize(
    ("code", "catch", "recorded"),
    [
        ('throw new Error("risky")', '$job("oJobManager Error", {name: "x"})', "Error: risky"),
        (
            'try { null.field } catch (e) { $job("oJobManager Error", {name: "x"}); throw e }',
            "log(error)",
            "TypeError: cannot read property 'field' of null",
        ),
    ],
)
def test_the_error_that_the_code_catches_is_recorded(
    run: Callable[..., Any], manager: JobManager, code: str, catch: str, recorded: str
) -> None:
    """`oJobManager Error` finds it: under `catch`, and in the body."""
    run(
        f"""\
        include: [oJobManager.yaml]
        jobs:
        - name: A
          from: oJobManager Job Start
          args: {{name: x}}
          exec: |
            {code}
          catch: |
            {catch}
        todo: [A]
        """
    )
    (run_record,) = manager.runs()
    assert run_record["inError"]
    assert run_record["error"].endswith(recorded)
