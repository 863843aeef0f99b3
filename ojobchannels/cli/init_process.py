"""The first process of a container: it must reap the processes whose parents have ended.

A run cannot do that itself: it would take the exit status of its own children from the code that
waits for them. So it continues in a child, as under ``docker run --init``.
"""

import os
import signal
from contextlib import suppress
from typing import Final

_FROM_TERMINAL: Final = 0x80
"""The `si_code` of a signal that the kernel sends to all processes of a terminal, as by Ctrl-C."""

_NOT_FORWARDED: Final = {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP}


def continue_if_first() -> None:
    """Continue in a child if this is the first process of its container."""
    if os.getpid() == 1:
        continue_in_child()


def continue_in_child() -> None:
    """Return in a child process; this one forwards signals to it, and ends when it has ended."""
    signals = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    while True:
        received = signal.sigwaitinfo(signals)
        if received.si_signo not in _NOT_FORWARDED and received.si_code != _FROM_TERMINAL:
            with suppress(ProcessLookupError):
                os.kill(child, received.si_signo)
        _reap(child)


def _reap(child: int) -> None:
    """Reap all processes that have ended; if the child is among them, end as it did."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                status = os.waitstatus_to_exitcode(ended[1])
                os._exit(status if status >= 0 else 128 - status)
