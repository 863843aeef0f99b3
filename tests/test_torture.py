"""Exclusivity under fire: many processes, few locks, holders killed at any moment."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

WORKER = Path(__file__).with_name("torture_worker.py")
PROCESSES = 8
LIMIT = 400  # seconds, far beyond what a sound backend needs


class Section(NamedTuple):
    """One critical section, as its process wrote it down; times are nanoseconds since the boot."""

    name: str
    fence: int
    acquired: int
    left: int
    counted: int


class Torture:
    """Processes that work in sections, and are killed and replaced."""

    def __init__(self, config: dict[str, Any], folder: Path, seed: int) -> None:
        self._config = config
        self._folder = folder
        self._dice = random.Random(seed)
        self._workers: list[subprocess.Popen[str]] = []
        self.kills = 0

    def run(self, sections: int, pause: float) -> list[Section]:
        """Works until there are so many sections, killing one process in each pause."""
        history = self._folder / "history"
        began = time.monotonic()
        with self._team():
            while not history.exists() or self._lines(history) < sections:
                assert time.monotonic() < began + LIMIT, f"{self._lines(history)} sections only"
                self._wait(pause)
                self._kill_one()
            (self._folder / "enough").touch()
            for worker in self._workers:
                _, shout = worker.communicate(timeout=60)
                assert worker.returncode == 0, shout
        return [Section(*json.loads(line)) for line in history.read_text().splitlines()]

    @contextmanager
    def _team(self) -> Iterator[None]:
        self._workers = [self._start() for _ in range(PROCESSES)]
        try:
            yield
        finally:
            for worker in self._workers:
                worker.kill()
                worker.communicate()

    def _start(self) -> subprocess.Popen[str]:
        seed = str(self._dice.random())
        return subprocess.Popen(
            [sys.executable, "-W", "error", WORKER, json.dumps(self._config), self._folder, seed],
            stderr=subprocess.PIPE,
            text=True,
        )

    def _wait(self, pause: float) -> None:
        """Waits for the first process to end, which none should, or for the pause to be over."""
        first = self._workers[0]
        try:
            first.wait(pause)
        except subprocess.TimeoutExpired:
            return
        assert first.stderr is not None
        pytest.fail(f"a process ended by itself: {first.stderr.read()}")

    def _kill_one(self) -> None:
        place = self._dice.randrange(PROCESSES)
        worker = self._workers[place]
        assert worker.poll() is None, worker.stderr and worker.stderr.read()
        worker.kill()
        worker.communicate()
        self.kills += 1
        self._workers[place] = self._start()

    @staticmethod
    def _lines(history: Path) -> int:
        return history.read_bytes().count(b"\n") if history.exists() else 0


def check(sections: list[Section], kills: int) -> None:
    """Checks a history: no overlap, no lost increment, fences that grow."""
    by_name: dict[str, list[Section]] = defaultdict(list)
    for section in sections:
        by_name[section.name].append(section)
    for name, history in by_name.items():
        history.sort(key=lambda section: section.fence)
        for earlier, later in itertools.pairwise(history):
            assert earlier.fence < later.fence, f"{name}: fence {later.fence} was given twice"
            assert earlier.left <= later.acquired, f"{name}: {earlier} overlaps {later}"
            assert earlier.counted < later.counted, f"{name}: {later} lost the count of {earlier}"
        assert history[-1].counted <= len(history) + kills, f"{name}: counted what was not done"


@pytest.mark.parametrize("type", ["file", "db"])
def test_holders_that_are_killed_never_let_two_into_a_section(type: str, tmp_path: Path) -> None:
    """Eight processes, killed at random, never are in one section at once, and lose no count."""
    torture = Torture({"type": type, "args": {"file": str(tmp_path / "data")}}, tmp_path, seed=7)
    sections = torture.run(1_000, pause=0.2)
    check(sections, torture.kills)


@pytest.mark.torture
@pytest.mark.timeout(LIMIT + 100)
@pytest.mark.parametrize("type", ["file", "db"])
def test_tens_of_thousands_of_sections(type: str, tmp_path: Path) -> None:
    """The same holds for twenty thousand sections and many kills."""
    torture = Torture({"type": type, "args": {"file": str(tmp_path / "data")}}, tmp_path, seed=11)
    sections = torture.run(20_000, pause=0.25)
    check(sections, torture.kills)
    assert torture.kills >= 20


def test_the_checker_names_sections_that_overlap() -> None:
    """A history with two sections at once is refused, and both are named."""
    history = [Section("north", 1, 10, 30, 1), Section("north", 2, 20, 40, 2)]
    with pytest.raises(AssertionError, match="overlaps"):
        check(history, kills=0)


def test_the_checker_finds_a_lost_increment() -> None:
    """A history in which two sections counted the same is refused."""
    history = [Section("north", 1, 10, 20, 1), Section("north", 2, 30, 40, 1)]
    with pytest.raises(AssertionError, match="lost the count"):
        check(history, kills=0)
