"""Fixtures of the tests that run job files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeAlias

import pytest

from ojobchannels.manager import JobManager
from ojobchannels.ojob import Outcome, Output, RunResult, run_file

Run: TypeAlias = Callable[..., tuple[RunResult, list[str]]]


class Told(Output):
    """Keeps what a run tells, a line for each thing."""

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
def told() -> Told:
    """What keeps the lines of a run."""
    return Told()


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Where the manager of the job files keeps its channels."""
    return {"type": "db", "args": {"file": str(tmp_path / "manager.db")}}


@pytest.fixture
def manager(config: dict[str, Any]) -> Iterator[JobManager]:
    """A manager on the same channels, to look at them from outside, and to hold locks."""
    with JobManager(config, config) as manager:
        yield manager


@pytest.fixture
def run(tmp_path: Path, config: dict[str, Any]) -> Run:
    """Runs a job file, given without its `include`; answers its result, and what was told."""

    def run(text: str, **args: Any) -> tuple[RunResult, list[str]]:
        path = tmp_path / "f.yaml"
        path.write_text("include: [oJobManager.yaml]\n" + dedent(text))
        told = Told()
        return run_file(path, args, told, jobs=config, locks=config), told.lines

    return run
