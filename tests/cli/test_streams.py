"""Standard streams that are closed, full, or without a reader, and what ``ojob`` does then."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc

pytestmark = pytest.mark.kit  # on one interpreter: most of its time goes into programs that start

DEAF = [">/dev/full", ">&-", ">/dev/full 2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-"]
FILE = """
include: [oJobManager.yaml]
jobs:
- name: Open
  to: oJobManager Init
  args:
    chJobs: {type: file, args: {file: jobs.json}}
    chLocks: {type: file, args: {file: jobs.json}}
- name: Talk
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {name: talk}
  exec: |
    import subprocess, sys
    if args.get("hold"):
        sys.stdin.readline()
    for _ in range(500):
        log("what the job says")
        print("what it prints", flush=True)
    log_err("what it complains of")
    subprocess.run(["sh", "-c", "echo a child || true"], stderr=subprocess.DEVNULL)
- name: After
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {name: after}
  exec: |
    if args.get("fail"):
        raise ValueError("of the work itself")
todo: [Open, Talk, After]
"""


@pytest.fixture
def folder(ojob: Any) -> Path:
    """Where the command is called; a job file is there, and the record of one run."""
    folder: Path = ojob.folder
    (folder / "f.yaml").write_text(FILE, encoding="utf-8")
    url = f"sqlite:////{folder}/past.db"
    with oc.JobManager(url, url) as manager, manager.run("past"):
        pass
    return folder


def statuses(ojob: Any) -> dict[str, str]:
    records = json.loads(ojob("jobs", "--file", "f.yaml", "--json").stdout)
    return {record["name"]: record["status"] for record in records}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("redirect", DEAF)
def test_a_run_that_cannot_tell_works_and_records_all_the_same(ojob: Any, redirect: str) -> None:
    """The exit status is that of the work, and a child process writes into no file of ours."""
    done = ojob("run", "f.yaml", redirect=redirect)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "what it complains of" not in line] == []
    assert statuses(ojob) == {"talk": "completed", "after": "completed"}
    assert ojob("run", "f.yaml", "fail=true", redirect=redirect).returncode == 1
    assert statuses(ojob) == {"talk": "completed", "after": "failed"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("settings", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_run_goes_on_when_the_reader_of_its_output_goes_away(
    ojob: Any, settings: dict[str, str]
) -> None:
    """As in ``ojob run FILE | head -1``: that is no error, and every job has its record."""
    process = ojob.start("run", "f.yaml", "hold=true", **settings)
    assert process.stdout.readline().endswith("| Open | started\n")
    process.stdout.close()
    process.stdout = None
    err = process.communicate("go\n", timeout=60)[1]
    assert (process.returncode, err.count("\n")) == (0, 1)
    assert err.endswith("| Talk | error: what it complains of\n")
    assert statuses(ojob) == {"talk": "completed", "after": "completed"}


LOOKING = (
    ("--help",),
    ("history", "--help"),
    ("history", "--jobs", "sqlite:///past.db"),
    ("history", "--jobs", "sqlite:///past.db", "--json"),
    ("report", "--jobs", "sqlite:///past.db"),
    ("locks", "--jobs", "sqlite:///past.db", "--json"),
    ("prune", "--jobs", "sqlite:///past.db", "--older-than", "1d"),
    ("check", "f.yaml"),
    ("channels",),
)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("redirect", "reason"),
    [(">/dev/full", os.strerror(errno.ENOSPC)), (">&-", "it is closed")],
)
@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_an_answer_that_cannot_be_written_is_one_line_on_stderr_and_status_2(
    ojob: Any, words: tuple[str, ...], redirect: str, reason: str
) -> None:
    """No traceback, and nothing from the interpreter at its end."""
    done = ojob(*words, redirect=redirect)
    assert done.returncode == 2
    told = (
        f"ojob: standard output cannot be written: {reason}; send it elsewhere, such as to a file"
    )
    assert done.stderr == f"{told}\n"


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_a_pipe_without_a_reader_ends_every_command_in_silence(
    ojob: Any, folder: Path, words: tuple[str, ...]
) -> None:
    """The interpreter has nothing to add at its end either."""
    os.mkfifo(folder / "pipe")
    done = ojob(*words, redirect="3<>pipe >pipe 3<&-")
    assert (done.returncode, done.stderr) == (141, "")


def test_an_error_that_cannot_be_told_leaves_its_exit_status(ojob: Any) -> None:
    """Whoever closed standard error still learns that the call was wrong."""
    assert ojob("jobs", redirect="2>/dev/full").returncode == 2
    assert ojob("run", "nosuch.yaml", redirect="2>&-").returncode == 2


def test_a_question_on_a_closed_standard_input_has_no_answer(ojob: Any, folder: Path) -> None:
    """Unlocking asks, finds nobody to answer, and leaves the lock."""
    url = f"sqlite:////{folder}/past.db"
    with oc.open_channel("oJobManager-locks", url) as locks, locks.lock("past", ttl=60):
        done = ojob("unlock", "past", "--jobs", url, redirect="<&-")
        assert done.returncode == 2
        assert done.stderr.endswith("ojob: nobody answered; give --yes where nobody can\n")


def test_an_answer_that_is_no_text_is_no_yes(ojob: Any, folder: Path) -> None:
    """Bytes that are no UTF-8 are an answer like any other that is not yes."""
    url = f"sqlite:////{folder}/past.db"
    (folder / "answer").write_bytes(b"\xff\xfe\n")
    with oc.open_channel("oJobManager-locks", url) as locks, locks.lock("past", ttl=60):
        done = ojob(
            *("unlock", "past", "--jobs", url), redirect="<answer", PYTHONIOENCODING="utf-8:strict"
        )
        assert done.returncode == 1
        assert done.stderr.endswith("[y/N] Left as it is.\n")


UNSET = ("PYTHONUNBUFFERED", "OJOB_FILE", "OJOB_JOBS", "OJOB_LOCKS")
LONG = """
jobs:
- name: Talk
  exec: |
    for number in range(2000):
        log(f"what the job says, {number}")
        print("what it prints " * 5)
todo: [Talk]
"""


@pytest.mark.parametrize("settings", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_all_is_told_to_a_pipe_that_does_not_block(folder: Path, settings: dict[str, str]) -> None:
    """A slow reader gets every line, of a run as of a long table."""
    (folder / "long.yaml").write_text(LONG, encoding="utf-8")
    url = f"sqlite:////{folder}/past.db"
    with oc.JobManager(url, url) as manager:
        ((key, record),) = manager.jobs.items()
        manager.jobs.set_all(
            [(key | {"startTime": at}, record | {"startTime": at}) for at in range(999)]
        )
    for words, lines in (
        (("run", "long.yaml"), 4002),
        (("history", "--limit", "0", "--jobs", url), 1001),
    ):
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(writer, False)
        with (
            subprocess.Popen(
                [sys.executable, "-m", "ojobchannels", *words],
                cwd=folder,
                env={key: value for key, value in os.environ.items() if key not in UNSET}
                | settings,
                stdout=writer,
            ) as process,
            os.fdopen(reader, encoding="utf-8") as out,
        ):
            os.close(writer)
            assert sum(1 for _ in out) == lines
        assert process.returncode == 0
