"""The selection of tests by marker, which skips the import of files without such tests."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough  # imports all tests eight times

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDERS = ("tests", *sorted(map(str, CHECKOUT.glob("plugins/*/tests"))))
SELECTIONS = sorted(set(re.findall('-m "(.*?)"', (CHECKOUT / "tox.ini").read_text("utf-8"))))


@pytest.mark.parametrize("selection", [*SELECTIONS, "thorough"])
def test_no_test_is_missed(selection: str) -> None:
    """As many are selected as when all files are imported."""
    assert selected(selection) == selected(selection, "--confcutdir", "tests")


def selected(selection: str, *arguments: str) -> set[str]:
    """Return the tests of a run; it ignores a `conftest.py` above `--confcutdir`."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", selection]
    done = subprocess.run(
        [*command, *arguments, *FOLDERS], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    # How often pytest escapes a backslash depends on the conftest.py that it has read.
    lines = re.sub(r"\\+", "/", done.stdout).splitlines()
    return {line for line in lines if "::" in line}
