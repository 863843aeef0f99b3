"""The code blocks of README.md and docs/ do what the pages say.

Each page runs in a separate interpreter (`page_reader.py`), in an empty folder
that contains a copy of docs/examples. CONTRIBUTING.md explains how to write such blocks.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

import pytest

# On one interpreter: most of the time goes into starting programs. With a limit, they begin early.
pytestmark = [pytest.mark.kit, pytest.mark.timeout(120)]

CHECKOUT = Path(__file__).resolve().parents[2]
LANGUAGES = ("python", "console")
BLOCK = re.compile(rf"^[ \t]*`{{3,}}({'|'.join(LANGUAGES)})$", re.MULTILINE)
READER = Path(__file__).with_name("page_reader.py")
LIMIT = 100  # seconds for one page


def pages() -> list[str]:
    """Return the pages with blocks to run, relative to the checkout."""
    candidates = [CHECKOUT / "README.md", *sorted(CHECKOUT.glob("docs/**/*.md"))]
    return [
        page.relative_to(CHECKOUT).as_posix()
        for page in candidates
        if "_build" not in page.parts and page.exists() and BLOCK.search(page.read_text("utf-8"))
    ]


@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize("page", pages())
def test_blocks_of(page: str, tmp_path: Path) -> None:
    folder, output = tmp_path / "page", tmp_path / "output"
    folder.mkdir()
    examples = CHECKOUT / "docs" / "examples"
    if examples.is_dir():
        shutil.copytree(examples, folder / "docs" / "examples")
    with output.open("w") as stream:
        reader = subprocess.Popen(
            [sys.executable, "-W", "error", str(READER), str(CHECKOUT / page)],
            cwd=folder,
            env=environment_of_a_reader(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = reader.wait(LIMIT)
        finally:
            with suppress(ProcessLookupError):  # processes that the page left in the background
                os.killpg(reader.pid, signal.SIGKILL)
            reader.wait()
    printed = output.read_text("utf-8")
    if status != 0 or "Exception ignored" in printed:
        pytest.fail(printed, pytrace=False)


def environment_of_a_reader() -> dict[str, str]:
    """Return the environment of a page: our `ojob` and `python`, but none of our settings."""
    ours = ("OJOB", "PYTEST_", "TOX_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = os.pathsep.join([sysconfig.get_path("scripts"), env.get("PATH", os.defpath)])
    return env | {"PATH": path, "COLUMNS": "100", "LC_ALL": "C.UTF-8", "PYTHONSAFEPATH": "1"}
