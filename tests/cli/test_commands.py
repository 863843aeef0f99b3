"""The command line as a whole: where it looks, what it refuses, what a call of it costs."""

import json
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

Ojob = Callable[..., subprocess.CompletedProcess[str]]
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
LOOKING: dict[str, tuple[str, ...]] = {
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
FAULTY_FILE = """
jobs:
- name: Work
  exce: pass
todo: [Wrok]
"""


@pytest.fixture(params=LOOKING)
def look(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The words of one command that looks at channels which others made."""
    name: str = request.param
    return (name, *LOOKING[name])


def record_a_run(folder: Path, file: str, job: str) -> None:
    url = f"sqlite:////{folder / file}"
    with oc.JobManager(url, url) as manager, manager.run(job):
        pass


def test_help_names_every_command(ojob: Ojob) -> None:
    done = ojob("--help")
    assert done.returncode == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in done.stdout] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_of_its_own(ojob: Ojob, command: str) -> None:
    done = ojob(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: ojob {command}" in done.stdout


def test_version_is_that_of_the_distribution(ojob: Ojob) -> None:
    assert ojob("--version").stdout == f"ojob {oc.__version__}\n"


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
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
    ("call", "said"),
    [
        ("jbos", "there is no command 'jbos'; did you mean 'jobs'? (ojob --help lists them)"),
        ("x", "there is no command 'x' (ojob --help lists them)"),
        ("f.yaml", "there is no command 'f.yaml'; to run that job file: ojob run f.yaml"),
        ("--hepl", "there is no option '--hepl'; did you mean '--help'? (ojob --help lists them)"),
        (
            "history --limt 3",
            "there is no option '--limt'; did you mean '--limit'? (ojob history --help lists them)",
        ),
        (
            "history --limit",
            "*'--limit'* (ojob history --help tells more)",
        ),
        ("run", "*'FILE'* (ojob run --help tells more)"),
        ("prune", "*'--older-than'* (ojob prune --help tells more)"),
        ("check a b", "*(b)* (ojob check --help tells more)"),
        ("run f.yaml day", "command line: 'day' is no argument; write key=value"),
    ],
)
def test_a_wrong_call_exits_with_2_and_a_line_that_says_what_to_do(
    ojob: Ojob, call: str, said: str
) -> None:
    """The line names what was probably meant, and the help that tells more."""
    done = ojob(*call.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert fnmatch(done.stderr, f"ojob: {said}\n"), done.stderr


def test_without_a_command_the_help_is_printed_on_stderr(ojob: Ojob) -> None:
    """The call is still wrong, so the exit status is 2."""
    done = ojob()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ojob("--help").stdout


def test_without_a_place_to_look_it_says_how_to_name_one(ojob: Ojob, look: tuple[str, ...]) -> None:
    done = ojob(*look)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ojob: nothing says where")
    assert done.stderr.count("\n") == 1
    for way in ("--file", "--jobs", "OJOB_FILE", "OJOB_JOBS"):
        assert way in done.stderr


@pytest.mark.parametrize("url", ["sqlite:///no/jobs.db", "file:no/jobs.json"])
def test_looking_makes_no_file_where_there_was_none(
    ojob: Ojob, look: tuple[str, ...], url: str, tmp_path: Path
) -> None:
    done = ojob(*look, "--jobs", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no file 'no/jobs." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_memory_of_a_process_cannot_be_looked_at(ojob: Ojob, look: tuple[str, ...]) -> None:
    done = ojob(*look, "--jobs", "simple://")
    assert done.returncode == 2
    assert "'simple'" in done.stderr
    assert "such as db" in done.stderr


def test_a_path_in_place_of_a_url_is_told_the_url(ojob: Ojob) -> None:
    done = ojob("jobs", "--jobs", "data/jobs.db")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "sqlite:///data/jobs.db" in done.stderr
    assert "file:data/jobs.db" in done.stderr


def test_what_is_no_url_is_told_without_its_password(ojob: Ojob) -> None:
    """The part before the @ is hidden."""
    done = ojob("jobs", "--jobs", "//job:pa55@localhost/0")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pa55" not in done.stderr


def test_a_file_that_names_no_place_is_told_how_to_name_one(ojob: Ojob, tmp_path: Path) -> None:
    (tmp_path / "bare.yaml").write_text(BARE_FILE, encoding="utf-8")
    for done in (ojob("jobs", "--file", "bare.yaml"), ojob("jobs", OJOB_FILE="bare.yaml")):
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith("ojob: bare.yaml does not say where its records are")


def test_a_run_refuses_a_place_that_is_none_before_anything_runs(
    ojob: Ojob, tmp_path: Path
) -> None:
    (tmp_path / "bare.yaml").write_text(BARE_FILE, encoding="utf-8")
    done = ojob("run", "bare.yaml", "--jobs", "data/jobs.db")
    assert (done.returncode, done.stdout) == (2, "")
    assert "sqlite:///data/jobs.db" in done.stderr


def test_a_type_that_is_not_installed_is_told_with_what_to_install(ojob: Ojob) -> None:
    done = ojob("jobs", "--jobs", "nosuch://here")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ojob: no plugin offers the channel type 'nosuch://'")


def test_a_file_that_is_no_database_is_one_line_and_left_alone(
    ojob: Ojob, look: tuple[str, ...], tmp_path: Path
) -> None:
    letter = tmp_path / "letter.db"
    letter.write_text("Dear reader,\n" * 100, encoding="utf-8")
    done = ojob(*look, "--jobs", "sqlite:///letter.db")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("ojob: ")
    assert letter.read_text(encoding="utf-8") == "Dear reader,\n" * 100


def test_options_win_over_the_file_and_that_over_the_environment(
    ojob: Ojob, tmp_path: Path
) -> None:
    for place in ("by-option", "by-file", "by-environment"):
        record_a_run(tmp_path, f"{place}.db", place)
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
def test_locks_are_where_their_option_says_or_else_with_the_records(
    ojob: Ojob, words: tuple[str, ...], tmp_path: Path
) -> None:
    with (
        oc.open_channel("oJobManager-locks", f"sqlite:////{tmp_path}/locks.db") as locks,
        locks.lock("nightly", ttl=60),
    ):
        assert "nightly" in ojob("locks", *words).stdout
        assert "nightly" in ojob("locks", OJOB_LOCKS="sqlite:///locks.db").stdout


def test_a_run_keeps_its_records_where_the_environment_says_if_the_file_does_not(
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


def test_a_run_keeps_its_records_where_an_option_says_whatever_the_file_says(
    ojob: Ojob, tmp_path: Path
) -> None:
    (tmp_path / "named.yaml").write_text(NAMED_FILE, encoding="utf-8")
    assert ojob("run", "named.yaml", "--jobs", "sqlite:///by-option.db").returncode == 0
    assert (tmp_path / "by-option.db").exists()
    assert not (tmp_path / "by-file.db").exists()


@pytest.mark.parametrize("words", [("check",), ("run",), ("jobs", "--file")])
def test_faults_of_a_file_are_told_one_a_line_with_their_places(
    ojob: Ojob, words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "f.yaml").write_text(FAULTY_FILE, encoding="utf-8")
    done = ojob(*words, "f.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert [line.split(":")[:2] for line in lines] == [["f.yaml", "4"], ["f.yaml", "5"]]
    assert "did you mean `exec`?" in lines[0]


def test_a_file_that_is_not_there_is_told_by_its_name(ojob: Ojob) -> None:
    done = ojob("run", "nosuch.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nosuch.yaml: ")


def test_check_gives_programs_a_list_of_faults(ojob: Ojob, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(FAULTY_FILE, encoding="utf-8")
    (tmp_path / "good.yaml").write_text(BARE_FILE, encoding="utf-8")
    faulty, good = ojob("check", "f.yaml", "--json"), ojob("check", "good.yaml", "--json")
    assert (faulty.returncode, faulty.stderr) == (2, "")
    assert [fault["line"] for fault in json.loads(faulty.stdout)] == [4, 5]
    assert (good.returncode, json.loads(good.stdout)) == (0, [])


def test_check_of_a_good_file_says_what_is_in_it(ojob: Ojob, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(BARE_FILE, encoding="utf-8")
    done = ojob("check", "good.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "good.yaml: no faults; 1 job, 2 in the todo\n"


def test_an_interrupt_becomes_a_line_and_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(click.exceptions.Exit) as caught, errors.told():
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == "ojob: interrupted\n"


def test_an_error_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.Refused) as caught, errors.told():
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
    told_once_for_all = {"--file", "--jobs", "--locks", "--json"}
    options = {one for option in command.params for one in option.opts if one.startswith("--")}
    assert {one for one in options - told_once_for_all if f"`{one}" not in section} == set()
    assert {one for one in told_once_for_all if f"`{one}" not in intro + section} == set()


def test_every_variable_is_in_the_reference() -> None:
    modules = Path(errors.__file__).parent.glob("*.py")
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


def test_run_with_help_tells_what_the_file_expects(ojob: Ojob, tmp_path: Path) -> None:
    """And runs nothing; without a file it is the help of the command."""
    (tmp_path / "orders.yaml").write_text(HELP)
    told = ojob("run", "orders.yaml", "--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == (
        "Usage: ojob run orders.yaml [KEY=VALUE]...\n\n"
        "  Loads the orders of a day.\n\n"
        "Arguments:\n"
        "  day   the day to load; such as 2026-11-22; required\n"
        "  mode  one of fast, careful\n"
    )
    assert "Usage: ojob run [OPTIONS] FILE" in ojob("run", "--help").stdout


def test_run_without_what_the_file_expects_ends_with_2(ojob: Ojob, tmp_path: Path) -> None:
    """In one line; nothing is run."""
    (tmp_path / "orders.yaml").write_text(HELP)
    told = ojob("run", "orders.yaml", "mode=fast")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == (
        "ojob: orders.yaml: `day` (the day to load) is missing: pass day=2026-11-22; "
        "`ojob run orders.yaml --help` lists the arguments\n"
    )
