"""Threads of a promise, none of which can hang it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning
from typing import Any, Final, Generic, TypeVar

import pytest

from ojobchannels.hookspecs import hookimpl
from ojobchannels.testing.kit.trace import Story

PATIENCE: Final = 5.0
"""Seconds after which what should long have happened counts as what never will."""

_T = TypeVar("_T")


class Task(Generic[_T]):
    """Something that runs on another thread."""

    def __init__(self, name: str, function: Callable[[], _T]) -> None:
        self._future: Future[_T] = Future()
        self.name = name
        self.thread = threading.Thread(target=self._run, args=[function], name=name, daemon=True)
        self.thread.start()

    def _run(self, function: Callable[[], _T]) -> None:
        try:
            self._future.set_result(function())
        except BaseException as error:  # noqa: BLE001  whoever asks for the result gets it
            self._future.set_exception(error)

    def done(self) -> bool:
        """Whether it is."""
        return self._future.done()

    def result(self, within: float = PATIENCE) -> _T:
        """Returns what it answered, or raises what it raised; fails if it goes on for too long."""
        __tracebackhide__ = True
        try:
            return self._future.result(within)
        except StillRunning:
            if self._future.done():
                raise
        pytest.fail(f"{self.name} was still at work after {within:g} s")


class Background:
    """Runs functions on threads of their own; at the end waits a while for all of them."""

    def __init__(self, story: Story) -> None:
        self._numbers = itertools.count(1)
        self._tasks: list[Task[Any]] = []
        self._story = story

    def __call__(self, function: Callable[..., _T], *args: Any, **kwargs: Any) -> Task[_T]:
        """Starts one."""
        task = Task(f"thread {next(self._numbers)}", lambda: function(*args, **kwargs))
        self._tasks.append(task)
        return task

    def together(self, *functions: Callable[[], _T]) -> list[_T]:
        """Runs all at once, as nearly as threads can, and returns their answers."""
        __tracebackhide__ = True
        start = threading.Barrier(len(functions))

        def begin(function: Callable[[], _T]) -> _T:
            start.wait(PATIENCE)
            return function()

        tasks = [self(begin, function) for function in functions]
        return [task.result(30) for task in tasks]

    def join(self) -> None:
        """Waits for what is still at work, but not for ever."""
        until = time.monotonic() + 2
        for task in self._tasks:
            task.thread.join(max(until - time.monotonic(), 0))


class Announcer:
    """An extension that tells when somebody is about to wait for a lock."""

    def __init__(self) -> None:
        self._waiting = threading.Semaphore(0)

    @hookimpl(wrapper=True)
    def wait(self) -> Iterator[None]:
        """Lets `await_waiter` go on."""
        self._waiting.release()
        return (yield)

    def await_waiter(self, count: int = 1) -> None:
        """Returns when so many have gone to wait."""
        __tracebackhide__ = True
        for _ in range(count):
            if not self._waiting.acquire(timeout=PATIENCE):
                pytest.fail(f"nobody went to wait for the lock within {PATIENCE:g} s")
