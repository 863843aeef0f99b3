"""SIGINT and SIGTERM, kept off the moments in which a run is started or ended."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FrameType, TracebackType
from typing import Any, Final

_DEFAULTS: Final = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop.

    Attributes:
        signal: By which signal.
    """

    def __init__(self, number: signal.Signals) -> None:
        self.signal = number
        super().__init__(f"stopped by {number.name}")


class Interrupts:
    """Raises `Interrupted` in the main thread on SIGINT and SIGTERM, while entered.

    A signal that somebody else handles is left alone, and so are all of them in other threads.

    Args:
        hung_up: What to do on SIGHUP, which ends the process otherwise. It must be such that a
            signal handler may do it.
    """

    def __init__(self, hung_up: Callable[[], None] | None = None) -> None:
        self._hung_up = hung_up
        self._shields = 0
        self._pending: Interrupted | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number, default in _DEFAULTS.items():
                if signal.getsignal(number) is default:
                    self._before[number] = signal.signal(number, self._arrived)
            self._take_hang_ups()
        return self

    def _take_hang_ups(self) -> None:
        hung_up, number = self._hung_up, getattr(signal, "SIGHUP", None)  # Windows has none
        # Whoever starts a daemon under nohup has its hang-ups ignored, and can still ask it to read
        # the file again.
        free = (signal.SIG_DFL, signal.SIG_IGN)
        if hung_up and number and signal.getsignal(number) in free:
            self._before[number] = signal.signal(number, lambda *_: hung_up())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def shield(self) -> AbstractContextManager[None]:
        """Holds an interrupt back until the block is done; it is raised then."""
        in_main = threading.current_thread() is threading.main_thread()
        return _Shield(self) if in_main else nullcontext()

    def put_up(self) -> None:
        """Puts up one more shield."""
        self._shields += 1

    def take_down(self) -> None:
        """Takes down a shield; behind the last one, an interrupt may have been waiting."""
        self._shields -= 1
        if self._pending is not None and not self._shields:
            pending, self._pending = self._pending, None
            raise pending

    def _arrived(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  a handler's face
        interrupted = Interrupted(signal.Signals(number))
        if not self._shields:
            raise interrupted
        self._pending = interrupted


class _Shield(AbstractContextManager[None]):
    """No generator: it would leave a frame of `contextlib` in the traceback of the interrupt."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def __enter__(self) -> None:
        self._interrupts.put_up()

    def __exit__(self, *_: object) -> None:
        self._interrupts.take_down()


class SkipJob(BaseException):
    """Leaves out what is left of a job; no Exception, so that a job's own code lets it pass.

    Attributes:
        reason: Why.
        recorded: Whether a record tells of it already.
    """

    def __init__(self, reason: str, *, recorded: bool = False) -> None:
        self.reason = reason
        self.recorded = recorded
        super().__init__(reason)
