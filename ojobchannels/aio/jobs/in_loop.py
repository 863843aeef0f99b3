"""Coroutines that a thread runs in an event loop, whose end the loop may not live to see."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import CancelledError, wait
from contextlib import suppress
from typing import Any, Final, TypeVar

from ojobchannels.errors import JobMisuse

_T = TypeVar("_T")
_LOOK_SECONDS: Final = 1.0


def in_loop(loop: asyncio.AbstractEventLoop, job: str, coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine in a loop that another thread runs, and return its result.

    Raises:
        JobMisuse: The loop is closed before the coroutine has ended.
    """
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        raise _closed(job, coroutine) from None
    while not future.done():
        wait([future], _LOOK_SECONDS)
        if loop.is_closed() and not future.done():
            raise _closed(job, coroutine)
    try:
        return future.result()
    except CancelledError as cancelled:
        raise asyncio.CancelledError from cancelled


def _closed(job: str, coroutine: Coroutine[Any, Any, Any]) -> JobMisuse:
    with suppress(RuntimeError, asyncio.CancelledError):
        coroutine.close()
    reason = "the event loop in which it runs is closed"
    return JobMisuse(job, reason, "close the manager before the loop, with `async with`")
