"""A project in which an author of a backend runs the kit, in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# A backend with a defect, found by an entry point like any other.
DEFECTIVE = """
import ojobchannels as oc
from ojobchannels.backends.simple import backend as simple

class Defective(simple.SimpleBackend):
    @oc.hookimpl
    def OPERATION:
        DEFECT

def open(channel, options):
    store = simple._stores.setdefault(("", channel), simple.Store())
    return Defective(channel, store, options["clock"])

@oc.hookimpl
def ojobchannels_channel_types():
    from ojobchannels.backends import ojobchannels_channel_types as built_in
    options = built_in()[0].options
    return [oc.ChannelType("defective", "", open, options, capabilities=frozenset({"clock"}))]
"""


class Project:
    """A folder in which an author of a backend runs pytest."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")

    def install_defective(
        self,
        defect: str = "return bool(super().unset(key, fence)) or True",
        operation: str = "unset(self, key, fence)",
    ) -> None:
        """Install a backend with a defect in one operation, for runs in this folder."""
        source = DEFECTIVE.replace("DEFECT", defect).replace("OPERATION", operation)
        self.write("defective.py", source)
        self.write(
            "defective.egg-info/PKG-INFO", "Metadata-Version: 2.1\nName: defective\nVersion: 1\n"
        )
        self.write("defective.egg-info/entry_points.txt", "[ojobchannels]\ndefective = defective\n")
        self._monkeypatch.setenv("PYTHONPATH", str(self.folder), prepend=":")

    def pytest(self, *words: str, status: int = 0) -> str:
        """Run pytest in a new process; check its exit status, and return its output."""
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "ojobchannels.pytest_plugin", *words],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # faster
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nstrict_markers = true\nfilterwarnings = error\n"
    )
    return Project(tmp_path, monkeypatch)
