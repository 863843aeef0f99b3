"""Fixtures of the tests of schedules: daemons in threads, and a clock that only the test moves."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from textwrap import dedent
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from ojobchannels.manager import JobManager
from ojobchannels.ojob import Control, Outcome, Output, RunResult, run_file

if TYPE_CHECKING:
    from ojobchannels.ojob.report.events import Level

BEGIN = round(datetime.fromisoformat("2026-03-01T12:00:00Z").timestamp() * 1000)
MINUTE = 60_000
PATIENCE = 60.0


class HandClock:
    """A clock for schedules; who waits on it wakes when it is moved."""

    def __init__(self, now: int = BEGIN) -> None:
        self._now = now
        self._moved = 0
        self._waiters: dict[threading.Event, int] = {}
        self._asleep: set[threading.Event] = set()
        self._lock = threading.Condition()

    def now(self) -> int:
        with self._lock:
            return self._now

    def wait(self, woken: threading.Event, milliseconds: int) -> None:  # noqa: ARG002  its face
        with self._lock:
            missed = self._waiters.get(woken) != self._moved
            self._waiters[woken] = self._moved
            if not missed:
                self._asleep.add(woken)
                self._lock.notify_all()
        if not missed:  # else the pause was counted from another time
            woken.wait()

    def advance(self, milliseconds: int) -> None:
        with self._lock:
            self._now += milliseconds
            self._moved += 1
            self._asleep.clear()
            for woken in self._waiters:
                woken.set()

    def settle(self) -> None:
        """Returns when all who wait on it have seen to the time to which it was moved."""
        with self._lock:
            self._lock.wait_for(lambda: self._asleep == self._waiters.keys(), PATIENCE)


class Heard(Output):
    """Keeps what a daemon tells, to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._unheard: list[str] = []

    def log(self, job: str, level: Level, text: str) -> None:
        self._lines.put(f"{job}: {text}" if level == "info" else f"{job}: {level}: {text}")

    def started(self, job: str, place: str = "") -> None:
        pass

    def ended(self, outcome: Outcome) -> None:
        reason = f" ({outcome.reason})" if outcome.reason else ""
        self._lines.put(f"{outcome.job} {outcome.status}{reason}")

    def hear(self, part: str, within: float = PATIENCE) -> str:
        """Returns the first line that holds a text and was not heard yet; waits for it."""
        for at, line in enumerate(self._unheard):
            if part in line:
                return self._unheard.pop(at)
        while True:
            line = self._lines.get(timeout=within)
            if part in line:
                return line
            self._unheard.append(line)

    def hears(self, part: str, within: float) -> bool:
        """Tells whether a line that holds a text comes soon."""
        try:
            self.hear(part, within)
        except Empty:
            return False
        return True

    def rest(self) -> list[str]:
        """Returns the lines that were not heard yet."""
        return self._unheard + [self._lines.get() for _ in range(self._lines.qsize())]


class House:
    """A daemon that runs in a thread of the test."""

    def __init__(
        self, path: Path, output: Heard, clock: HandClock, args: dict[str, Any], place: Any
    ) -> None:
        self.path = path
        self.clock = clock
        self.output = output
        self.hear = self.output.hear
        self.control = Control()
        self._result: Future[RunResult] = Future()
        self._thread = threading.Thread(target=self._run, args=(args, place))
        self._thread.start()

    def _run(self, args: dict[str, Any], place: Any) -> None:
        try:
            run = run_file(
                self.path,
                args,
                self.output,
                jobs=place,
                locks=place,
                control=self.control,
                clock=self.clock,
            )
        except BaseException as error:  # noqa: BLE001  the test raises it
            self._result.set_exception(error)
        else:
            self._result.set_result(run)

    def reread(self, text: str) -> None:
        """Changes its file, and has it read again."""
        self.path.write_text(whole(text))
        self.control.reload()

    def stop(self) -> RunResult:
        """Has it end in order, and returns what became of it."""
        self.control.stop()
        return self.result()

    def result(self) -> RunResult:
        """Returns what became of it, when it is over."""
        self._thread.join(PATIENCE)
        return self._result.result(PATIENCE)


RunDaemon: TypeAlias = Callable[..., House]


class Books:
    """What the daemons of a test have left in their channels."""

    def __init__(self, manager: JobManager) -> None:
        self.manager = manager

    def fired(self, *statuses: str) -> list[tuple[str, str, str]]:
        """Returns the runs that were due at times: name, time, status; by time."""
        told = [
            (one["name"], one["fireDate"][11:16], one["status"])
            for one in self.manager.runs(limit=None)
            if "fireTime" in one and (not statuses or one["status"] in statuses)
        ]
        return sorted(told, key=lambda one: one[1])


@pytest.fixture
def place(tmp_path: Path) -> dict[str, Any]:
    """Where the daemons keep their channels."""
    return {"type": "db", "args": {"file": str(tmp_path / "manager.db")}}


@pytest.fixture
def books(place: dict[str, Any]) -> Iterator[Books]:
    """A look at their records, from outside."""
    with JobManager(place, place) as manager:
        yield Books(manager)


@pytest.fixture
def hand_clock() -> HandClock:
    """Stands at noon until the test moves it."""
    return HandClock()


@pytest.fixture
def run_daemon(hand_clock: HandClock) -> Iterator[RunDaemon]:
    """Runs files as daemons, each from when its todo has come to a job Ready."""
    houses: list[House] = []

    def run(
        path: Path,
        clock: HandClock = hand_clock,
        output: Heard | None = None,
        place: object = None,
        ready: str = "Ready: here",
        **args: Any,
    ) -> House:
        house = House(path, output or Heard(), clock, args, place)
        houses.append(house)
        house.hear(ready)
        return house

    yield run
    for house in houses:
        house.stop()


@pytest.fixture
def start_daemon(tmp_path: Path, place: dict[str, Any], run_daemon: RunDaemon) -> RunDaemon:
    """Starts daemons from their text, without `include`, and with the todo as the last line."""
    numbers = itertools.count()

    def start(text: str, *, place: object = place, **options: Any) -> House:
        path = tmp_path / f"{next(numbers)}.yaml"
        path.write_text(whole(text))
        return run_daemon(path, place=place, **options)

    return start


def whole(text: str) -> str:
    """Completes a job file: with the pack, a daemon's settings, and a job that says it is there."""
    body, _, todo = dedent(text).rstrip().rpartition("todo: [")
    settings = "" if "ojob:" in body else "ojob: {daemon: true}\n"
    ready = "- {name: Ready, exec: log('here')}\n"
    return f"include: oJobManager.yaml\n{settings}{body}{ready}todo: [{todo[:-1]}, Ready]\n"
