"""SIGINT and SIGTERM, held back while a run is started or ended."""

import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import Any, Final

_DEFAULTS: Final = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop, by a `signal`."""

    def __init__(self, number: signal.Signals) -> None:
        self.signal = number
        super().__init__(f"stopped by {number.name}")


class Interrupts:
    """Raises `Interrupted` in the main thread on SIGINT and SIGTERM, while entered.

    It leaves a signal alone that has another handler, and all signals when entered in another
    thread.

    Args:
        on_hangup: Called on SIGHUP, in the signal handler; without it SIGHUP keeps its meaning.
    """

    def __init__(self, on_hangup: Callable[[], None] | None = None) -> None:
        self._on_hangup = on_hangup
        self._shields = 0
        self._pending: Interrupted | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number, default in _DEFAULTS.items():
                if signal.getsignal(number) is default:
                    self._before[number] = signal.signal(number, self._arrived)
            self._handle_hangups()
        return self

    def _handle_hangups(self) -> None:
        on_hangup, number = self._on_hangup, getattr(signal, "SIGHUP", None)  # Windows has none
        # nohup ignores SIGHUP; a daemon started that way can still be reloaded with it.
        free = (signal.SIG_DFL, signal.SIG_IGN)
        if on_hangup and number and signal.getsignal(number) in free:
            self._before[number] = signal.signal(number, lambda *_: on_hangup())

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def shield(self) -> AbstractContextManager[None]:
        """Hold an interrupt back until the end of the block, and raise it then."""
        in_main = threading.current_thread() is threading.main_thread()
        return _Shield(self) if in_main else nullcontext()

    def hold(self, change: int) -> None:
        """Begin (+1) or end (-1) to hold interrupts; the last end raises one that has arrived."""
        self._shields += change
        if self._pending is not None and not self._shields:
            pending, self._pending = self._pending, None
            raise pending

    def _arrived(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  a handler's signature
        interrupted = Interrupted(signal.Signals(number))
        if not self._shields:
            raise interrupted
        self._pending = interrupted


class _Shield(AbstractContextManager[None]):
    """A class: a generator would leave a frame of `contextlib` in the interrupt's traceback."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def __enter__(self) -> None:
        self._interrupts.hold(+1)

    def __exit__(self, *_: object) -> None:
        self._interrupts.hold(-1)
