"""Python in a process of its own, as with `onTimeout: kill`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

import pytest

from ojobchannels.errors import CodeFailed, JobMisuse

if TYPE_CHECKING:
    from tests.ojob.conftest import Run

KILL = "typeArgs: {timeout: 60000, onTimeout: kill}"


def isolated(code: str, more: str = "") -> str:
    return (
        "code:\n  helpers.py: |\n    def double(n): return 2 * n\n"
        f"jobs:\n- name: Job\n  {KILL}\n  args: {{n: 21}}\n  exec: |\n{indent(code, '    ')}\n"
        f"- name: Show\n  exec: log(args)\n{more}todo: [oJobManager Init, Job]\n"
    )


def test_it_has_the_names_of_any_code(run: Run) -> None:
    """Args, modules of the file, other jobs, launches, channels, the state and logs."""
    code = """\
import os
import helpers
log(helpers.double(args["n"]), os.getpid() == args["pid"])
args["added"] = [1]
log(job("Double", {"n": 2}), launch("Double", {"n": 3}).result())
mine = channel("mine")
mine.set("a", {"b": 1})
log(mine.get("a"), mine.size(), state("later"))
log_warn("careful")
"""
    more = "- name: Double\n  exec: return 2 * args['n']\n"
    more += f"- name: After\n  {KILL}\n  from: Job\n  exec: log(args['added'])\n"
    text = isolated(code, more).replace("Init, Job]", "Init, After]")
    _, reported = run(text.replace("{n: 21}", f"{{n: 21, pid: {os.getpid()}}}"))
    lines = ["42 False", "4 6", "{'b': 1} 1 later", "warn: careful", "[1]"]
    assert [line for line in reported if line.startswith("After: ")] == [
        f"After: {line}" for line in lines
    ]


@pytest.mark.parametrize(
    ("code", "kind", "part"),
    [
        ("raise ValueError('bad')", ValueError, "bad"),
        ("class Own(Exception): pass\nraise Own('bad')", CodeFailed, "Own: bad"),
        ("import os; os._exit(5)", CodeFailed, "exit status 5"),
        ("import os; os.kill(os.getpid(), 9)", CodeFailed, "SIGKILL"),
        ("channel('mine').lock('a', ttl=9)", JobMisuse, "open the channel there"),
        ("job('Nope')", LookupError, "unknown job 'Nope'"),
        ("args = 5", TypeError, "replaced `args`"),
    ],
)
def test_what_it_raises_fails_its_job(
    run: Run, code: str, kind: type[Exception], part: str
) -> None:
    """The error has the lines of the code, if it came from there."""
    result, _ = run(isolated(code.replace("'Nope'", "'No' + 'pe'")))
    error = result.outcomes[1].error
    assert isinstance(error, kind)
    assert part in str(error)


def test_the_error_shows_the_line_of_the_code(run: Run) -> None:
    """In a note, as its traceback belongs to another process."""
    result, _ = run(isolated("n = 1\nraise ValueError('bad')"))
    error = result.outcomes[1].error
    assert error is not None
    assert "f.yaml" in error.__notes__[-1]
    assert "raise ValueError('bad')" in error.__notes__[-1]


def test_args_that_cannot_leave_the_process_are_refused(run: Run) -> None:
    """With advice what to pass instead."""
    call = "- name: Call\n  exec: |\n    job('Job', {'n': lambda: 1})\n"
    text = isolated("pass", call).replace("Init, Job]", "Init, Call]")
    result, _ = run(text)
    assert isinstance(result.outcomes[1].error, JobMisuse)
    assert "use JSON values" in str(result.outcomes[1].error)


def test_skip_in_a_from_skips_the_job(run: Run) -> None:
    """The process of the code is ended."""
    look = "- name: Main\n  from: Job\n  exec: log('never')\n"
    text = isolated("skip('nothing to do')\nlog('never')", look).replace(
        "Init, Job]", "Init, Main]"
    )
    text = text.replace("- name: Main\n", f"- name: Main\n  {KILL}\n")
    _, reported = run(text)
    assert reported == ["Main skipped (nothing to do)"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_process_of_its_job(tmp_path: Path, number: signal.Signals) -> None:
    """Also what it has started ends, so that nothing works on without the lock."""
    pid = tmp_path / "pid"
    command = f"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 60"
    code = f"import subprocess\nsubprocess.run({command!r}, shell=True)"
    path = tmp_path / "f.yaml"
    path.write_text("include: oJobManager.yaml\n" + isolated(code))
    words = [sys.executable, "-m", "ojobchannels", "run", str(path)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(pid.exists)
        process.send_signal(number)
    child = Path("/proc", pid.read_text().strip(), "cmdline")
    wait_until(lambda: not child.exists() or child.read_bytes() == b"")


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until something has happened, for at most a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
