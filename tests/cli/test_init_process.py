"""A run as the first process of a container: it reaps orphans, and passes signals on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PREAMBLE = """
import ctypes, os, signal, subprocess, sys, time
from pathlib import Path
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans come to this process
from ojobchannels.cli.init_process import continue_in_child
continue_in_child()
"""


@contextmanager
def first_process(script: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script in a child of a process to which orphans come, as to that of a container."""
    command = [sys.executable, "-c", PREAMBLE + script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_orphans_are_reaped_and_the_exit_status_is_that_of_the_run() -> None:
    """None remains as a zombie, and the run can wait for its own children."""
    script = """
ended = subprocess.run(["sh", "-c", "sleep 0.1 & echo $!; exit 4"], stdout=subprocess.PIPE)
orphan = Path("/proc", ended.stdout.decode().strip())
while orphan.exists():
    time.sleep(0.01)
print("reaped", ended.returncode)
sys.exit(7)
"""
    with first_process(script) as process:
        out, _ = process.communicate(timeout=60)
    assert out == "reaped 4\n"
    assert process.returncode == 7


def test_signals_reach_the_run() -> None:
    """One that kills it is shown in the exit status, as by a shell."""
    with first_process("print('here', flush=True); signal.pause()") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
