"""Stores the output of the open runs of a manager, on one thread, at a bounded rate."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import NoThread, safe_str
from ojobchannels.host.forks import forget_in_children
from ojobchannels.host.wakeup import Wakeup
from ojobchannels.manager.local_launches.pool import start
from ojobchannels.manager.output.buffer import OutputBuffer
from ojobchannels.manager.output.stored import key_of

FIRST_SECONDS: Final = 0.2
"""The time from the first line of a run to its first write."""

PAUSE_SECONDS: Final = 0.5
"""The time between two writes for one run."""

_SECONDS_A_WRITE: Final = 0.02
"""With many runs, the pause is this long for each: 50 writes a second in all."""

_RETRY_SECONDS: Final = 2.0
_LONGEST_SLEEP: Final = 0.5
_LONGEST_WAIT: Final = 5.0
_MOST_WAITING: Final = 1000

_log = logging.getLogger("ojobchannels.jobs")


class OutputWriter:
    """Stores outputs some time after they have changed; a store that is down delays no job.

    The thread exists while something is to be stored. It is not a daemon: a process whose main
    thread ends without closing the manager exits when the output of its runs is stored.

    Args:
        channel: Opens the channel of outputs, or returns it.
    """

    def __init__(self, channel: Callable[[], Channel]) -> None:
        self._channel = channel
        self._is_closing = False
        self._is_down = False
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        """Leave the outputs to the parent, in a forked child."""
        self._lock = threading.RLock()
        self._wakeup = Wakeup()
        self._due: dict[OutputBuffer, float] = {}
        self._written: dict[OutputBuffer, float] = {}
        self._thread: threading.Thread | None = None

    def changed(self, buffer: OutputBuffer) -> None:
        """Store an output soon; at once if its run has ended."""
        if self._is_closing or (buffer in self._due and not buffer.ended):
            return
        with self._lock:
            now = time.monotonic()
            pause = max(PAUSE_SECONDS, _SECONDS_A_WRITE * len(self._written))
            after = self._written.get(buffer, now + FIRST_SECONDS - pause)
            self._due[buffer] = now if buffer.ended else after + pause
            if len(self._due) > _MOST_WAITING:
                oldest = next(iter(self._due))
                del self._due[oldest]
                self._written.pop(oldest, None)
            self._start()
        self._wakeup.set()

    def find(self, run_id: str) -> OutputBuffer | None:
        """Return the output of a run that is not stored yet."""
        with self._lock:
            return next((each for each in self._due if each.run["runId"] == run_id), None)

    def flush(self) -> None:
        """Store what has changed, and wait for that; log it if the store hangs."""
        with self._lock:
            self._due = dict.fromkeys(self._due, 0)
            if self._due:
                self._start()
            thread = self._thread
        if thread is None:
            self._work()  # there is nothing left, or no thread can be started
            return
        self._wakeup.set()
        thread.join(_LONGEST_WAIT)
        if thread.is_alive():
            _log.warning("the output of runs may be incomplete: its channel does not respond")

    def close(self) -> None:
        """Store what is left, as far as the store accepts it; nothing is taken any more."""
        self._is_closing = True
        self.flush()

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="ojobchannels-output", daemon=False)
            try:
                start(thread, "the output of a run")
            except NoThread:
                return  # the next line tries again, and so does the close
            self._thread = thread

    def _work(self) -> None:
        while True:
            is_last = self._is_closing or not threading.main_thread().is_alive()
            with self._lock:
                now = time.monotonic()
                due = [buffer for buffer, at in self._due.items() if is_last or at <= now]
                for buffer in due:
                    del self._due[buffer]  # a line that is added from now on is due again
                if not due and not self._due:
                    self._thread = None
                    return
                left = min(self._due.values(), default=now) - now
            for number, buffer in enumerate(due):
                if not self._store(buffer, again=not is_last) and is_last:
                    _log.warning("the output of %d runs is not stored", len(due) - number)
                    break
            if not due:
                self._wakeup.wait(min(left, _LONGEST_SLEEP))

    def _store(self, buffer: OutputBuffer, *, again: bool) -> bool:
        """Store an output, or try again later; return whether that succeeded."""
        document: Any = buffer.document()
        try:
            self._channel().set(key_of(document["runId"]), document)
        except Exception as error:  # noqa: BLE001  an extension may raise anything
            if not self._is_down:
                name = document["name"]
                _log.warning("cannot store the output of job %r: %s", name, safe_str(error))
            self._is_down = True
            if again:
                with self._lock:
                    self._due.setdefault(buffer, time.monotonic() + _RETRY_SECONDS)
            return False
        self._is_down = False
        with self._lock:
            self._written[buffer] = time.monotonic()
            if document["ended"]:
                del self._written[buffer]
        return True
