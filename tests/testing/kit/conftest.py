"""A project in which an author of a backend runs the kit."""

from __future__ import annotations

import subprocess
import sys

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

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = pytester.path
        self._pytester = pytester
        self._monkeypatch = monkeypatch

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")

    def install_defective(
        self,
        defect: str = "return bool(super().unset(key, fence)) or True",
        operation: str = "unset(self, key, fence)",
        name: str = "defective",
    ) -> None:
        """Install a backend with a defect in one operation, for new processes in this folder."""
        source = DEFECTIVE.replace("DEFECT", defect).replace("OPERATION", operation)
        self.write(f"{name}.py", source.replace('"defective"', f'"{name}"'))
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n"
        self.write(f"{name}.egg-info/PKG-INFO", about)
        self.write(f"{name}.egg-info/entry_points.txt", f"[ojobchannels]\n{name} = {name}\n")
        self._monkeypatch.setenv("PYTHONPATH", str(self.folder), prepend=":")

    def pytest(self, *words: str, status: int = 0) -> str:
        """Run pytest in this process; check its exit status, and return its output."""
        done = self._pytester.runpytest_inprocess("-p", "ojobchannels.pytest_plugin", *words)
        assert done.ret == status
        return f"{done.stdout}\n{done.stderr}"

    def new_pytest(self, *words: str, status: int = 0) -> str:
        """Do the same in a new process, which finds an installed backend."""
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
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # faster
    made = Project(pytester, monkeypatch)
    made.write("pytest.ini", "[pytest]\nstrict_markers = true\nfilterwarnings = error\n")
    return made
