"""The guide under docs/how-to does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]


def test_the_guide_works(tmp_path: Path) -> None:
    """Its job file and its command are run as printed."""
    text = (CHECKOUT / "docs" / "how-to" / "javascript.md").read_text("utf-8")
    assert "<!-- skip: next -->\n" in text
    page = tmp_path / "page.md"
    page.write_text(text.replace("<!-- skip: next -->\n", ""), "utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, CHECKOUT / "tests" / "project" / "page_reader.py", page],
        cwd=folder,
        env=os.environ | {"PATH": path, "COLUMNS": "100", "PYTHONSAFEPATH": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
