"""The guide under docs/how-to does what it says, with a server in the place of its example."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from ojobchannels.testing.servers import RedisServer, or_skip

CHECKOUT = Path(__file__).parents[3]
GUIDE = CHECKOUT / "docs" / "how-to" / "redis.md"
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
        page = tmp_path / "page.md"
        here = f"127.0.0.1:{server.port}"
        text = text.replace("redis.example.org\n", f"{here}\n").replace("<!-- skip: next -->\n", "")
        page.write_text(text, "utf-8")
        folder = tmp_path / "folder"
        shutil.copytree(CHECKOUT / "docs" / "examples", folder / "docs" / "examples")
        done = subprocess.run(
            [sys.executable, CHECKOUT / "tests" / "test_docs_blocks.py", page],
            cwd=folder,
            env=os.environ
            | {"PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"}
            | {"COLUMNS": "100", "PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    assert done.returncode == 0, done.stdout + done.stderr
