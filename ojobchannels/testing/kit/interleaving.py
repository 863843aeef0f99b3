"""Runs an operation line by line, with a rival in between, to show whether it is one atomic step.

A race between two threads is rare if it is left to chance. Here the operation pauses at a line of
the backend's code and lets the rival run on another thread; at the next lines it waits for the
rival a little longer. If the operation is atomic, the rival is blocked until it has ended, or makes
it start again. A rival that is late under load only makes a defect harder to find.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError
from ojobchannels.testing.kit.background import Background, Task

_FIRST_PAUSE: Final = 0.004  # seconds
_PAUSE: Final = 0.0015
_VISITS: Final = 2  # of a line in a loop
_PAUSES: Final = 4
_PAUSES_IN_LOOPS: Final = 8
_SECONDS: Final = 4.0
"""After this time no further pause begins, so that a slow backend has fewer of them."""
_LATEST: Final = 30.0
_NOT_BACKENDS: Final = ("builtins", "abc", "typing")


class Outcome(NamedTuple):
    """What the operation and its rival returned, or the errors of the package that they raised."""

    operation: Any
    rival: Any


class Pause:
    """One run of an operation, which pauses at its n-th line for a rival.

    Attributes:
        number: The number of the line, from 0; use it for keys and names of this run.
        reached: Whether the operation has such a line.
    """

    def __init__(self, number: int, files: frozenset[str], background: Background) -> None:
        self.number = number
        self.reached = False
        self._files = files
        self._background = background
        self._passed = 0
        self._rival: Task[Any] | None = None
        self._start: Callable[[], Task[Any]]
        self._visits: Counter[tuple[CodeType, int]] = Counter()
        self._pauses = 0

    def run(self, operation: Callable[[], Any], rival: Callable[[], Any]) -> Outcome:
        """Run the operation on this thread, and the rival on another thread when it pauses."""
        self._start = partial(self._background, attempt, rival)
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            result = attempt(operation)
        finally:
            sys.settrace(before)
        task = self._rival or self._start()
        return Outcome(result, task.result(_LATEST))

    def _enter(self, frame: FrameType, _: str, __: Any) -> Any:
        return self._step if frame.f_code.co_filename in self._files else None

    def _step(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self._pause(frame)
        return self._step

    def _pause(self, frame: FrameType) -> None:
        line = frame.f_code, frame.f_lineno
        self._visits[line] += 1
        if self._visits[line] > _VISITS:
            return
        if self._rival is not None:
            again = self._visits[line] == _VISITS
            if self._pauses < _PAUSES + again * _PAUSES_IN_LOOPS:
                self._pauses += 1
                self._rival.finished.wait(_PAUSE)
        elif self._passed == self.number:
            self.reached = True
            self._visits.clear()
            self._rival = self._start()
            self._rival.finished.wait(_FIRST_PAUSE)
        else:
            self._passed += 1


class Interleaving:
    """Lets a rival run between any two lines of an operation.

    Example::

        for pause in interleaving(channel):
            key = pause.number
            outcome = pause.run(lambda: channel.add(key, 1), lambda: other.add(key, 2))
            assert [outcome.operation, outcome.rival].count(True) == 1
    """

    def __init__(self, background: Background) -> None:
        self._background = background

    def __call__(
        self, channel: Channel, most: int = 60, whole_package: bool = False
    ) -> Iterator[Pause]:
        """Yield a pause for each line of the operation that the loop runs.

        Lines are those of the modules of the backend's class and its bases, or of their packages.
        """
        files = frozenset(files_of(channel, whole_package))
        latest = time.monotonic() + _SECONDS
        for number in range(most):
            if time.monotonic() > latest:
                return
            pause = Pause(number, files, self._background)
            yield pause
            if not pause.reached:
                return


def attempt(call: Callable[[], Any]) -> Any:
    """Return the result of a call, or the error of the package that it raises."""
    try:
        return call()
    except ChannelError as error:
        return error


def backend_of(channel: Channel) -> object:
    """Return the backend of an open channel."""
    for implementation in channel.hook.get.get_hookimpls():
        if not (implementation.wrapper or implementation.hookwrapper):
            backend: object = implementation.plugin
            return backend
    raise TypeError(f"{channel!r} has no backend")


def files_of(channel: Channel, whole_package: bool) -> Iterator[str]:
    """Yield the source files of the class of a backend and of its bases, or of their packages."""
    for kind in type(backend_of(channel)).__mro__:
        if kind.__module__ in _NOT_BACKENDS:
            continue
        module = sys.modules.get(kind.__module__)
        source = getattr(module, "__file__", None) or inspect.getfile(kind)
        in_package = whole_package and "." in kind.__module__
        yield from map(str, Path(source).parent.glob("*.py")) if in_package else [source]
