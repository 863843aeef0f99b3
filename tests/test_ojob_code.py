"""The code of jobs: Python as it is written, with tracebacks that lead into the job file."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from textwrap import dedent

import pytest

from ojobchannels.ojob import RunResult, run_file


def run(folder: Path, text: str) -> RunResult:
    path = folder / "f.yaml"
    path.write_text(dedent(text))
    return run_file(path)


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if " | " not in line]


def test_return_ends_a_body(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(
        tmp_path,
        """\
        jobs:
        - name: A
          exec: |
            print("before")
            if True:
                return
            print("after")
        todo: [A]
        """,
    )
    assert result.exit_status == 0
    assert printed(capsys) == ["before"]


def test_text_over_several_lines_is_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        tmp_path,
        '''\
        jobs:
        - name: A
          exec: |
            text = """one
              two
            three"""
            print(repr(text))
        todo: [A]
        ''',
    )
    assert printed(capsys) == [repr("one\n  two\nthree")]


def test_functions_classes_and_comprehensions_see_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(
        tmp_path,
        """\
        jobs:
        - name: A
          exec: |
            import math
            scale = 2
            def area(r):
                return scale * math.floor(math.pi * r) if r else area(1)
            class Box:
                size = area(0)
            print([area(n) + Box.size for n in range(2)])
        todo: [A]
        """,
    )
    assert result.exit_status == 0
    assert printed(capsys) == ["[12, 12]"]


def test_a_block_may_reuse_the_names_at_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(
        tmp_path,
        """\
        jobs:
        - name: A
          exec: |
            log("as usual")
            for job in ["x", "y"]:
                print(job)
            channel = 5
            print(channel)
        todo: [A]
        """,
    )
    assert result.exit_status == 0
    assert printed(capsys) == ["x", "y", "5"]


def test_args_replaced_by_something_else_fail_the_job(tmp_path: Path) -> None:
    result = run(tmp_path, "jobs: [{name: A, exec: 'args = 5'}]\ntodo: [A]\n")
    assert "it put 5 in the place of `args`" in str(result.outcomes[0].error)


def test_a_traceback_shows_the_lines_of_the_file_and_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text(
        dedent("""\
        jobs:
        - name: Divide Rows
          exec: |

            # a comment, and an empty line above

            def divide(row):
                return row["a"] / row["b"]

            divide({"a": 1, "b": 0})
        - name: Caller
          exec: |
            job("Divide Rows")
        todo: [Caller]
        """)
    )
    error = run_file("f.yaml").outcomes[0].error
    assert error is not None
    lines = "".join(traceback.format_exception(error)).splitlines()
    assert "           ~~~~~~~~~^~~~~~~~~~" in lines
    assert [line for line in lines if line.strip(" ~^")] == [
        "Traceback (most recent call last):",
        '  File "f.yaml", line 13, in Caller',
        '    job("Divide Rows")',
        '  File "f.yaml", line 10, in Divide Rows',
        '    divide({"a": 1, "b": 0})',
        '  File "f.yaml", line 8, in divide',
        '    return row["a"] / row["b"]',
        "ZeroDivisionError: division by zero",
    ]


@pytest.mark.parametrize("exec", ["1 / 0", "'1 / 0'", '"x = 1\\n1 / 0"', ">\n    1 /\n    0"])
def test_code_in_any_yaml_style_is_traced_to_where_it_begins(tmp_path: Path, exec: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(f"jobs:\n- name: A\n  exec: {exec}\ntodo: [A]\n")
    error = run_file(path).outcomes[0].error
    assert isinstance(error, ZeroDivisionError)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    assert (frame.filename, frame.lineno) == (str(path), 3)


def test_json_files_run_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "f.json"
    path.write_text(json.dumps({"jobs": [{"name": "A", "exec": "x = 1\nprint(x)"}], "todo": ["A"]}))
    assert run_file(path).exit_status == 0
    assert printed(capsys) == ["1"]


def test_sys_exit_fails_the_job_and_not_the_run(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        "jobs: [{name: A, exec: 'import sys; sys.exit(3)'}, {name: B}]\ntodo: [A, B]\n",
    )
    assert [one.status for one in result.outcomes] == ["failed", "completed"]
    assert result.exit_status == 1
