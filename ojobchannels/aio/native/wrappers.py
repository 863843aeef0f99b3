"""The wrappers of extensions around operations that an event loop awaits.

They run as pluggy runs them around plain operations: each begins before the operation, and gets its
result, or its error, after it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable
from functools import reduce
from typing import Any, TypeAlias

import pluggy

_Operation: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]


def may_run_in_loop(wrapper: pluggy.HookImpl) -> bool:
    """Return whether the extension of a wrapper says that it never blocks.

    Wrappers of the old style, and those with optional arguments, which some releases of pluggy pass
    and others do not, are left to threads.
    """
    never_blocks = getattr(wrapper.plugin, "never_blocks", False) is True
    return never_blocks and wrapper.wrapper and not wrapper.kwargnames


def within(wrappers: Iterable[pluggy.HookImpl], operation: _Operation) -> _Operation:
    """Return an operation within its wrappers, of which the last one is the outermost."""
    return reduce(_around, wrappers, operation)


def _around(operation: _Operation, wrapper: pluggy.HookImpl) -> _Operation:
    async def call(**arguments: Any) -> Any:
        generator: Any = wrapper.function(*[arguments[name] for name in wrapper.argnames])
        try:
            next(generator)
        except StopIteration:
            raise RuntimeError(f"{wrapper!r} did not yield") from None
        try:
            result = await operation(**arguments)
        except BaseException as error:  # noqa: BLE001  also when cancelled: the wrapper decides
            return _end(generator, generator.throw, error)
        return _end(generator, generator.send, result)

    return call


def _end(
    generator: Generator[None, Any, Any], resume: Callable[[Any], object], outcome: object
) -> Any:
    try:
        resume(outcome)
    except StopIteration as end:
        return end.value
    generator.close()
    raise RuntimeError(f"{generator!r} yielded twice")
