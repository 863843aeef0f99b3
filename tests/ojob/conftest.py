"""Fixtures of the tests that run job files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeAlias

import pytest

from ojobchannels.manager import JobManager
from ojobchannels.ojob import Outcome, Output, RunResult, run_file

Run: TypeAlias = Callable[..., tuple[RunResult, list[str]]]


class RecordingOutput(Output):
    """Keeps what a run reports, as one line for each event."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def log(self, job: str, level: str, text: str) -> None:
        self.lines.append(f"{job}: {text}" if level == "info" else f"{job}: {level}: {text}")

    def started(self, job: str, place: str = "") -> None:
        pass

    def ended(self, outcome: Outcome) -> None:
        reason = f" ({outcome.reason})" if outcome.reason else ""
        self.lines.append(f"{outcome.job} {outcome.status}{reason}")


@pytest.fixture
def reported() -> RecordingOutput:
    """An output that keeps the lines of a run."""
    return RecordingOutput()


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Where the manager of the job files keeps its channels."""
    return {"type": "db", "args": {"file": str(tmp_path / "manager.db")}}


@pytest.fixture
def manager(config: dict[str, Any]) -> Iterator[JobManager]:
    """A manager on the same channels, to inspect them from outside."""
    with JobManager(config, config) as manager:
        yield manager


@pytest.fixture
def run(tmp_path: Path, config: dict[str, Any]) -> Run:
    """Run a job file, given without its `include`; return its result and the reported lines."""

    def run(
        text: str, options: Mapping[str, Any] | None = None, **args: Any
    ) -> tuple[RunResult, list[str]]:
        path = tmp_path / "f.yaml"
        path.write_text("include: [oJobManager.yaml]\n" + dedent(text))
        reported = RecordingOutput()
        result = run_file(path, args, reported, jobs=config, locks=config, **(options or {}))
        return result, reported.lines

    return run
