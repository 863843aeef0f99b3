"""One thread that waits for the times of any number of schedules, and does nothing else."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeAlias

from ojobchannels.host.clock import now_ms

Call: TypeAlias = Callable[[], None]

_log = logging.getLogger("ojobchannels.schedules")
_LOOKS_UP_EVERY: Final = 10_000
"""Milliseconds of sleep at most: what the wall clock does meanwhile, the sleep does not notice."""

_AFTER_TROUBLE: Final = 1_000
_SET_BACK: Final = 1_000
"""Milliseconds by which a clock is not set back, but corrected."""


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
        return now_ms()

    def wait(self, woken: threading.Event, milliseconds: int) -> None:
        """Returns when `woken` is set, or so much time is over."""
        woken.wait(milliseconds / 1000)


class Scheduler:
    """Makes each of many calls when its time has come, on one thread, until it is stopped.

    The calls are to be short: they have others do what takes time.

    Args:
        clock: What tells the time.
        anew: Whether all calls are made when the clock was set back: for those that look at the
            time themselves, and would else be made only when the clock has caught up.
    """

    def __init__(self, clock: Clock, *, anew: bool = False) -> None:
        self.clock = clock
        self._anew = anew
        self._looked_up = clock.now()
        self._calls = threading.RLock()
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

    @contextmanager
    def cleared(self) -> Iterator[int]:
        """Forgets the calls that were to be made, and makes none in the block; yields the time."""
        with self._calls:
            with self._lock:
                self._heap.clear()
            yield self.clock.now()

    def make_due_calls(self) -> int:
        """Makes the calls whose time has come; returns the time until the next one."""
        while not self._stopped:
            now = self._look_up()
            with self._lock:
                if not self._heap:
                    return _LOOKS_UP_EVERY
                if self._heap[0][0] > now:
                    return min(self._heap[0][0] - now, _LOOKS_UP_EVERY)
                _, _, call = heapq.heappop(self._heap)
            try:
                with self._calls:
                    call()
            except Exception:  # noqa: BLE001  the others' times come all the same
                _log.exception("a schedule could not be seen to; it is tried again")
                self.call_at(now + _AFTER_TROUBLE, call)
        return 0

    def _look_up(self) -> int:
        now, before = self.clock.now(), self._looked_up
        self._looked_up = now
        if self._anew and now < before - _SET_BACK:
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
