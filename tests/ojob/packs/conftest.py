"""Fixtures of the tests of bundled packs."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from ojobchannels.ojob import RunResult, run_file

if TYPE_CHECKING:
    from tests.ojob.conftest import RecordingOutput, Run


@pytest.fixture
def run(tmp_path: Path, reported: RecordingOutput) -> Run:
    """Run a job file, given without its `include`; return its result and the reported lines."""

    def run(text: str, **args: Any) -> tuple[RunResult, list[str]]:
        path, reported.lines = tmp_path / "f.yaml", []
        path.write_text(
            "include: [oJobBasics.yaml, oJobQueue.yaml, oJobDirector.yaml]\n" + dedent(text)
        )
        return run_file(path, args, reported), reported.lines

    return run
