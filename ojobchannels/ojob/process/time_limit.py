"""A time limit for Python code: at its end, an exception is raised in the thread of the code.

That ends code that executes Python, or waits in the main thread. A thread that waits in a system
call or works in an extension cannot be reached; `on_hang` is called for it a little later.
"""

import ctypes
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType
from typing import Final

from ojobchannels.host.wakeup import Latch
from ojobchannels.manager.local_launches.pool import start

GRACE_SECONDS: Final = 2.0
"""The time between the exception and `on_hang`."""

REPEAT_SECONDS: Final = 1.0
"""The time after which the exception is raised again: code, or a destructor, may suppress it."""

WAKING: Final = getattr(signal, "SIGURG", None)
"""The signal that ends a system call of the main thread; ignored by a process without a handler."""


class TimeUp(BaseException):
    """The time limit of the code is over; not an `Exception`, so that its handlers let it pass."""


class _Thread:
    """What the limits of one thread share."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.holds = 0
        self.is_pending = False
        self.is_signalled = False


_local = threading.local()


def _this_thread() -> _Thread:
    thread: _Thread | None = getattr(_local, "thread", None)
    if thread is None:
        thread = _local.thread = _Thread()
    return thread


class Hold(AbstractContextManager[None]):
    """Hold `TimeUp` back in this thread until the end of the block, and raise it then."""

    def __enter__(self) -> None:
        thread = _this_thread()
        with thread.lock:
            thread.holds += 1

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        thread = _this_thread()
        with thread.lock:
            thread.holds -= 1
            is_due = thread.is_pending and not thread.holds
            thread.is_pending = thread.is_pending and not is_due
        if is_due and not isinstance(error, KeyboardInterrupt):
            raise TimeUp


class TimeLimit:
    """Raises `TimeUp` in the thread that has made it, again and again until `close`.

    Args:
        seconds: The time limit.
        on_hang: Called on another thread if the code has not ended after the exception.

    Attributes:
        fired: Whether the time limit was exceeded.
        hangs: Whether `on_hang` was called.
    """

    def __init__(self, seconds: float, on_hang: Callable[[], None]) -> None:
        self.fired = self.hangs = False
        self._seconds = min(seconds, threading.TIMEOUT_MAX)
        self._on_hang = on_hang
        self._thread = _this_thread()
        self._ident = threading.get_ident()
        self._in_main = threading.current_thread() is threading.main_thread()
        self._ended = Latch()
        self._watch = threading.Thread(target=self._run, name="ojobchannels-limit", daemon=True)

    def start(self) -> None:
        """Start the time.

        Raises:
            NoThread: The system refuses the thread that watches it.
        """
        start(self._watch, "a time limit")

    def close(self) -> None:
        """End the limit, in its own thread; an exception that arrives meanwhile is suppressed."""
        while True:
            try:
                self._close()
            except TimeUp:
                continue
            return

    def _close(self) -> None:
        self._ended.set()
        with self._thread.lock:
            if self.fired:
                self._thread.is_pending = self._thread.is_signalled = False
                if not self._in_main:
                    _withdraw()
        if self._watch.ident is not None:
            self._watch.join()

    def _run(self) -> None:
        if self._ended.wait(self._seconds):
            return
        self._interrupt()
        due = time.monotonic() + GRACE_SECONDS
        while not self._ended.wait(min(REPEAT_SECONDS, GRACE_SECONDS)):
            if not self.hangs and time.monotonic() >= due:
                self.hangs = True
                self._on_hang()
            self._interrupt()

    def _interrupt(self) -> None:
        with self._thread.lock:
            if self._ended.is_set():
                return
            self.fired = True
            if self._thread.holds:
                self._thread.is_pending = True
            else:
                self._raise()

    def _raise(self) -> None:
        if self._in_main and WAKING and signal.getsignal(WAKING) is on_waking_signal:
            self._thread.is_signalled = True
            signal.pthread_kill(self._ident, WAKING)
        else:
            _raise_in(self._ident, TimeUp)


def _raise_in(ident: int, error: type[BaseException]) -> None:
    """Have an exception raised in a thread."""
    thrown = ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), thrown)


def _withdraw() -> None:
    """Suppress an exception that has not been raised yet in this thread, by raising one here.

    CPython can set it to NULL, but before 3.13 every call of the process then looks for it, and
    does nothing else while a trace function is set, as by debuggers.
    """
    try:
        _raise_in(threading.get_ident(), TimeUp)
        while True:
            pass
    except TimeUp:
        return


def on_waking_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  a handler's signature
    """Raise `TimeUp` in the main thread, unless it is held back."""
    thread = _this_thread()
    if not thread.is_signalled:
        return
    thread.is_signalled = False
    if thread.holds:
        thread.is_pending = True
        return
    raise TimeUp
