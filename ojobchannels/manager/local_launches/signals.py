"""The signals that ask a process which serves launches to end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Note SIGTERM and SIGINT in place of what they do; yield what returns whether one came.

    Outside the main thread, which alone may change that, they do what they do.
    """
    came: list[int] = []
    handled: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():
        handled = ()
    before = {
        number: signal.signal(number, lambda number, _: came.append(number)) for number in handled
    }
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
