"""The steps of an acquisition: what is requested and when to wait, without doing it.

A generator yields the steps. `drive` performs them on the calling thread; `ojobchannels.aio` on an
event loop. So the rules of acquiring a lock are written once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias, TypeVar

_T = TypeVar("_T")


class Queue(NamedTuple):
    """Wait behind the callers of this handle that wait already, at most `timeout` milliseconds.

    A thread need not: the backend has a queue of threads.
    """

    name: str
    timeout: int | None


class Wait(NamedTuple):
    """Wait until the lock may be granted; the arguments are those of the hook ``wait``."""

    name: str
    seen_fence: int
    token: str
    timeout: int | None


Step: TypeAlias = Queue | Wait | Callable[[], Any]
"""A step; a callable is a request, whose result is sent to the generator."""
Steps: TypeAlias = Generator[Step, Any, _T]


def drive(hook: Any, steps: Steps[_T]) -> _T:
    """Perform the steps on this thread, and return the result of the generator."""
    try:
        step = next(steps)
        while True:
            try:
                result = perform(hook, step)
            except Exception as error:  # noqa: BLE001  the generator decides
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as end:
        value: _T = end.value
        return value


def perform(hook: Any, step: Step) -> Any:
    """Perform a step on this thread, and return its result."""
    if isinstance(step, Wait):
        return hook.wait(**step._asdict())
    return None if isinstance(step, Queue) else step()
