"""Python code of jobs: how it runs, with tracebacks that show the job file."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from textwrap import dedent

import pytest

from ojobchannels.ojob import RunResult, check_file, run_file


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


def test_a_string_of_several_lines_is_unchanged(
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


def test_a_block_can_reassign_the_helpers(
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


def test_args_replaced_by_another_type_fail_the_job(tmp_path: Path) -> None:
    result = run(tmp_path, "jobs: [{name: A, exec: 'args = 5'}]\ntodo: [A]\n")
    assert "it replaced `args` by 5" in str(result.outcomes[0].error)


def test_a_traceback_shows_the_lines_of_the_file_and_no_internal_frames(
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
    assert [line for line in lines[1:] if line.strip(" ~^")] == [
        '  File "f.yaml", line 13, in Caller',
        '    job("Divide Rows")',
        '  File "f.yaml", line 10, in Divide Rows',
        '    divide({"a": 1, "b": 0})',
        '  File "f.yaml", line 8, in divide',
        '    return row["a"] / row["b"]',
        f"ZeroDivisionError: {error}",
    ]


def traceback_of(path: Path) -> list[str]:
    """Run a file whose first job fails, and return the lines of its traceback."""
    error = run_file(path).outcomes[0].error
    assert isinstance(error, ZeroDivisionError)
    return "".join(traceback.format_exception(error)).splitlines()[1:-1]


@pytest.mark.parametrize(
    ("form", "lines"),
    [
        ("exec: 1 / 0", ['  File "f.yaml", line 3, in A', "    exec: 1 / 0", "          ~~^~~"]),
        ("exec: 'ä = 1 / 0'", [None, "    exec: 'ä = 1 / 0'", "               ~~^~~"]),
        ("exec: |+\n\n    x = 0\n    'ä', 1 / x\n", [None, "    'ä', 1 / x", "         ~~^~~"]),
        ("exec: >\n    1 / 0\n", ['  File "f.yaml", line 4, in A', "    1 / 0", "    ~~^~~"]),
    ],
)
def test_code_whose_lines_are_lines_of_the_file_is_traced_to_them(
    form: str, lines: list[str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback has the line of the file, with carets under the right part of it."""
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text(f"jobs:\n- name: A\n  {form}\ntodo: [A]\n")
    for found, expected in zip(traceback_of(Path("f.yaml")), lines, strict=True):
        assert expected in (found, None)


@pytest.mark.parametrize(
    ("form", "line", "column", "at"),
    [
        ('exec: "x = 1\\n1 / 0"', 3, 9, 2),
        ("exec: 'x = ''1''\n\n    1 / 0'", 3, 9, 2),
        ("exec: >-\n    x = 1\n\n    1 / 0\n", 3, 9, 2),
        ("exec:\n    (1, 2,\n     1 / 0)", 4, 5, 1),
        ("args: {}\n  exec: &x 'x = 1\n\n    1 / 0'", 4, 9, 2),
        ('exec: "\\r\\r\\n1 / 0"', 3, 9, 3),
    ],
)
def test_code_that_yaml_has_joined_is_traced_to_its_own_lines(
    form: str,
    line: int,
    column: int,
    at: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A traceback never shows a wrong line: it shows the code, and where it begins in the file."""
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text(f"jobs:\n- name: A\n  {form}\ntodo: [A]\n")
    config, shown, carets = traceback_of(Path("f.yaml"))
    assert config == f'  File "f.yaml, code from line {line}, column {column}", line {at}, in A'
    start, end = carets.index("~"), carets.rindex("~") + 1
    assert shown[start:end] == "1 / 0"


def test_json_code_is_traced_to_its_own_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code on one line of JSON is shown as the lines that its escapes produce."""
    monkeypatch.chdir(tmp_path)
    jobs = [{"name": "A", "exec": "x = 0\nprint('ä', 1 / x)"}]
    Path("f.json").write_text(json.dumps({"jobs": jobs, "todo": ["A"]}, indent=1))
    assert traceback_of(Path("f.json")) == [
        '  File "f.json, code from line 5, column 12", line 2, in A',
        "    print('ä', 1 / x)",
        "               ~~^~~",
    ]


def test_json_files_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_a_warning_of_the_compiler_points_at_the_line_of_the_file(tmp_path: Path) -> None:
    """It is issued by the check, although a block is compiled at its first run."""
    path = tmp_path / "f.yaml"
    path.write_text("jobs:\n- name: A\n  exec: |\n    x = 1\n    assert (x, 'always true')\n")
    with pytest.warns(SyntaxWarning) as warned:
        check_file(path)
    assert [(one.filename, one.lineno) for one in warned] == [(str(path), 5)]


def test_a_block_that_returns_a_coroutine_fails_its_job(tmp_path: Path) -> None:
    """Nothing would await it."""
    result = run(
        tmp_path,
        """
        jobs:
        - name: Work
          exec: |
            async def main():
                log("never")
            return main()
        todo: [Work]
        """,
    )
    assert "it returned a coroutine, whose work would be done" in str(result.outcomes[0].error)
