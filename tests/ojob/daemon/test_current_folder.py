"""Code that changes the current folder of the process: relative paths of the run stay the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ojobchannels.ojob import Control, run_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.ojob.conftest import RecordingOutput

MAIN = """\
ojob: {daemon: true, logToFile: {logFolder: logs}}
jobs:
- {name: Go, exec: "import os; os.chdir('other')"}
- {name: Sub, type: jobs, typeArgs: {file: sub.yaml}}
- {name: Tick, typeArgs: {cron: "@yearly"}}
todo: [Go, Sub, Tick]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The current folder of a test, with job files; another one below has others of these names."""
    before = Path.cwd()
    (tmp_path / "other").mkdir()
    (tmp_path / "f.yaml").write_text(MAIN)
    (tmp_path / "sub.yaml").write_text("jobs: [{name: Say, exec: log('right')}]\ntodo: [Say]\n")
    for name in ("f.yaml", "sub.yaml"):
        (tmp_path / "other" / name).write_text(
            "jobs: [{name: Say, exec: log('wrong')}]\ntodo: [Say]\n"
        )
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


@pytest.mark.usefixtures("folder")
def test_files_are_found_where_the_run_began(reported: RecordingOutput, folder: Path) -> None:
    """The file at a reload, job files that jobs run, and the log files."""
    control = Control()
    control.reload()
    control.stop()
    run_file("f.yaml", output=reported, control=control)
    assert "Say: right" in reported.lines
    assert any(line.startswith("ojob: f.yaml reloaded: 1 schedule") for line in reported.lines)
    assert list((folder / "other").glob("logs*")) == []
