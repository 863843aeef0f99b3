"""Fixtures of the tests of schedules: daemons in threads, and a clock that only the test moves."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from queue import Empty, Queue
from textwrap import dedent
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from ojobchannels.manager import JobManager
from ojobchannels.ojob import Outcome, Output, RunResult
from ojobchannels.testing.clock import ScheduleClock
from ojobchannels.testing.fixtures.job_files import RunInThread

if TYPE_CHECKING:
    from ojobchannels.ojob.report.events import Level

NOON = round(datetime.fromisoformat("2026-03-01T12:00:00Z").timestamp() * 1000)
MINUTE = 60_000
TIMEOUT_SECONDS = 60.0


class HandClock(ScheduleClock):
    """A clock for schedules that starts at noon."""

    def __init__(self, now: int = NOON) -> None:
        super().__init__(now)

    def move(self, milliseconds: int) -> None:
        self.advance(milliseconds / 1000)


class DaemonOutput(Output):
    """Keeps the lines of a daemon, so that a test can wait for them."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: Queue[str] = Queue()
        self._unmatched: list[str] = []

    def log(self, job: str, level: Level, text: str) -> None:
        self._lines.put(f"{job}: {text}" if level == "info" else f"{job}: {level}: {text}")

    def started(self, job: str, config: str = "") -> None:
        pass

    def ended(self, outcome: Outcome) -> None:
        reason = f" ({outcome.reason})" if outcome.reason else ""
        self._lines.put(f"{outcome.job} {outcome.status}{reason}")

    def wait_for(self, part: str, within: float = TIMEOUT_SECONDS) -> str:
        """Wait for the first unmatched line that contains a text, and return it."""
        for at, line in enumerate(self._unmatched):
            if part in line:
                return self._unmatched.pop(at)
        while True:
            line = self._lines.get(timeout=within)
            if part in line:
                return line
            self._unmatched.append(line)

    def reports(self, part: str, within: float) -> bool:
        """Return whether a line that contains a text comes within some seconds."""
        try:
            self.wait_for(part, within)
        except Empty:
            return False
        return True

    def rest(self) -> list[str]:
        """Return the lines that no call has matched."""
        return self._unmatched + [self._lines.get() for _ in range(self._lines.qsize())]


class DaemonThread:
    """A daemon that runs in a thread of the test."""

    def __init__(
        self, path: Path, output: DaemonOutput, clock: HandClock, args: dict[str, Any], config: Any
    ) -> None:
        self.path = path
        self.clock = clock
        self.output = output
        self.wait_for = self.output.wait_for
        self._run = RunInThread(path, args, output, config, clock)
        self.control = self._run.control

    def reload(self, text: str) -> None:
        """Change its file, and reload it."""
        self.path.write_text(whole(text))
        self.control.reload()

    def stop(self) -> RunResult:
        """Stop it in order, and return its result."""
        self.control.stop()
        return self.result()

    def result(self) -> RunResult:
        """Return its result, after its end."""
        return self._run.join(TIMEOUT_SECONDS)


RunDaemon: TypeAlias = Callable[..., DaemonThread]


class StoredRuns:
    """The run records that the daemons of a test have left."""

    def __init__(self, manager: JobManager) -> None:
        self.manager = manager

    def fired(self, *statuses: str) -> list[tuple[str, str, str]]:
        """Return the runs for fire times as (name, time, status), by time."""
        reported = [
            (one["name"], one["fireDate"][11:16], one["status"])
            for one in self.manager.runs(limit=None)
            if "fireTime" in one and (not statuses or one["status"] in statuses)
        ]
        return sorted(reported, key=lambda one: one[1])


@pytest.fixture
def stored_runs(manager: JobManager) -> StoredRuns:
    """The run records, seen from outside."""
    return StoredRuns(manager)


@pytest.fixture
def hand_clock() -> HandClock:
    """A clock that stays at noon until the test moves it."""
    return HandClock()


@pytest.fixture
def run_daemon(hand_clock: HandClock) -> Iterator[RunDaemon]:
    """Run files as daemons, and wait until the todo of each has reached its job Ready."""
    daemons: list[DaemonThread] = []

    def run(
        path: Path,
        clock: HandClock = hand_clock,
        output: DaemonOutput | None = None,
        config: object = None,
        ready: str = "Ready: here",
        **args: Any,
    ) -> DaemonThread:
        daemon = DaemonThread(path, output or DaemonOutput(), clock, args, config)
        daemons.append(daemon)
        daemon.wait_for(ready)
        return daemon

    yield run
    for daemon in daemons:
        daemon.stop()


@pytest.fixture
def start_daemon(tmp_path: Path, config: dict[str, Any], run_daemon: RunDaemon) -> RunDaemon:
    """Start daemons from a text without `include`, whose last line is the todo."""
    numbers = itertools.count()

    def start(text: str, *, config: object = config, **options: Any) -> DaemonThread:
        path = tmp_path / f"{next(numbers)}.yaml"
        path.write_text(whole(text))
        return run_daemon(path, config=config, **options)

    return start


def whole(text: str) -> str:
    """Complete a job file: add the pack, the setting `daemon`, and the job Ready."""
    body, _, todo = dedent(text).rstrip().rpartition("todo: [")
    settings = "" if "ojob:" in body else "ojob: {daemon: true}\n"
    ready = "- {name: Ready, exec: log('here')}\n"
    return f"include: oJobManager.yaml\n{settings}{body}{ready}todo: [{todo[:-1]}, Ready]\n"
