"""Schedules that wait for a thread of the pool, without a launch for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import sentinel

import pytest

from ojobchannels.errors import NoThread
from ojobchannels.manager.serving.backlog import Backlog


class HandPool:
    """A pool whose work is begun by the test."""

    def __init__(self) -> None:
        self.submitted: deque[tuple[str, Callable[[Any], None]]] = deque()
        self.refuses = False

    def submit(self, name: str, work: Callable[[Any], None]) -> None:
        if self.refuses:
            raise NoThread("a job")
        self.submitted.append((name, work))

    def begin(self) -> str:
        """Begin the work that was submitted first, and return its name."""
        name, work = self.submitted.popleft()
        work(sentinel.launch)
        return name


@dataclass
class Noting:
    """A schedule whose work is to note its title, and what waits in the pool meanwhile."""

    title: str
    pool: HandPool
    done: list[str]

    def work(self, _: object) -> None:
        self.done.append(" ".join([self.title, *(name for name, _ in self.pool.submitted)]))


def test_only_one_schedule_waits_in_the_pool() -> None:
    """The next one waits there before the last one works, so that other threads can take it."""
    pool, done = HandPool(), list[str]()
    backlog = Backlog(pool.submit)
    for title in "abc":
        backlog.add(Noting(title, pool, done))
    assert len(pool.submitted) == 1
    assert [pool.begin() for _ in range(3)] == ["a", "b", "c"]
    assert done == ["a b", "b c", "c"]
    backlog.add(Noting("d", pool, done))
    assert pool.begin() == "d"


def test_work_that_no_thread_takes_is_refused() -> None:
    """It is not done later; what waits behind it is, with the next that has a thread."""
    pool, done = HandPool(), list[str]()
    backlog = Backlog(pool.submit)
    pool.refuses = True
    with pytest.raises(NoThread):
        backlog.add(Noting("a", pool, done))
    pool.refuses = False
    for title in "bc":
        backlog.add(Noting(title, pool, done))
    pool.refuses = True
    with pytest.raises(NoThread):
        pool.begin()
    pool.refuses = False
    backlog.add(Noting("d", pool, done))
    assert [pool.begin() for _ in range(2)] == ["c", "d"]
    assert done == ["b", "c d", "d"]
