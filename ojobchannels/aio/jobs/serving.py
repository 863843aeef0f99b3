"""How an asyncio program serves schedules: until it is asked to stop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Serving:
    """A call of `AsyncJobManager.serve`: until `stop`, and when it has ended."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.ended = asyncio.Event()

    async def stop(self) -> None:
        """Stop it, and wait for its end."""
        self.stopped.set()
        await self.ended.wait()


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
