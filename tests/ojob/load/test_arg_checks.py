"""Args that no step of a job reads, beside bundled jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ojobchannels.errors import InvalidJobArgs, JobFileError
from ojobchannels.ojob import check_file
from ojobchannels.ojob.args.pack_jobs import PACK_JOBS
from ojobchannels.ojob.load.includes import bundled_jobs

if TYPE_CHECKING:
    from tests.ojob.conftest import Run

MANAGED = """\
include: [oJobManager.yaml]
ojob: {lang: LANG}
jobs:
- name: Work
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: ARGS
  exec: |
    CODE
"""


def diagnostics(folder: Path, text: str) -> list[str]:
    """Check a job file, and return what is wrong with it."""
    path = folder / "f.yaml"
    path.write_text(text)
    try:
        check_file(path)
    except JobFileError as error:
        return [
            f"{each.line}:{each.column} {each.message}; {each.hint}" for each in error.diagnostics
        ]
    return []


def managed(args: str, code: str = "pass", lang: str = "python") -> str:
    """Return a file with one managed job."""
    return MANAGED.replace("ARGS", args).replace("CODE", code).replace("LANG", lang)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("{name: x, timeuot: 5}", "arg `timeuot`; did you mean `timeout`?"),
        ("{name: x, chjobs: {type: db}}", "arg `chjobs`; did you mean `chJobs`?"),
        ("{nmae: x}", "arg `nmae`; did you mean `name`?"),
        ("{name: x, colour: red}", "arg `colour`; known: `chJobs`, `chLocks`, `e`, "),
        ("{name: x, timeout: 60s}", "`timeout` is '60s'; pass milliseconds"),
        ("{name: x, timeout: true}", "`timeout` is True; pass milliseconds"),
        ("{name: [x]}", "`name` is ['x']; pass the name of the run"),
    ],
)
def test_an_arg_that_nothing_reads_is_reported(tmp_path: Path, args: str, message: str) -> None:
    """With the closest known name, or all of them; so is a value that a bundled job refuses."""
    (found,) = diagnostics(tmp_path, managed(args))
    assert found.startswith("8:")
    assert message in found


@pytest.mark.parametrize(
    ("code", "lang"),
    [
        ('log(args["timeuot"])', "python"),
        ('log(args.get("timeuot", 1), args["name"])', "python"),
        ('echo "$timeuot"', "shell"),
        ("jq .timeuot", "shell"),
    ],
)
def test_an_arg_that_the_code_reads_is_free(tmp_path: Path, code: str, lang: str) -> None:
    """Even if its name is like that of another one."""
    assert diagnostics(tmp_path, managed("{name: x, timeuot: 5}", code, lang)) == []


@pytest.mark.parametrize(
    ("code", "lang"),
    [("print(args)", "python"), ("for key in args: log(key)", "python"), ("./run", "shell")],
)
def test_code_that_uses_all_args_reads_any_but_an_obvious_slip(
    tmp_path: Path, code: str, lang: str
) -> None:
    """A name much like one that is missing is reported even there."""
    assert diagnostics(tmp_path, managed("{name: x, names: [y], colour: 5}", code, lang)) == []
    assert diagnostics(tmp_path, managed("{name: x, timeouts: [1], timeout: 1}", code, lang)) == []
    (found,) = diagnostics(tmp_path, managed("{name: x, timeuot: 5}", code, lang))
    assert "did you mean `timeout`?" in found


@pytest.mark.parametrize(
    "more",
    [
        "  check: {in: {colour: isString}}",
        "  typeArgs: {lock: 'paint-{{colour}}'}",
        "- {name: Other, from: Work, exec: 'log(args[\"colour\"])'}",
        "- {name: Other, to: [Work, Third]}\n- {name: Third, exec: 'log(args[\"colour\"])'}",
    ],
)
def test_an_arg_is_known_by_a_rule_a_template_or_another_step(tmp_path: Path, more: str) -> None:
    """Steps of one call share their args; so those of a part may be for the jobs around it."""
    assert diagnostics(tmp_path, f"{managed('{name: x, colour: red}')}{more}\n") == []
    assert len(diagnostics(tmp_path, managed("{name: x, colour: red}"))) == 1


def test_an_arg_of_a_todo_entry_is_known_by_its_own_template(tmp_path: Path) -> None:
    """A template in the args uses another arg."""
    todo = "todo:\n- name: Work\n  args: {name: 'x-{{day}}', day: 1, hour: 2}\n"
    (found,) = diagnostics(tmp_path, managed("{}") + todo)
    assert found.startswith("13:37 no step of 'Work' reads the arg `hour`")


def test_args_in_code_are_checked_by_their_names(tmp_path: Path) -> None:
    """At the literal key, for jobs that are called and launched."""
    code = 'job("oJobManager Init", {"chjobs": 1}); launch("Work", {"Timeout": 1, "more": 2})'
    found = diagnostics(tmp_path, f"{managed('{name: x}')}- name: Other\n  exec: |\n    {code}\n")
    assert found == [
        "13:30 'oJobManager Init' has no arg `chjobs`; did you mean `chJobs`?",
        "13:61 no step of 'Work' reads the arg `Timeout`; did you mean `timeout`?",
    ]


def test_an_arg_in_code_that_is_a_slip_for_one_in_a_template_is_reported(tmp_path: Path) -> None:
    """Other args of a launch may be data that the job does not use."""
    launch = 'launch("Work", {"batchid": 1, "items": []})'
    work = managed("{name: 'x-{{batchId}}'}")
    (found,) = diagnostics(tmp_path, f"{work}- {{name: Other, exec: '{launch}'}}\n")
    assert "reads the arg `batchid`; did you mean `batchId`?" in found


def test_args_that_only_a_run_shows_are_checked_then(run: Run) -> None:
    """A bundled job refuses what it does not take, unless the caller passes on its own args."""
    call = "job('oJobManager Init', {'ch' + 'jobs': {'type': 'simple'}})"
    result, _ = run(f"""jobs: [{{name: A, exec: "{call}"}}]\ntodo: [A]\n""")
    assert str(result.outcomes[0].error) == (
        "job 'A': 'oJobManager Init' has no arg `chjobs`; did you mean `chJobs`?"
    )
    text = "jobs: [{name: A, args: {chjobs: 1}, exec: \"job('oJobManager Init', args)\"}]\n"
    result, _ = run(f"{text}todo: [A]\n")
    assert result.exit_status == 0


def test_a_slip_on_the_command_line_is_reported_before_anything_runs(run: Run) -> None:
    """If it looks like an arg of a bundled job, and no code reads it; other args are free."""
    text = "jobs: [{name: A, from: oJobManager Job Start, exec: log(args)}]\ntodo: [A]\n"
    with pytest.raises(InvalidJobArgs, match="no job reads the arg `timeuot`; did you mean `timeo"):
        run(text, name="x", timeuot=5)
    result, _ = run(text, name="x", more=1)
    assert result.outcomes[0].run_names == ("x",)


def test_a_job_without_bundled_steps_takes_any_args(tmp_path: Path) -> None:
    """They are the author's own."""
    text = "jobs: [{name: A, args: {timeuot: 1}, exec: pass}]\ntodo: [{name: A, args: {b: 2}}]\n"
    assert diagnostics(tmp_path, text) == []


def test_every_bundled_job_declares_its_args() -> None:
    """So that none is checked by accident, or not at all."""
    assert PACK_JOBS.keys() == bundled_jobs().keys()
