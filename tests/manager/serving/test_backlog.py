"""Work that waits for a thread of the pool, without a launch for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
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


def _note(done: list[str], name: str, _: object) -> None:
    done.append(name)


def test_only_one_piece_of_work_waits_in_the_pool() -> None:
    """The next one waits there before the last one works, so that other threads can take it."""
    pool, done = HandPool(), list[str]()
    backlog = Backlog(pool.submit)

    def work(_: object) -> None:
        done.append(", ".join(name for name, _ in pool.submitted))

    for name in "abc":
        backlog.add(name, work)
    assert len(pool.submitted) == 1
    assert [pool.begin() for _ in range(3)] == ["a", "b", "c"]
    assert done == ["b", "c", ""]
    backlog.add("d", work)
    assert pool.begin() == "d"


def test_work_that_no_thread_takes_is_refused() -> None:
    """It is not done later; what waits behind it is, with the next that has a thread."""
    pool, done = HandPool(), list[str]()
    backlog = Backlog(pool.submit)
    pool.refuses = True
    with pytest.raises(NoThread):
        backlog.add("a", lambda _: done.append("a"))
    pool.refuses = False
    for name in "bc":
        backlog.add(name, partial(_note, done, name))
    pool.refuses = True
    with pytest.raises(NoThread):
        pool.begin()
    pool.refuses = False
    backlog.add("d", lambda _: done.append("d"))
    assert [pool.begin() for _ in range(2)] == ["c", "d"]
    assert done == ["b", "c", "d"]
