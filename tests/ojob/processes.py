"""Fixtures of the tests that run job files as processes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ojobchannels.testing.fixtures.server_types import SERVER_TYPES
from ojobchannels.testing.fixtures.shared_servers import PROCESSES
from ojobchannels.testing.forks import Forks
from ojobchannels.testing.programs import JOB_FILES, Program
from ojobchannels.testing.servers import or_skip
from ojobchannels.testing.servers.process import url_of


@pytest.fixture
def start(tmp_path: Path, _ojob_forks: Forks) -> Iterator[Callable[..., Program]]:
    """Start a program with a job file and more arguments."""
    started: list[Program] = []

    def start(program: str, text: str, *words: object, to: int = subprocess.PIPE) -> Program:
        path = tmp_path / f"{len(started)}.yaml"
        path.write_text(text)
        process = Program(
            _ojob_forks,
            ["-c", program, path, *words],
            stdout=to,
            stderr=subprocess.STDOUT,
            imports=JOB_FILES,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.fixture(params=["file", "db", *SERVER_TYPES])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The channels of two daemons, of each type in turn."""
    type_name = str(request.param)
    if type_name not in SERVER_TYPES:
        yield {"type": type_name, "args": {"file": str(tmp_path / f"shared.{type_name}")}}
        return
    pytest.importorskip(f"ojobchannels_{type_name}")
    with or_skip(), url_of(SERVER_TYPES[type_name].variable, PROCESSES[type_name]) as url:
        yield {"type": type_name, "args": {"url": url}}
