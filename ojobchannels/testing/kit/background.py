"""Background threads for promises, with timeouts so that none can hang the test run."""

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
from ojobchannels.testing.kit.stacks import all_stacks
from ojobchannels.testing.kit.trace import Trace

PATIENCE: Final = 15.0
"""Seconds after which an expected event counts as missing."""
SOON: Final = 10.0
"""Seconds after which a wake-up counts as missed: a busy server may stall for several."""

_T = TypeVar("_T")


class Task(Generic[_T]):
    """A function that runs on another thread.

    Attributes:
        name: The name of the thread.
        thread: The thread.
        finished: Set when the function has returned or raised.
    """

    def __init__(self, name: str, function: Callable[[], _T]) -> None:
        self._future: Future[_T] = Future()
        self.finished = threading.Event()
        self.name = name
        self.thread = threading.Thread(target=self._run, args=[function], name=name, daemon=True)
        self.thread.start()

    def _run(self, function: Callable[[], _T]) -> None:
        try:
            self._future.set_result(function())
        except BaseException as error:  # noqa: BLE001  raised again by `result`
            self._future.set_exception(error)
        self.finished.set()

    def done(self) -> bool:
        """Return whether the function has returned or raised."""
        return self._future.done()

    def result(self, within: float = PATIENCE) -> _T:
        """Return or raise what the function did; fail the test after `within` seconds."""
        __tracebackhide__ = True
        try:
            return self._future.result(within)
        except StillRunning:
            if self._future.done():
                raise
        pytest.fail(f"{self.name} was still running after {within:g} s\n{all_stacks()}")


class Background:
    """Runs functions on threads of their own and waits for them at the end of the test."""

    def __init__(self, trace: Trace) -> None:
        self._numbers = itertools.count(1)
        self._tasks: list[Task[Any]] = []
        self._trace = trace

    def __call__(self, function: Callable[..., _T], *args: Any, **kwargs: Any) -> Task[_T]:
        """Start `function` on a new thread."""
        task = Task(f"thread {next(self._numbers)}", lambda: function(*args, **kwargs))
        self._tasks.append(task)
        return task

    def together(self, *functions: Callable[[], _T]) -> list[_T]:
        """Run all functions at the same moment and return their results in order."""
        __tracebackhide__ = True
        start = threading.Barrier(len(functions))

        def begin(function: Callable[[], _T]) -> _T:
            start.wait(PATIENCE)
            return function()

        tasks = [self(begin, function) for function in functions]
        return [task.result(30) for task in tasks]

    def join(self) -> None:
        """Wait up to 2 seconds for the threads that are still running."""
        until = time.monotonic() + 2
        for task in self._tasks:
            task.thread.join(max(until - time.monotonic(), 0))


class WaitObserver:
    """An extension that counts calls of the hook `wait`."""

    def __init__(self) -> None:
        self._calls = threading.Semaphore(0)

    @hookimpl(wrapper=True)
    def wait(self) -> Iterator[None]:
        """Count the call before the backend sees it."""
        self._calls.release()
        return (yield)

    def await_waiters(self, count: int = 1) -> None:
        """Block until `wait` was called `count` times since the last call of this method."""
        __tracebackhide__ = True
        for _ in range(count):
            if not self._calls.acquire(timeout=PATIENCE):
                pytest.fail(
                    f"no caller began to wait for the lock within {PATIENCE:g} s\n{all_stacks()}"
                )
