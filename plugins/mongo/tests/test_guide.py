"""The guide under docs/how-to does what it says, with a server in the place of its example."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pymongo
import pytest

from ojobchannels.testing.servers import MongoServer, or_skip

CHECKOUT = Path(__file__).parents[3]
GUIDE = CHECKOUT / "docs" / "how-to" / "mongodb.md"
PASSWORD = "a-long-random-password"


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is in the checkout only")
def test_the_guide_works_with_the_user_that_it_sets_up(tmp_path: Path) -> None:
    """Its user, its files and its commands, as a reader takes them over."""
    pytest.importorskip("sybil")
    text = GUIDE.read_text("utf-8")
    roles = re.findall(rf'use jobs\n.*pwd: "{PASSWORD}", roles: \["(\w+)"\]', text)
    with or_skip(), MongoServer(user=("root", "word")) as server:
        with pymongo.MongoClient[dict[str, Any]](server.url) as client:
            client["jobs"].command("createUser", "job", pwd=PASSWORD, roles=roles)
        page = tmp_path / "page.md"
        here = f"127.0.0.1:{server.port}/jobs"
        text = text.replace("mongo.example.org/jobs\n", f"{here}\n")
        page.write_text(text.replace("<!-- skip: next -->\n", ""), "utf-8")
        folder = tmp_path / "folder"
        shutil.copytree(CHECKOUT / "docs" / "examples", folder / "docs" / "examples")
        done = subprocess.run(
            [sys.executable, CHECKOUT / "tests" / "project" / "test_docs_blocks.py", page],
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
