"""The command line as a whole: its help, its errors, its start-up, and how it finds channels."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import click
import pytest

import ojobchannels as oc
from ojobchannels.cli import COMMANDS, cli, errors
from ojobchannels.errors import InvalidOption
from ojobchannels.host import terminal

pytestmark = pytest.mark.kit  # on one interpreter: most of the time goes into starting programs

Ojob = Callable[..., subprocess.CompletedProcess[str]]
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
READING: dict[str, tuple[str, ...]] = {
    "jobs": (),
    "history": (),
    "report": (),
    "locks": (),
    "unlock": ("nightly", "--yes"),
    "prune": ("--older-than", "7d"),
}
NAMED_FILE = """
include: [oJobManager.yaml]
jobs:
- name: Open
  to: oJobManager Init
  args:
    chJobs: {type: db, args: {file: by-file.db}}
    chLocks: {type: db, args: {file: by-file.db}}
todo: [Open]
"""
BARE_FILE = """
include: [oJobManager.yaml]
jobs:
- name: Work
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {name: work}
todo: [oJobManager Init, Work]
"""
INVALID_FILE = """
jobs:
- name: Work
  exce: pass
todo: [Wrok]
"""


@pytest.fixture(params=READING)
def reader(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The words of one command that reads existing channels."""
    name: str = request.param
    return (name, *READING[name])


def record_a_run(folder: Path, file: str, job: str) -> None:
    url = f"sqlite:////{folder / file}"
    with oc.JobManager(url, url) as manager, manager.run(job):
        pass


def test_help_lists_every_command(ojob: Ojob) -> None:
    done = ojob("--help")
    assert done.returncode == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in done.stdout] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_text(ojob: Ojob, command: str) -> None:
    done = ojob(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: ojob {command}" in done.stdout


def test_version_is_the_version_of_the_distribution(ojob: Ojob) -> None:
    assert ojob("--version").stdout == f"ojob {oc.__version__}\n"


@pytest.mark.skipif("COVERAGE_PROCESS_CONFIG" in os.environ, reason="coverage imports sqlite3")
def test_help_imports_no_heavy_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ojobchannels", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "ojobchannels.cli.runs" in imported
    heavy = ("ojobchannels.manager", "ojobchannels.ojob", "pydantic", "ruamel", "sqlite3", "tinydb")
    assert {name for name in imported if name.startswith(heavy)} == set()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("jbos", "unknown command 'jbos'; did you mean 'jobs'? (see ojob --help)"),
        ("x", "unknown command 'x' (see ojob --help)"),
        ("f.yaml", "unknown command 'f.yaml'; to run this job file: ojob run f.yaml"),
        ("--hepl", "unknown option '--hepl'; did you mean '--help'? (see ojob --help)"),
        (
            "history --limt 3",
            "unknown option '--limt'; did you mean '--limit'? (see ojob history --help)",
        ),
        (
            "history --limit",
            "*'--limit'* (see ojob history --help)",
        ),
        ("run", "*'FILE'* (see ojob run --help)"),
        ("prune", "*'--older-than'* (see ojob prune --help)"),
        ("check a b", "*(b)* (see ojob check --help)"),
        ("run f.yaml day", "command line: 'day' is not an argument; write key=value"),
    ],
)
def test_a_wrong_call_exits_with_2_and_a_line_of_advice(
    ojob: Ojob, call: str, message: str
) -> None:
    """The line has the closest known name, and the help to read."""
    done = ojob(*call.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert fnmatch(done.stderr, f"ojob: {message}\n"), done.stderr


def test_without_a_command_the_help_is_printed_on_stderr(ojob: Ojob) -> None:
    """The exit status is 2, since the command line is wrong."""
    done = ojob()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ojob("--help").stdout


def test_without_a_location_the_error_lists_the_ways_to_set_it(
    ojob: Ojob, reader: tuple[str, ...]
) -> None:
    done = ojob(*reader)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ojob: the location of the ")
    assert done.stderr.count("\n") == 1
    for way in ("--file", "--jobs", "OJOB_FILE", "OJOB_JOBS"):
        assert way in done.stderr


@pytest.mark.parametrize("url", ["sqlite:///no/jobs.db", "file:no/jobs.json"])
def test_a_reading_command_creates_no_file(
    ojob: Ojob, reader: tuple[str, ...], url: str, tmp_path: Path
) -> None:
    done = ojob(*reader, "--jobs", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no file 'no/jobs." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_channels_in_memory_cannot_be_read(ojob: Ojob, reader: tuple[str, ...]) -> None:
    done = ojob(*reader, "--jobs", "simple://")
    assert done.returncode == 2
    assert "'simple'" in done.stderr
    assert "such as db" in done.stderr


def test_a_path_instead_of_a_url_is_answered_with_the_url(ojob: Ojob) -> None:
    done = ojob("jobs", "--jobs", "data/jobs.db")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "sqlite:///data/jobs.db" in done.stderr
    assert "file:data/jobs.db" in done.stderr


def test_a_url_that_is_not_valid_is_one_line(ojob: Ojob) -> None:
    """As it is where a job file has it."""
    done = ojob("jobs", "--jobs", "redis://[::1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "invalid channel URL: 'redis://[::1'" in done.stderr


def test_an_invalid_url_is_shown_without_its_password(ojob: Ojob) -> None:
    """The user and the password are hidden."""
    done = ojob("jobs", "--jobs", "//job:pa55@localhost/0")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pa55" not in done.stderr


def test_a_file_that_configures_no_channels_is_an_error_with_advice(
    ojob: Ojob, tmp_path: Path
) -> None:
    (tmp_path / "bare.yaml").write_text(BARE_FILE, encoding="utf-8")
    for done in (ojob("jobs", "--file", "bare.yaml"), ojob("jobs", OJOB_FILE="bare.yaml")):
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith("ojob: bare.yaml does not configure its channels")


def test_a_run_with_an_invalid_url_is_rejected_before_any_job_runs(
    ojob: Ojob, tmp_path: Path
) -> None:
    (tmp_path / "bare.yaml").write_text(BARE_FILE, encoding="utf-8")
    done = ojob("run", "bare.yaml", "--jobs", "data/jobs.db")
    assert (done.returncode, done.stdout) == (2, "")
    assert "sqlite:///data/jobs.db" in done.stderr


def test_a_channel_type_that_is_not_installed_is_an_error(ojob: Ojob) -> None:
    done = ojob("jobs", "--jobs", "nosuch://here")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ojob: unknown channel type 'nosuch://'")


def test_a_file_that_is_not_a_database_is_an_error_and_left_unchanged(
    ojob: Ojob, reader: tuple[str, ...], tmp_path: Path
) -> None:
    letter = tmp_path / "letter.db"
    letter.write_text("Dear reader,\n" * 100, encoding="utf-8")
    done = ojob(*reader, "--jobs", "sqlite:///letter.db")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("ojob: ")
    assert letter.read_text(encoding="utf-8") == "Dear reader,\n" * 100


def test_options_override_the_file_and_the_file_overrides_the_environment(
    ojob: Ojob, tmp_path: Path
) -> None:
    for name in ("by-option", "by-file", "by-environment"):
        record_a_run(tmp_path, f"{name}.db", name)
    (tmp_path / "named.yaml").write_text(NAMED_FILE, encoding="utf-8")
    option, file = ("--jobs", "sqlite:///by-option.db"), ("--file", "named.yaml")
    url = "sqlite:///by-environment.db"

    def seen(*words: str, **environment: str) -> str:
        done = ojob("history", *words, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()[1].split()[2]

    assert seen(*option, *file, OJOB_JOBS=url) == "by-option"
    assert seen(*file, OJOB_JOBS=url) == "by-file"
    assert seen(OJOB_JOBS=url, OJOB_FILE="named.yaml") == "by-environment"
    assert seen(OJOB_FILE="named.yaml") == "by-file"


@pytest.mark.parametrize(
    "words", [("--locks", "sqlite:///locks.db"), ("--jobs", "sqlite:///locks.db")]
)
def test_locks_are_located_by_their_option_or_with_the_records(
    ojob: Ojob, words: tuple[str, ...], tmp_path: Path
) -> None:
    with (
        oc.open_channel("oJobManager-locks", f"sqlite:////{tmp_path}/locks.db") as locks,
        locks.lock("nightly", ttl=60),
    ):
        assert "nightly" in ojob("locks", *words).stdout
        assert "nightly" in ojob("locks", OJOB_LOCKS="sqlite:///locks.db").stdout


def test_the_environment_applies_to_a_file_that_configures_no_channels(
    ojob: Ojob, tmp_path: Path
) -> None:
    (tmp_path / "bare.yaml").write_text(BARE_FILE, encoding="utf-8")
    (tmp_path / "named.yaml").write_text(NAMED_FILE, encoding="utf-8")
    settings = {"OJOB_JOBS": "sqlite:///by-environment.db"}
    assert ojob("run", "bare.yaml", **settings).returncode == 0
    assert "work" in ojob("jobs", **settings).stdout
    assert "work" in ojob("jobs", "--file", "bare.yaml", **settings).stdout
    assert ojob("run", "named.yaml", **settings).returncode == 0
    assert (tmp_path / "by-file.db").exists()


def test_the_option_overrides_the_channels_of_the_file(ojob: Ojob, tmp_path: Path) -> None:
    (tmp_path / "named.yaml").write_text(NAMED_FILE, encoding="utf-8")
    assert ojob("run", "named.yaml", "--jobs", "sqlite:///by-option.db").returncode == 0
    assert (tmp_path / "by-option.db").exists()
    assert not (tmp_path / "by-file.db").exists()


@pytest.mark.parametrize("words", [("check",), ("run",), ("jobs", "--file")])
def test_each_error_of_a_file_is_a_line_with_its_position(
    ojob: Ojob, words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "f.yaml").write_text(INVALID_FILE, encoding="utf-8")
    done = ojob(*words, "f.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert [line.split(":")[:2] for line in lines] == [["f.yaml", "4"], ["f.yaml", "5"]]
    assert "did you mean `exec`?" in lines[0]


def test_a_missing_file_is_an_error_with_its_name(ojob: Ojob) -> None:
    done = ojob("run", "nosuch.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nosuch.yaml: ")


def test_check_prints_a_json_list_of_errors(ojob: Ojob, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(INVALID_FILE, encoding="utf-8")
    (tmp_path / "good.yaml").write_text(BARE_FILE, encoding="utf-8")
    invalid, good = ojob("check", "f.yaml", "--json"), ojob("check", "good.yaml", "--json")
    assert (invalid.returncode, invalid.stderr) == (2, "")
    assert [diagnostic["line"] for diagnostic in json.loads(invalid.stdout)] == [4, 5]
    assert (good.returncode, json.loads(good.stdout)) == (0, [])


def test_check_of_a_valid_file_counts_its_jobs(ojob: Ojob, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(BARE_FILE, encoding="utf-8")
    done = ojob("check", "good.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "good.yaml: no errors (jobs: 1, todo entries: 2)\n"


def test_an_interrupt_is_reported_with_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(click.exceptions.Exit) as caught, errors.report_errors():
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == "ojob: interrupted\n"


def test_an_error_of_several_lines_is_printed_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.CommandError) as caught, errors.report_errors():
        raise InvalidOption("url", "it is\nodd", "mend it")
    caught.value.show()
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err == "ojob: invalid url: it is odd; mend it\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_in_the_reference(name: str) -> None:
    intro, _, after = PAGE.read_text(encoding="utf-8").partition(f"\n## ojob {name}\n")
    section = after.partition("\n## ")[0]
    assert section
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    common = {"--file", "--jobs", "--locks", "--json", "--wide", "--watch"}
    options = {one for option in command.params for one in option.opts if one.startswith("--")}
    assert {one for one in options - common if f"`{one}" not in section} == set()
    assert {one for one in common if f"`{one}" not in intro + section} == set()


def test_every_variable_is_in_the_reference() -> None:
    modules = [*Path(errors.__file__).parent.glob("*.py"), Path(terminal.__file__)]
    source = "".join(module.read_text(encoding="utf-8") for module in modules)
    variables = set(re.findall(r'"(OJOB_\w+|NO_COLOR|TERM)"', source))
    page = PAGE.read_text(encoding="utf-8")
    assert len(variables) == 5
    assert {name for name in variables if f"`{name}`" not in page} == set()


HELP = """
help:
  text: Loads the orders of a day.
  expects:
  - {name: day, desc: the day to load, example: 2026-11-22, mandatory: true}
  - {name: mode, options: [fast, careful]}
jobs: [{name: A, exec: print(1)}]
todo: [A]
"""


def test_run_with_help_shows_the_arguments_of_the_file(ojob: Ojob, tmp_path: Path) -> None:
    """No job runs. Without a file, the help of the command is shown."""
    (tmp_path / "orders.yaml").write_text(HELP)
    done = ojob("run", "orders.yaml", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Usage: ojob run orders.yaml [KEY=VALUE]...\n\n"
        "  Loads the orders of a day.\n\n"
        "Arguments:\n"
        "  day   the day to load; such as 2026-11-22; required\n"
        "  mode  one of fast, careful\n"
    )
    assert "Usage: ojob run [OPTIONS] FILE" in ojob("run", "--help").stdout


def test_run_without_a_mandatory_argument_exits_with_2(ojob: Ojob, tmp_path: Path) -> None:
    """With one line on standard error; no job runs."""
    (tmp_path / "orders.yaml").write_text(HELP)
    done = ojob("run", "orders.yaml", "mode=fast")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "ojob: orders.yaml: `day` (the day to load) is missing: pass day=2026-11-22; "
        "`ojob run orders.yaml --help` lists the arguments\n"
    )
