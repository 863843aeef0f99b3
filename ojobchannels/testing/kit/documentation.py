"""Runs what the documentation of a backend shows, on a real server: a page, and its job file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ojobchannels.channels.opening import open_channel
from ojobchannels.manager import JobManager
from ojobchannels.testing.programs import JOB_FILES, Program, new_forks
from ojobchannels.testing.servers import Server

ORDERS: Final = "region,item,amount\nnorth,apples,1.5\nsouth,cider,2\nnorth,crates,4\n"
INSTANCES: Final = 8


def run_page(checkout: Path, text: str, folder: Path) -> None:
    """Run the code blocks of a page in a folder of its own, as a reader would.

    Args:
        checkout: The folder of the project, with its examples and its runner of code blocks.
        text: The page, with the addresses of real servers.
        folder: An empty folder.
    """
    page = folder / "page.md"
    page.write_text(text, "utf-8")
    shutil.copytree(checkout / "docs" / "examples", folder / "folder" / "docs" / "examples")
    reader = subprocess.Popen(  # noqa: S603  runs a script of the checkout
        [sys.executable, checkout / "tests" / "project" / "page_reader.py", page],
        cwd=folder / "folder",
        env=os.environ
        | {"PATH": os.pathsep.join([sysconfig.get_path("scripts"), *os.get_exec_path()])}
        | {"COLUMNS": "100", "PYTHONSAFEPATH": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = reader.communicate(timeout=100)
    finally:
        with suppress(ProcessLookupError):  # processes that the page started in the background
            os.killpg(reader.pid, signal.SIGKILL)
        reader.wait()
    assert reader.returncode == 0, printed


def run_many_instances(example: Path, server: Server, url: str, folder: Path) -> None:
    """Run many instances of a job file, and check that one works and the others skip.

    The job of the instance that gets the lock reads a pipe, so it runs until all others ended.
    """
    pipe = folder / "orders"
    os.mkfifo(pipe)
    arguments = [str(example), f"server={url}", f"orders={pipe}", "seconds=0"]
    with instances(INSTANCES, arguments, server, folder) as started:
        pipe.write_text(ORDERS)
        _check(outputs(started), url)


@contextmanager
def instances(
    count: int, arguments: Sequence[str], server: Server, folder: Path
) -> Iterator[list[Program]]:
    """Start instances of a job file, and yield them when all but one have ended.

    Args:
        count: How many.
        arguments: Of ``ojob run``; the variable INSTANCE_ID is another one in each instance.
        server: The server on which they meet.
        folder: The current folder of the instances.
    """
    command = ["-m", "ojobchannels", "run", "--if-running", "skip", *arguments]
    imports = [*JOB_FILES, f"ojobchannels_{server.channel_type}.backend"]
    with new_forks() as forks:
        started = [
            Program(
                forks,
                command,
                cwd=folder,
                env=os.environ | {"INSTANCE_ID": f"instance {number}"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                imports=imports,
            )
            for number in range(count)
        ]
        try:
            server.wait_until(
                lambda: sum(one.poll() is not None for one in started) == count - 1,
                "let several instances work",
            )
            yield started
        finally:
            for one in started:
                one.kill()
                one.communicate()


def outputs(started: list[Program]) -> list[str]:
    """Return what the instances printed, when all have ended with status 0."""
    printed = [one.communicate(timeout=60)[0] for one in started]
    assert [one.returncode for one in started] == [0] * len(started), printed
    return printed


def _check(printed: list[str], url: str) -> None:
    worked = sum("processed orders of 2 regions" in text for text in printed)
    skipped = sum("skipped: 'order-processor'" in text for text in printed)
    assert (worked, skipped) == (1, INSTANCES - 1), printed
    with JobManager(url, url) as manager:
        states = Counter(record["status"] for record in manager.runs(limit=None))
    assert states == {"completed": 1, "skipped": INSTANCES - 1}
    with open_channel("oJobManager-locks", url) as locks:
        assert locks.locks() == []
