"""Steps: a description of what to do that a thread or an event loop performs.

A generator yields the steps, each a callable, and gets their results. `drive` calls them on the
calling thread; `drive_async` also awaits the results that are coroutines. So what is requested, and
what follows from a reply or an error, is written once for both.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator
from functools import wraps
from types import CoroutineType
from typing import Any, ParamSpec, TypeAlias, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

Step: TypeAlias = Callable[[], Any]
"""A step; its result, awaited if it is a coroutine, is sent to the generator."""
Steps: TypeAlias = Generator[Step, Any, _T]


def drive(steps: Steps[_T]) -> _T:
    """Perform the steps on this thread, and return the result of the generator."""
    try:
        step = next(steps)
        while True:
            try:
                result = step()
            except Exception as error:  # noqa: BLE001  the generator decides
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as end:
        value: _T = end.value
        return value
    finally:
        steps.close()


async def drive_async(steps: Steps[_T], perform: Callable[[Step], Any] = operator.call) -> _T:
    """Perform the steps on this event loop, and return the result of the generator.

    Args:
        steps: The generator.
        perform: Performs a step, and returns its result, or a coroutine that does.
    """
    try:
        step = next(steps)
        while True:
            try:
                result = perform(step)
                if isinstance(result, CoroutineType):
                    result = await result
            except Exception as error:  # noqa: BLE001  the generator decides
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as end:
        value: _T = end.value
        return value
    finally:
        steps.close()


def one(step: Callable[[], _T]) -> Steps[_T]:
    """Yield a single step, and return its result."""
    result: _T = yield step
    return result


def performed(method: Callable[_P, Steps[_T]]) -> Callable[_P, _T]:
    """Return a method that has the steps of another one performed, by ``self.perform``.

    With `drive` the object serves threads, and the method returns the result; with `drive_async` it
    serves an event loop, and the method returns a coroutine.
    """

    @wraps(method)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        owner: Any = args[0]
        result: _T = owner.perform(method(*args, **kwargs))
        return result

    return call
