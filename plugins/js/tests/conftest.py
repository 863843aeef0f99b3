"""Job files with JavaScript, run to their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeAlias

import pytest

from ojobchannels import JobManager
from ojobchannels.ojob import Output, RunResult, run_file
from ojobchannels.ojob.report.events import Event

Run: TypeAlias = Callable[..., tuple[RunResult, list[str]]]


class RecordingOutput:
    """Keeps what a run reports, as one line for each event."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def emit(self, event: Event) -> None:
        if event.outcome is not None:
            reason = f" ({event.outcome.reason})" if event.outcome.reason else ""
            self.lines.append(f"{event.job} {event.outcome.status}{reason}")
        elif event.kind == "log":
            self.lines.append(f"{event.job}: {event.message}")

    def close(self) -> None:
        pass


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
def run_path() -> Run:
    """Run a job file with `--lang js`, with the manager on `config` or as the file says."""

    def run_path(path: Path, config: Any, **args: Any) -> tuple[RunResult, list[str]]:
        reported = RecordingOutput()
        result = run_file(path, args, Output(reported), config, config, lang="js")
        return result, reported.lines

    return run_path


@pytest.fixture
def run(tmp_path: Path, config: dict[str, Any], run_path: Run) -> Run:
    """Run a job file, given without its `include`; return its result and the reported lines."""

    def run(text: str, **args: Any) -> tuple[RunResult, list[str]]:
        path = tmp_path / "f.yaml"
        path.write_text(dedent(text))
        return run_path(path, config, **args)

    return run


@pytest.fixture
def body(run: Run) -> Callable[..., list[str]]:
    """Run one block of JavaScript, which must succeed, and return its logged lines."""

    def body(text: str, **args: Any) -> list[str]:
        code = "".join(f"    {line}\n" for line in dedent(text).splitlines())
        result, reported = run(f"jobs:\n- name: A\n  exec: |\n{code}todo: [A]\n", **args)
        assert result.exit_status == 0, reported
        return [line.removeprefix("A: ") for line in reported[:-1]]

    return body
