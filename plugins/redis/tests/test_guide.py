"""Pages under docs/ do what they say of Redis, with a server in the place of their example."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

from ojobchannels.testing.servers import RedisServer, or_skip

CHECKOUT = Path(__file__).parents[3]
GUIDE = CHECKOUT / "docs" / "how-to" / "redis.md"
LESSON = CHECKOUT / "docs" / "tutorial" / "3-a-batch-system.md"
PASSWORD = "a-long-random-password"


def test_the_guide_works_with_the_user_that_it_sets_up(tmp_path: Path) -> None:
    """Its lines of configuration, its files and its commands, as a reader takes them over."""
    text = GUIDE.read_text("utf-8")
    lines = re.findall(r"```text\n(.*?)```", text, re.DOTALL)[0].splitlines()
    user = next(line for line in lines if line.startswith("user job"))
    rules = user.partition(f">{PASSWORD} ")[2]
    settings = dict(line.split(" ", 1) for line in lines if not line.startswith(("user", "bind")))
    with (
        or_skip(),
        RedisServer(options=settings, password="x", users={"job": (PASSWORD, rules)}) as server,
    ):
        here = f"127.0.0.1:{server.port}"
        text = text.replace("redis.example.org\n", f"{here}\n").replace("<!-- skip: next -->\n", "")
        run(text, tmp_path)


def test_the_batch_system_of_the_tutorial_runs_on_two_machines(tmp_path: Path) -> None:
    """Its files, and the part on the network: one is killed, comes back, and nothing overlaps."""
    text = LESSON.read_text("utf-8")
    files = re.findall(r"<!-- file: .*?\n```\n", text, re.DOTALL)
    network = re.findall(r"<!-- skip: start -->\n(.*?)<!-- skip: end -->\n", text, re.DOTALL)
    assert len(network) == 1
    with or_skip(), RedisServer() as server:
        page = "\n".join((*files, *network))
        run(page.replace("redis.example.org", f"127.0.0.1:{server.port}"), tmp_path)


def run(text: str, folder: Path) -> None:
    """Runs the code blocks of a page."""
    page = folder / "page.md"
    page.write_text(text, "utf-8")
    shutil.copytree(CHECKOUT / "docs" / "examples", folder / "folder" / "docs" / "examples")
    reader = subprocess.Popen(
        [sys.executable, CHECKOUT / "tests" / "project" / "test_docs_blocks.py", page],
        cwd=folder / "folder",
        env=os.environ
        | {"PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"}
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
        with suppress(ProcessLookupError):  # what the page left running in the background
            os.killpg(reader.pid, signal.SIGKILL)
        reader.wait()
    assert reader.returncode == 0, printed
