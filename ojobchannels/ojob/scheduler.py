"""One thread that waits for the times of any number of schedules, and does nothing else."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

Call: TypeAlias = Callable[[], None]

_log = logging.getLogger("ojobchannels.schedules")
_LOOKS_UP_EVERY: Final = 10_000
"""Milliseconds of sleep at most: what the wall clock does meanwhile, the sleep does not notice."""

_AFTER_TROUBLE: Final = 1_000


class Clock(Protocol):
    """Tells the time, and lets it pass."""

    def now(self) -> int:
        """Milliseconds since 1970, UTC."""

    def wait(self, woken: threading.Event, milliseconds: int) -> None:
        """Returns when `woken` is set, or so much time is over."""


class WallClock:
    """The clock of this host."""

    def now(self) -> int:
        """Milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000

    def wait(self, woken: threading.Event, milliseconds: int) -> None:
        """Returns when `woken` is set, or so much time is over."""
        woken.wait(milliseconds / 1000)


class Scheduler:
    """Makes each of many calls when its time has come, on one thread, until it is stopped.

    The calls are to be short: they have others do what takes time.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._heap: list[tuple[int, int, Call]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="ojobchannels-scheduler")

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; no further calls are made."""
        self._stopped = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def call_at(self, moment: int, call: Call) -> None:
        """Has a call made at a moment, or at once if that is over."""
        with self._lock:
            heapq.heappush(self._heap, (moment, next(self._numbers), call))
            first = self._heap[0][2] is call
        if first:
            self._woken.set()

    def clear(self) -> None:
        """Forgets the calls that were to be made."""
        with self._lock:
            self._heap.clear()

    def make_due_calls(self) -> int:
        """Makes the calls whose time has come; returns the time until the next one."""
        while not self._stopped:
            now = self.clock.now()
            with self._lock:
                if not self._heap:
                    return _LOOKS_UP_EVERY
                if self._heap[0][0] > now:
                    return min(self._heap[0][0] - now, _LOOKS_UP_EVERY)
                _, _, call = heapq.heappop(self._heap)
            try:
                call()
            except Exception:  # noqa: BLE001  the others' times come all the same
                _log.exception("a schedule could not be seen to; it is tried again")
                self.call_at(now + _AFTER_TROUBLE, call)
        return 0

    def _work(self) -> None:
        while not self._stopped:
            self._woken.clear()
            pause = self.make_due_calls()
            if not self._stopped:
                self.clock.wait(self._woken, pause)
