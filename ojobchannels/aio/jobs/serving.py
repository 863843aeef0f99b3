"""How an asyncio program serves schedules: until it is asked to stop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ojobchannels.aio.calls import Calls
from ojobchannels.manager import JobManager


class Serving:
    """A call of `AsyncJobManager.serve`.

    Args:
        manager: The manager.
        calls: Calls it on threads.
    """

    def __init__(self, manager: JobManager, calls: Calls) -> None:
        self._manager = manager
        self._calls = calls
        self._stopped = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Serve until it is stopped or cancelled; return when the active runs have ended."""
        try:
            with on_termination(self._stopped.set):
                await self._calls.call(self._manager.start_worker)
                await self._calls.call(self._manager.start_schedules)
                await self._stopped.wait()
        finally:
            try:
                await self._calls.call(self._manager._end_serving)
            finally:
                self._ended.set()

    async def stop(self) -> None:
        """Stop it, and wait for its end."""
        self._stopped.set()
        await self._ended.wait()


@contextmanager
def on_termination(call: Callable[[], None]) -> Iterator[None]:
    """Make a call at SIGTERM, unless the program itself handles that signal.

    SIGINT needs none: `asyncio.run` cancels the main task. Outside the main thread, which alone may
    change that, and on Windows, SIGTERM does what it does.
    """
    loop, is_set = asyncio.get_running_loop(), False
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        with suppress(NotImplementedError):
            loop.add_signal_handler(signal.SIGTERM, call)
            is_set = True
    try:
        yield
    finally:
        if is_set:
            loop.remove_signal_handler(signal.SIGTERM)
