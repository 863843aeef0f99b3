"""``ojob top`` in a real terminal: what it shows, what its keys do, and how it ends."""

from __future__ import annotations

import os
import pty
import signal
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pyte
import pytest
from click.testing import CliRunner
from pexpect.fdpexpect import fdspawn

import ojobchannels as oc
from ojobchannels.cli import cli
from ojobchannels.cli.errors import INTERRUPTED
from ojobchannels.testing.forks import Forks
from ojobchannels.testing.programs import Program

pytestmark = pytest.mark.kit  # on one interpreter: a terminal is the same on all

LONG = "a-job-with-a-name-that-is-much-too-long-for-any-column-of-a-table"
SECONDS = 60
UP = "\x1b[A"


class Terminal:
    """A terminal with ``ojob top`` in it."""

    def __init__(self, url: str, folder: Path, forks: Forks) -> None:
        self.screen = pyte.Screen(80, 24)
        self.received = ""
        self._stream = pyte.Stream(self.screen)
        environment = {**os.environ, "TERM": "xterm-256color"}
        for fixed in ("COLUMNS", "LINES"):  # tox sets them; a terminal has a size of its own
            environment.pop(fixed, None)
        ours, its = pty.openpty()
        termios.tcsetwinsize(its, (24, 80))
        self.process = Program(
            forks,
            ["-m", "ojobchannels", "top", "--jobs", url],
            cwd=folder,
            env=environment,
            stdin=its,
            stdout=its,
            stderr=its,
            terminal=True,
            imports=["ojobchannels.cli.top.app"],
        )
        os.close(its)
        self.keys = fdspawn(ours, encoding="utf-8", timeout=SECONDS)

    def wait_for(self, condition: Callable[[str], bool]) -> str:
        """Return the text on the screen as soon as it fulfils a condition."""
        while not condition(text := "\n".join(self.screen.display)):
            self._receive(self.keys.read_nonblocking(65536, timeout=SECONDS))
        return text

    def end(self) -> int:
        """Return the exit status, after all output."""
        while not self.keys.closed:
            try:
                self._receive(self.keys.read_nonblocking(65536, timeout=SECONDS))
            except pexpect.EOF:
                break
        return self.process.wait()

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal."""
        self.screen.resize(rows, columns)
        termios.tcsetwinsize(self.keys.child_fd, (rows, columns))

    def _receive(self, text: str) -> None:
        self.received += text
        self._stream.feed(text)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[oc.JobManager]:
    """Return the manager of the jobs that are shown."""
    url = f"sqlite:////{tmp_path / 'jobs.db'}"
    with oc.JobManager(url, url) as manager:
        with manager.run(LONG):
            pass
        yield manager


@pytest.fixture
def terminal(
    tmp_path: Path,
    manager: oc.JobManager,  # noqa: ARG001  it must have recorded a run
    _ojob_forks: Forks,
) -> Iterator[Terminal]:
    """Return a terminal that shows the jobs of `manager`."""
    terminal = Terminal(f"sqlite:////{tmp_path / 'jobs.db'}", tmp_path, _ojob_forks)
    terminal.wait_for(lambda text: LONG[:10] in text)
    yield terminal
    terminal.process.kill()
    terminal.process.wait()
    terminal.keys.close()


def line_of(text: str, name: str) -> str:
    return next((line for line in text.splitlines() if name in line), "")


def is_whole(text: str) -> bool:
    """Return whether the footer and the failed run are shown."""
    return "Quit" in text.splitlines()[-1] and "failed" in line_of(text, "nightly")


def test_it_shows_what_changes_and_fits_any_width(
    terminal: Terminal, manager: oc.JobManager
) -> None:
    """A run that begins and fails elsewhere; long names are cut."""
    run = manager.run("nightly").start()
    terminal.wait_for(lambda text: "running" in line_of(text, "nightly") and "1 running" in text)
    run.fail(ValueError("no such day"))
    terminal.wait_for(
        lambda text: (
            "failed" in line_of(text, "nightly")
            and "no such day" in line_of(text, "nightly")
            and "…" in line_of(text, LONG[:8])
        )
    )
    terminal.resize(60, 15)
    terminal.wait_for(is_whole)


def test_a_key_acts_on_the_selected_job_after_a_question(
    terminal: Terminal, manager: oc.JobManager
) -> None:
    """Escape does nothing; Enter releases the lock, with the reason in the record."""
    run = manager.run("nightly").start()
    terminal.wait_for(lambda text: "running" in line_of(text, "nightly"))
    terminal.keys.send(UP)  # the row that was there before is selected
    terminal.keys.send("u")
    terminal.wait_for(lambda text: "Force-release lock 'nightly'" in text)
    terminal.keys.send("\x1b")
    terminal.wait_for(lambda text: "Force-release" not in text)
    assert manager.locks.lock_info("nightly") is not None
    terminal.keys.send("u")
    terminal.wait_for(lambda text: "Force-release lock 'nightly'" in text)
    terminal.keys.send("the host burned\r")
    terminal.wait_for(lambda text: "released lock 'nightly'" in text)
    assert manager.locks.lock_info("nightly") is None
    with pytest.raises(oc.LockLost):
        run.end()
    assert "the host burned" in manager.runs("nightly")[0]["note"]


def test_a_run_is_cancelled_by_a_key(terminal: Terminal, manager: oc.JobManager) -> None:
    """The action is recorded with the reason."""
    with manager.run("nightly"):
        terminal.wait_for(lambda text: "running" in line_of(text, "nightly"))
        terminal.keys.send(f"{UP}c")
        terminal.wait_for(lambda text: "Cancel the run of 'nightly'" in text)
        terminal.keys.send("too slow\r")
        terminal.wait_for(lambda text: "asked the run of 'nightly' to end" in text)
        (action,) = manager.actions()
        assert (action.action, action.reason) == ("cancel", "too slow")


def test_a_key_that_does_not_apply_says_why(terminal: Terminal) -> None:
    terminal.keys.send("r")
    terminal.wait_for(lambda text: "is not paused" in " ".join(text.split()))


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (lambda terminal: terminal.keys.send("q"), 0),
        (lambda terminal: terminal.keys.send("\x03"), INTERRUPTED),
        (lambda terminal: terminal.process.send_signal(signal.SIGTERM), INTERRUPTED),
        (lambda terminal: terminal.process.send_signal(signal.SIGHUP), INTERRUPTED),
    ],
    ids=["q", "Ctrl-C", "SIGTERM", "SIGHUP"],
)
def test_it_leaves_the_terminal_as_it_was(
    terminal: Terminal, end: Callable[[Terminal], object], status: int
) -> None:
    """However it ends: the first screen is back, with a cursor, and lines are echoed."""
    end(terminal)
    descriptor = os.dup(terminal.keys.child_fd)
    try:
        assert terminal.end() == status
        local_modes = termios.tcgetattr(descriptor)[3]
    finally:
        os.close(descriptor)
    assert local_modes & termios.ECHO
    assert local_modes & termios.ICANON
    received = terminal.received
    assert received.rindex("\x1b[?1049l") > received.rindex("\x1b[?1049h")
    assert received.rindex("\x1b[?25h") > received.rindex("\x1b[?25l")


def test_in_a_pipe_it_names_what_to_use_instead(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["top", "--jobs", f"sqlite:////{tmp_path / 'jobs.db'}"])
    assert done.exit_code == 2
    assert "ojob jobs --watch" in done.stderr
