"""Args that a job file declares as secret."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.errors import InvalidJobArgs
from ojobchannels.manager import JobManager
from ojobchannels.ojob import check_file, run_file

FILE = """\
include: [oJobManager.yaml]
help:
  text: Loads.
  expects:
  - {{name: licence, secret: true, options: [A-11, B-22]}}
jobs:
- name: Load
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {{name: Load, password: hunter2}}
  check:
    in:
      pin: {{rule: toNumber, secret: true}}
      code: isString.secret
      password: isString
  exec: |
    raise ValueError(f"{{args['pin']}} {{args['code']}} {{args['licence']}} {{args['password']}}")
todo:
- name: oJobManager Init
  args: {{chJobs: {config}, chLocks: {config}}}
- Load
"""

_LINES = """\
include: [oJobBasics.yaml]
help: {{expects: [{{name: pin, secret: true}}]}}
ojob: {{logToFile: {{logFolder: '{folder}'}}}}
todo: [A]
jobs:
- name: Skip
  exec: skip("pin is " + args["pin"])
- name: A
  """


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the records are."""
    return tmp_path / "jobs.db"


@pytest.fixture
def path(tmp_path: Path, database: Path) -> Path:
    """A job file with secrets."""
    file = tmp_path / "f.yaml"
    file.write_text(FILE.format(config=f"{{type: db, args: {{file: '{database}'}}}}"))
    return file


def record(database: Path) -> dict[str, Any]:
    config = {"type": "db", "args": {"file": str(database)}}
    with JobManager(config, config) as manager:
        return next(iter(manager.runs("Load")))


def test_declared_args_are_masked_in_records_and_output(
    path: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `secret` under `check.in` and under `expects`, and by their names."""
    result = run_file(path, {"pin": "47110815", "code": "swordfish", "licence": "A-11"})
    assert result.exit_status == 1
    kept = record(database)
    assert kept["args"] == dict.fromkeys(("pin", "code", "licence", "password"), "***")
    assert kept["error"] == "ValueError: *** *** *** ***"
    shown = capsys.readouterr()
    assert "ValueError: *** *** *** ***" in shown.err
    for secret in ("47110815", "swordfish", "A-11", "hunter2"):
        assert secret not in shown.out + shown.err + str(kept)


def test_a_refused_value_is_not_quoted(
    path: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error gives the name of the arg and what is expected."""
    run_file(path, {"pin": "four", "code": "x", "licence": "A-11"})
    assert "`pin` is ***, not a number" in record(database)["error"]
    assert "four" not in capsys.readouterr().err
    with pytest.raises(InvalidJobArgs, match=r"`licence` is \*\*\*; it must be one of"):
        run_file(path, {"licence": "C-33"})


@pytest.mark.parametrize(
    ("job", "line"),
    [
        ("exec: |\n    log('pin is', args['pin'])", "pin is ***"),
        ("exec: |\n    log_err('pin is', args['pin'])", "pin is ***"),
        ("lang: shell\n  exec: echo pin is $pin", "pin is ***"),
        ("typeArgs: {timeout: 60000, onTimeout: kill}\n  exec: log(args['pin'])", "| ***"),
        ("exec: |\n    job('oJob Print args', {'_path': 'x', 'x': args['pin']})", "| ***"),
        ("exec: raise ValueError(args['pin'])", "ValueError: ***"),
        ("from: Skip", "skipped: pin is ***"),
    ],
)
def test_lines_of_a_job_are_masked_on_the_console_and_in_log_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], job: str, line: str
) -> None:
    """Of Python here and in a process of its own, of a shell, and of a bundled pack."""
    file = tmp_path / "f.yaml"
    file.write_text(_LINES.format(folder=tmp_path / "logs") + job)
    run_file(file, {"pin": "swordfish"})
    shown = "".join(capsys.readouterr())
    (log,) = (tmp_path / "logs").iterdir()
    for text in (shown, log.read_text()):
        assert line in text
        assert "swordfish" not in text


@pytest.mark.parametrize("rule", ["{secret: 1}", "{rules: isString}", "{rule: 1, secret: true}"])
def test_an_invalid_rule_is_reported(tmp_path: Path, rule: str) -> None:
    """With its line."""
    file = tmp_path / "f.yaml"
    file.write_text(
        dedent(
            f"""\
            jobs:
            - name: A
              check: {{in: {{x: {rule}}}}}
            todo: [A]
            """
        )
    )
    with pytest.raises(oc.JobFileError) as caught:
        check_file(file)
    assert caught.value.diagnostics[0].line == 3
