"""The option ``--watch``, in a pipe and on a terminal."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.cli.errors import INTERRUPTED

pytestmark = pytest.mark.kit  # on one interpreter: the commands are the same on all


@contextmanager
def on_terminal(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start ``ojob`` on a terminal; yield the process, and the descriptor of the other end."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ojobchannels", *words]
    process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(descriptor: int, text: bytes) -> bytes:
    """Read from a terminal until a text is there."""
    received = b""
    while text not in received:
        received += os.read(descriptor, 65536)
    return received


@pytest.mark.usefixtures("sigint")
def test_in_a_pipe_the_table_is_printed_again_until_ctrl_c(ojob: Any) -> None:
    """With what has changed; the exit status is that of an interruption."""
    url = f"sqlite:////{ojob.folder / 'jobs.db'}"
    with oc.JobManager(url, url) as manager, manager.run("nightly"):
        process = ojob.start("jobs", "--watch", "--jobs", url)
        while "nightly" not in (line := process.stdout.readline()):
            assert line
        assert "running" in line
    while "completed" not in (line := process.stdout.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    assert (process.wait(), process.stderr.read()) == (INTERRUPTED, "")


@pytest.mark.usefixtures("sigint")
def test_on_a_terminal_the_table_is_drawn_over(tmp_path: Path) -> None:
    """From the top left corner; a storage that fails meanwhile is shown in its place."""
    url = f"sqlite:////{tmp_path / 'jobs.db'}"
    with oc.JobManager(url, url) as manager, manager.run("nightly"):
        pass
    with on_terminal(tmp_path, "jobs", "--watch", "--jobs", url) as (process, screen):
        first = read_until(screen, b"nightly")
        assert b"every 2 s" in first
        (tmp_path / "jobs.db").write_text("no database\n" * 500)
        later = read_until(screen, b"ojob: ")
        assert b"\x1b[H" in later
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait() == INTERRUPTED
