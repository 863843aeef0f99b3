"""What the files and jobs of a run share: included jobs, `init`, modules under `code`."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from ojobchannels.errors import InvalidJobArgs, JobFileError
from ojobchannels.ojob import check_file, run_file

if TYPE_CHECKING:
    from ojobchannels.ojob import JobFile
    from tests.ojob.conftest import RecordingOutput


Lines = Callable[..., list[str]]


@pytest.fixture
def lines(tmp_path: Path, reported: RecordingOutput) -> Lines:
    """Run a job file that is written beside others, and return its reported lines."""

    def run(main: str, others: dict[str, str] | None = None, **args: Any) -> list[str]:
        for name, text in {"main": main, **(others or {})}.items():
            (tmp_path / f"{name}.yaml").write_text(dedent(text))
        run_file(tmp_path / "main.yaml", args, reported)
        return reported.lines

    return run


def checked(tmp_path: Path, **files: str) -> JobFile:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(dedent(text))
    return check_file(tmp_path / "main.yaml")


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        checked(tmp_path, main=text)
    return [str(one).removeprefix(str(tmp_path) + "/") for one in caught.value.diagnostics]


PARTS = """
help: {text: Not reported}
jobs: [{name: Part, exec: log("part")}]
todo: [Part]
"""


def test_jobs_include_takes_the_jobs_without_the_todo_and_the_help(tmp_path: Path) -> None:
    """This also holds for the files that the included file includes."""
    file = checked(
        tmp_path,
        main="jobsInclude: whole.yaml\njobs: [{name: Main}]\ntodo: [Main]",
        whole="include: [parts.yaml]\njobs: [{name: Whole}]\ntodo: [Whole]",
        parts=PARTS,
    )
    assert set(file.jobs) == {"Part", "Whole", "Main"}
    assert [entry.job for entry in file.todo] == ["Main"]
    assert file.help.text == ""


@pytest.mark.parametrize("keys", [("include", "jobsInclude"), ("jobsInclude", "include")])
def test_a_file_that_is_included_both_ways_is_included_whole(
    tmp_path: Path, keys: tuple[str, str]
) -> None:
    """In either order."""
    by, other = keys
    file = checked(
        tmp_path,
        main="include: [one.yaml, two.yaml]\njobs: [{name: Main}]\ntodo: [Main]",
        one=f"{by}: parts.yaml",
        two=f"{other}: parts.yaml",
        parts=PARTS,
    )
    assert [entry.job for entry in file.todo] == ["Part", "Main"]
    assert len(file.files) == 4


def test_a_missing_file_under_jobs_include_is_reported_with_its_position(tmp_path: Path) -> None:
    """Like a missing file under `include`."""
    (fault,) = faults(tmp_path, "jobsInclude:\n- oJobManager.yaml\n- gone.yaml\ntodo: []\n")
    assert fault.startswith("main.yaml:3:3: jobsInclude[1]: there is no `gone.yaml`")


def test_every_job_has_init_in_its_args(lines: Lines) -> None:
    """It is merged over included files, with templates of the command line's args."""
    reported = lines(
        """
        include: other.yaml
        init: {place: {host: here}, day: "${day:-today}"}
        jobs:
        - {name: A, exec: 'log(args["init"]["place"], args["init"]["day"])'}
        - {name: B, args: {where: "{{init.place.host}}"}, exec: 'log(args["where"]); job("A")'}
        todo: [A, B]
        """,
        {"other": "init: {place: {host: there, port: 80}, day: never}"},
        day="Monday",
    )
    assert reported == [
        "A: {'host': 'here', 'port': 80} Monday",
        "A completed",
        "B: here",
        "A: {'host': 'here', 'port': 80} Monday",
        "A completed",
        "B completed",
    ]


def test_changes_of_init_by_a_job_are_not_seen_by_others(lines: Lines) -> None:
    """Each call has a copy."""
    reported = lines(
        """
        init: {list: [1]}
        jobs:
        - {name: A, exec: 'args["init"]["list"].append(2); log(args["init"]["list"])'}
        todo: [A, A]
        """
    )
    assert reported == ["A: [1, 2]", "A completed"] * 2


def test_the_templates_of_init_are_checked_with_the_file(tmp_path: Path) -> None:
    """Diagnostics have their positions."""
    assert faults(tmp_path, "init:\n  day: '{{#if x}}'\ntodo: []\n") == [
        "main.yaml:2:8: init.day: `{{#if x}}` is not a valid template; write {{name}} or "
        "${name:-default}, or put a backslash before it to use it literally"
    ]


MODULES = """
code:
  helpers.py: |
    import constants
    count = 0

    def label(order):
        global count
        count += 1
        return f"{constants.WORD} {order}, {count}"

    def fail():
        raise ValueError("so it is")
  constants.py: WORD = "order"
jobs:
- name: A
  exec: |
    from helpers import label
    log(label(1))
- name: B
  exec: |
    import helpers, json
    log(helpers.label(2), json.dumps(3))
todo: [A, B]
"""


def test_code_can_import_the_modules_of_its_file(lines: Lines) -> None:
    """Each is executed once in a run, for all jobs; other modules are imported as usual."""
    assert lines(MODULES) == ["A: order 1, 1", "A completed", "B: order 2, 2 3", "B completed"]
    assert "helpers" not in sys.modules


def test_each_run_has_modules_of_its_own(lines: Lines, reported: RecordingOutput) -> None:
    """State that one run leaves in a module does not exist in the next."""
    lines(MODULES)
    reported.lines.clear()
    assert lines(MODULES)[0] == "A: order 1, 1"


def test_a_module_of_the_file_takes_precedence_over_an_installed_one(lines: Lines) -> None:
    """This holds in the code of the file only."""
    text = (
        "code: {json.py: 'dumps = len'}\njobs:\n- name: A\n  exec: |\n    import json\n"
        "    log(json.dumps('four'))\ntodo: [A]"
    )
    assert lines(text) == ["A: 4", "A completed"]


def test_a_traceback_shows_a_line_of_the_module(tmp_path: Path, reported: RecordingOutput) -> None:
    """The line is that of the job file."""
    text = MODULES.replace("log(label(1))", "import helpers; helpers.fail()")
    path = tmp_path / "main.yaml"
    path.write_text(text)
    result = run_file(path, {}, reported)
    error = result.outcomes[0].error
    assert isinstance(error, ValueError)
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert (last.filename, last.line) == (str(path), 'raise ValueError("so it is")')


_CLASSES = """
code:
  orders.py: |
    from __future__ import annotations
    from dataclasses import dataclass

    @dataclass
    class Order:
        number: int
        lines: list[str]

    def double(n):
        return 2 * n
jobs:
- name: A
  exec: |
    import multiprocessing, pickle, typing
    from concurrent.futures import ProcessPoolExecutor
    from dataclasses import dataclass
    from orders import Order, double
    @dataclass
    class Line:
        text: "str"
        next: "Line | None" = None
    def length(line):
        return len(line.text)
    log(pickle.loads(pickle.dumps(Line("a"))), typing.get_type_hints(Line)["text"])
    log(pickle.loads(pickle.dumps(Order(17, ["a"]))), typing.get_type_hints(Order)["number"])
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        log(*pool.map(double, [1, 2]), *pool.map(length, [Line("abc")]))
todo: [A]
"""


def test_classes_of_blocks_and_modules_are_data_classes_with_type_hints(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They can be pickled too, also where another module of the process has the same name."""
    expected = [
        "A: Line(text='a', next=None) <class 'str'>",
        "A: Order(number=17, lines=['a']) <class 'int'>",
        "A: 2 4 3",
        "A completed",
    ]
    assert lines(_CLASSES) == expected
    assert "orders" not in sys.modules
    monkeypatch.setitem(sys.modules, "orders", ModuleType("orders"))
    assert lines(_CLASSES)[-4:] == expected
    assert not vars(sys.modules["orders"]).get("Order")


def test_a_module_that_fails_is_executed_again_at_the_next_import(lines: Lines) -> None:
    """No half-initialised module remains."""
    reported = lines(
        """
        code: {broken.py: 'import gone_for_good'}
        jobs:
        - {name: A, exec: import broken}
        - {name: B, exec: import broken}
        todo: [A, B]
        """
    )
    assert [line for line in reported if "gone_for_good" in line] == reported
    assert len(reported) == 2


def test_errors_of_modules_are_reported_with_their_positions(tmp_path: Path) -> None:
    """Invalid Python, a module of another language, and a module that is not text."""
    found = faults(tmp_path, "code:\n  a.py: |\n    x = 1\n    y = = 2\n  b.js: x\n  c.py: 3\n")
    assert [one.split(": ")[0] for one in found] == [
        "main.yaml:4:9",
        "main.yaml:5:3",
        "main.yaml:6:9",
    ]
    assert "`b.js` is not the file name of a Python module; name it like `helpers.py`" in found[1]
    assert "expected a string, found the number 3" in found[2]


HELP = """
help:
  text: Loads the orders of a day.
  expects:
  - {name: day, desc: the day to load, example: 2026-11-22, mandatory: true}
  - {name: mode, options: [fast, careful]}
  - {name: parts, moptions: [a, b]}
  - {name: port, options: ["80", 8080]}
jobs: [{name: A, exec: 'log(args["day"])'}]
todo: [A]
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "`day` (the day to load) is missing: pass day=2026-11-22"),
        ({"day": 1, "mode": "slow"}, '`mode` is "slow"; it must be one of fast, careful'),
        ({"day": 1, "parts": "a, c"}, '`parts` contains " c"; allowed values: a, b'),
        ({"mode": 1}, "is missing: pass day=2026-11-22; `mode` is 1; it must be one of fast"),
    ],
)
def test_expected_arguments_are_checked_before_anything_runs(
    lines: Lines, reported: RecordingOutput, given: dict[str, Any], expected: str
) -> None:
    """All that are missing or invalid are reported at once, with a pointer to `--help`."""
    with pytest.raises(InvalidJobArgs) as caught:
        lines(HELP, **given)
    assert expected in str(caught.value)
    assert str(caught.value).endswith("main.yaml --help` lists the arguments")
    assert reported.lines == []


def test_a_run_with_all_expected_arguments_runs(lines: Lines) -> None:
    """`moptions` accepts a list too, and choices are compared as text."""
    assert lines(HELP, day="x", mode="fast", parts=["a", "b"], port=80) == ["A: x", "A completed"]


def test_expected_arguments_override_those_of_included_files(tmp_path: Path) -> None:
    """Argument by argument; the help text too, if the file has one."""
    file = checked(
        tmp_path,
        main="include: other.yaml\nhelp: {expects: [{name: b, desc: ours}]}\ntodo: []",
        other="help: {text: Theirs, expects: [{name: a}, {name: b, desc: theirs}]}",
    )
    assert file.help.text == "Theirs"
    assert [(one.name, one.desc) for one in file.help.expects.values()] == [
        ("a", ""),
        ("b", "ours"),
    ]
