"""``ojob`` with standard streams that are closed, full, or without a reader."""

import errno
import fcntl
import json
import os
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc

pytestmark = pytest.mark.kit  # on one interpreter: most of its time goes into programs that start

UNUSABLE = [">/dev/full", ">&-", ">/dev/full 2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-"]
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
    """The working folder of the command, with a job file and the record of one run."""
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
@pytest.mark.parametrize("redirect", UNUSABLE)
def test_a_run_with_unusable_streams_works_and_is_recorded(ojob: Any, redirect: str) -> None:
    """The exit status is that of the jobs, and no child process writes into a file of ours."""
    done = ojob("run", "f.yaml", redirect=redirect)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "what it complains of" not in line] == []
    assert statuses(ojob) == {"talk": "completed", "after": "completed"}
    assert ojob("run", "f.yaml", "fail=true", redirect=redirect).returncode == 1
    assert statuses(ojob) == {"talk": "completed", "after": "failed"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("settings", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_run_continues_when_the_reader_of_its_output_exits(
    ojob: Any, settings: dict[str, str]
) -> None:
    """As in ``ojob run FILE | head -1``: it is not an error, and every job has its record."""
    process = ojob.start("run", "f.yaml", "hold=true", **settings)
    assert process.stdout.readline().endswith("| Open | started\n")
    process.stdout.close()
    process.stdout = None
    err = process.communicate("go\n", timeout=60)[1]
    assert (process.returncode, err.count("\n")) == (0, 1)
    assert err.endswith("| Talk | error: what it complains of\n")
    assert statuses(ojob) == {"talk": "completed", "after": "completed"}


READING = (
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
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_output_that_cannot_be_written_is_one_line_on_stderr_and_status_2(
    ojob: Any, words: tuple[str, ...], closed: bool
) -> None:
    """There is no traceback, and no message of the interpreter at exit."""
    with Path("/dev/full").open("w") as full:
        output = {"redirect": ">&-"} if closed else {"stdout": full.fileno()}
        done = ojob(*words, **output)
    assert done.returncode == 2
    reason = "it is closed" if closed else os.strerror(errno.ENOSPC)
    message = f"cannot write to standard output: {reason}; redirect it, for example to a file"
    assert done.stderr == f"ojob: {message}\n"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_pipe_without_a_reader_ends_every_command_without_a_message(
    ojob: Any, words: tuple[str, ...]
) -> None:
    """The interpreter prints nothing at exit either."""
    reader, writer = os.pipe()
    os.close(reader)
    done = ojob(*words, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_error_that_cannot_be_printed_keeps_its_exit_status(ojob: Any) -> None:
    """The exit status reports the wrong call, even if standard error is closed."""
    assert ojob("jobs", redirect="2>/dev/full").returncode == 2
    assert ojob("run", "nosuch.yaml", redirect="2>&-").returncode == 2


def test_unlock_with_a_closed_standard_input_fails(ojob: Any, folder: Path) -> None:
    """It cannot be confirmed, so the lock is not released."""
    url = f"sqlite:////{folder}/past.db"
    with oc.open_channel("oJobManager-locks", url) as locks, locks.lock("past", ttl=60):
        done = ojob("unlock", "past", "--jobs", url, redirect="<&-")
        assert done.returncode == 2
        assert done.stderr.endswith("use --yes to release without confirmation\n")


def test_a_reply_that_is_not_text_does_not_confirm(ojob: Any, folder: Path) -> None:
    """Bytes that are not UTF-8 are treated like any other reply that is not yes."""
    url = f"sqlite:////{folder}/past.db"
    (folder / "reply").write_bytes(b"\xff\xfe\n")
    with oc.open_channel("oJobManager-locks", url) as locks, locks.lock("past", ttl=60):
        done = ojob(
            *("unlock", "past", "--jobs", url), redirect="<reply", PYTHONIOENCODING="utf-8:strict"
        )
        assert done.returncode == 1
        assert done.stderr.endswith("[y/N] Not released.\n")


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
def test_a_non_blocking_pipe_receives_the_complete_output(
    ojob: Any, folder: Path, settings: dict[str, str]
) -> None:
    """A slow reader receives every line, of a run and of a long table."""
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
        process = ojob.start(*words, stdout=writer, **settings)
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as out:
            assert sum(1 for _ in out) == lines
        assert process.wait() == 0


def test_a_full_pipe_does_not_keep_a_run_from_ending(ojob: Any) -> None:
    """After one SIGTERM, what the reader does not take is dropped within seconds."""
    (ojob.folder / "f.yaml").write_text(
        "jobs:\n- name: Talk\n  exec: |\n    for _ in range(100): log('x' * 30_000)\ntodo: [Talk]\n"
    )
    process = ojob.start("run", "f.yaml")
    reader = process.stdout.fileno()
    while not select.select([reader], [], [], 60)[0] or _waiting(reader) < 40_000:
        pass
    process.terminate()
    assert process.wait(30) == 130


def _waiting(pipe: int) -> int:
    """Return the number of bytes in a pipe."""
    (number,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return int(number)


def test_a_current_folder_that_was_deleted_is_named_as_the_cause(ojob: Any) -> None:
    """An absolute path needs no current folder, so that such a file runs."""
    (ojob.folder / "f.yaml").write_text("jobs: [{name: A, exec: log('here')}]\ntodo: [A]\n")
    gone = ojob.folder / "gone"
    commands = 'cd "$0" && rmdir "$0" && exec "$@"'
    for path, reported in (("f.yaml", "the current folder does not exist"), (None, "here")):
        gone.mkdir()
        file = path or str(ojob.folder / "f.yaml")
        done = subprocess.run(
            ["sh", "-c", commands, gone, sys.executable, "-m", "ojobchannels", "run", file],
            capture_output=True,
            text=True,
            check=False,
        )
        assert reported in done.stdout + done.stderr
        assert done.returncode == (2 if path else 0)
