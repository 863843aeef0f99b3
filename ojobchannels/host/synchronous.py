"""Refuses functions that return before their work is done: coroutine functions and generators."""

import functools
import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, Final, TypeVar

from ojobchannels.errors import InvalidOption, JobMisuse

_T = TypeVar("_T")

_KINDS: Final[dict[str, Callable[[Any], bool]]] = {
    "a coroutine function": inspect.iscoroutinefunction,
    "an asynchronous generator": inspect.isasyncgenfunction,
    "a generator": inspect.isgeneratorfunction,
}
_ADVICE: Final = {
    "a coroutine function": "call it by `asyncio.run` in a function that is not asynchronous",
    "an asynchronous generator": "collect its values in a function that is not asynchronous",
    "a generator": "return a list of its values",
}
_FLAGS: Final = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_GENERATOR


def check_synchronous(option: str, function: object) -> None:
    """Check that a call of a function does its work before it returns.

    Raises:
        InvalidOption: It is a coroutine function or a generator, or cannot be called.
    """
    while isinstance(function, functools.partial):
        function = function.func
    if _is_ordinary(function):  # each run of a job asks; `inspect` takes ten times as long
        return
    if not callable(function):
        raise InvalidOption(option, f"{function!r} cannot be called", "pass a function")
    for tested in (function, inspect.getattr_static(function, "__call__", None)):
        for kind, matches in _KINDS.items():
            if matches(tested):
                name = getattr(function, "__qualname__", type(function).__qualname__)
                reason = f"{name!r} is {kind}, so that a call returns before its work is done"
                raise InvalidOption(option, reason, _ADVICE[kind])


def _is_ordinary(function: object) -> bool:
    """Return whether this is certainly a function, or a method, that does its work when called.

    One with attributes may be marked as a coroutine function.
    """
    if isinstance(function, MethodType):
        function = function.__func__
    return (
        type(function) is FunctionType
        and not function.__dict__
        and not function.__code__.co_flags & _FLAGS
    )


def check_result(job: str, result: _T) -> _T:
    """Return the result of a job, unless it is work that is still to be done.

    Raises:
        JobMisuse: It is a coroutine, another awaitable or a generator.
    """
    if not (
        inspect.isgenerator(result) or inspect.isasyncgen(result) or inspect.isawaitable(result)
    ):
        return result
    if inspect.iscoroutine(result):
        result.close()  # else Python warns that it was never awaited
    reason = f"it returned a {type(result).__name__}, whose work would be done after the job ended"
    advice = "await it with `asyncio.run`, or return a list of the values"
    raise JobMisuse(job, reason, advice)
