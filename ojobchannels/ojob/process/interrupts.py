"""The signals that stop a run, held back while a run is started or ended."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any, Final

from ojobchannels.host.shutdown import SHUTDOWN
from ojobchannels.ojob.process.time_limit import WAKING, Hold, on_waking_signal

_DEFAULTS: Final = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop, by a `signal` or by an outer run."""

    def __init__(self, number: signal.Signals | None = None) -> None:
        self.signal = number
        super().__init__(f"stopped by {number.name}" if number else "the run was interrupted")


class Interrupts:
    """Raises `Interrupted` in the main thread on SIGINT, SIGTERM and SIGHUP, while entered.

    It leaves a signal alone that has another handler, and all signals when entered in another
    thread. Child processes get the handlers that were there before.

    Args:
        on_hangup: Called on SIGHUP instead, in the signal handler.
    """

    def __init__(self, on_hangup: Callable[[], None] | None = None) -> None:
        self._on_hangup = on_hangup
        self._shields = 0
        self._received: signal.Signals | None = None
        self._is_pending = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        if _in_main_thread():
            for number, default in _DEFAULTS.items():
                if signal.getsignal(number) is default:
                    self._before[number] = signal.signal(number, self._arrived)
            self._handle_hangups()
            if WAKING and signal.getsignal(WAKING) is signal.SIG_DFL:
                self._before[WAKING] = signal.signal(WAKING, on_waking_signal)
            _entered.append(self)
            SHUTDOWN.requested = False
        return self

    def _handle_hangups(self) -> None:
        number = getattr(signal, "SIGHUP", None)  # Windows has none
        before = number and signal.getsignal(number)
        if number and self._on_hangup is None and before is signal.SIG_DFL:
            self._before[number] = signal.signal(number, self._arrived)
        # nohup ignores SIGHUP; a daemon started that way can still be reloaded with it.
        elif number and self._on_hangup is not None and before in (signal.SIG_DFL, signal.SIG_IGN):
            on_hangup = self._on_hangup
            self._before[number] = signal.signal(number, lambda *_: on_hangup())

    def __exit__(self, *_: object) -> None:
        if self in _entered:
            _entered.remove(self)
        self.restore()

    def restore(self) -> None:
        """Restore the handlers of before; called in a forked child too."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def shield(self) -> AbstractContextManager[None]:
        """Hold an interrupt, and the end of a time limit, back until the end of the block."""
        return _Shield(self) if _in_main_thread() else Hold()

    def hold(self, change: int) -> None:
        """Begin (+1) or end (-1) to hold interrupts; the last end raises one that has arrived."""
        self._shields += change
        if self._is_pending and not self._shields:
            self._is_pending = False
            raise Interrupted(self._received)

    def check(self) -> None:
        """Raise an interrupt that was raised before, but that code of a job has suppressed."""
        if self._received is not None and not self._shields and _in_main_thread():
            raise Interrupted(self._received)

    def take(self) -> None:
        """Confirm that an interrupt has reached the run: `check` does not raise it again."""
        self._received = None

    def _arrived(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  a handler's signature
        self._received = signal.Signals(number)
        SHUTDOWN.requested = True
        if not self._shields:
            raise Interrupted(self._received)
        self._is_pending = True


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class _Shield(AbstractContextManager[None]):
    """A class: a generator would leave a frame of `contextlib` in the interrupt's traceback."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._hold = Hold()

    def __enter__(self) -> None:
        self._interrupts.hold(+1)
        self._hold.__enter__()

    def __exit__(self, *_: object) -> None:
        try:
            self._interrupts.hold(-1)
        finally:
            self._hold.__exit__(*sys.exc_info())


_entered: Final[list[Interrupts]] = []
_mask: Final = threading.local()


# A forked child has the handlers of its parent at first, and Python drops a signal that arrives
# then. So signals are blocked around a fork, and reach the child when it has its own handlers.
def _block_signals() -> None:
    numbers = [number for each in _entered for number in each._before]
    _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)


def _restore_in_child() -> None:
    for each in _entered:
        each.restore()
    _entered.clear()
    _unblock_signals()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_block_signals,
        after_in_parent=_unblock_signals,
        after_in_child=_restore_in_child,
    )
