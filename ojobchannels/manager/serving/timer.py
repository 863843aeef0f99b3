"""A clock, and a scheduler: one thread that makes calls at given times."""

import heapq
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeAlias

from ojobchannels.host.clock import now_ms
from ojobchannels.manager.local_launches.pool import start

Call: TypeAlias = Callable[[], None]

_log = logging.getLogger("ojobchannels.schedules")
_MAX_SLEEP_MS: Final = 10_000
"""The longest sleep: a sleep does not notice that the wall clock is set meanwhile."""

_RETRY_MS: Final = 1_000
_MAX_CORRECTION_MS: Final = 1_000
"""A clock that goes back by no more than this was corrected, not set back."""


class Clock(Protocol):
    """A source of time for schedules."""

    def now(self) -> int:
        """Return the milliseconds since 1970, UTC."""

    def wait(self, woken: threading.Event, milliseconds: int) -> None:
        """Wait until `woken` is set, at most for some milliseconds."""


class WallClock:
    """The clock of this host."""

    def now(self) -> int:
        """Return the milliseconds since 1970, UTC."""
        return now_ms()

    def wait(self, woken: threading.Event, milliseconds: int) -> None:
        """Wait until `woken` is set, at most for some milliseconds."""
        woken.wait(milliseconds / 1000)


class Scheduler:
    """Makes calls at given times, on one thread, until it is stopped.

    The calls must be short; work that takes time belongs on another thread.

    Args:
        clock: The clock.
        call_all_if_set_back: Whether all calls are made when the clock was set back. They must then
            check the time themselves; otherwise they are made when the clock has caught up.
        ends_with_process: Whether the process may end while the thread runs.

    Attributes:
        clock: The clock.
        states_lock: Guards the states of all that it calls. One lock serves very many schedules,
            since each holds it only to compare and set.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        call_all_if_set_back: bool = False,
        ends_with_process: bool = False,
    ) -> None:
        self.clock = clock
        self.states_lock = threading.Lock()
        self._call_all_if_set_back = call_all_if_set_back
        self._last_now = clock.now()
        self._calls = threading.RLock()
        self._heap: list[tuple[int, int, Call]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(
            target=self._work, name="ojobchannels-scheduler", daemon=ends_with_process
        )

    def start(self) -> None:
        """Start the thread.

        Raises:
            NoThread: The system refuses it.
        """
        start(self._thread, "the schedules")

    def stop(self) -> None:
        """End the thread; no more calls are made."""
        self._stopped = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def call_at(self, moment: int, call: Call) -> None:
        """Make a call at a moment (milliseconds since 1970), or at once if that is past."""
        with self._lock:
            heapq.heappush(self._heap, (moment, next(self._numbers), call))
            first = self._heap[0][2] is call
        if first:
            self._woken.set()

    @contextmanager
    def cleared(self) -> Iterator[int]:
        """Drop all calls, make none while the block runs, and yield the time."""
        with self._calls:
            with self._lock:
                self._heap.clear()
            yield self.clock.now()

    def make_due_calls(self) -> int:
        """Make the calls that are due; return the milliseconds until the next one."""
        while not self._stopped:
            now = self._read_clock()
            with self._lock:
                if not self._heap:
                    return _MAX_SLEEP_MS
                if self._heap[0][0] > now:
                    return min(self._heap[0][0] - now, _MAX_SLEEP_MS)
                _, _, call = heapq.heappop(self._heap)
            try:
                with self._calls:
                    call()
            except Exception:  # noqa: BLE001  the other calls must still be made
                _log.exception("a scheduled call failed, retrying")
                self.call_at(now + _RETRY_MS, call)
        return 0

    def _read_clock(self) -> int:
        now, before = self.clock.now(), self._last_now
        self._last_now = now
        if self._call_all_if_set_back and now < before - _MAX_CORRECTION_MS:
            with self._lock:
                self._heap = [(now, number, call) for _, number, call in self._heap]
                heapq.heapify(self._heap)
        return now

    def _work(self) -> None:
        while not self._stopped:
            self._woken.clear()
            pause = self.make_due_calls()
            if not self._stopped:
                self.clock.wait(self._woken, pause)
