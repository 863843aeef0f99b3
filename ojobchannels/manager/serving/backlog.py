"""Schedules that wait for a thread of the pool, without a launch for each."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from ojobchannels.manager.local_launches.launcher import Launch

Work: TypeAlias = Callable[[Launch], None]


class Waiting(Protocol):
    """What waits, as a schedule does of which a fire time is due."""

    @property
    def title(self) -> str:
        """The name of its launch."""

    def work(self, launch: Launch) -> None:
        """Do its work, on the thread of a launch."""


class Backlog:
    """Hands schedules to a pool, one at a time: the next one when the last one has a thread.

    Very many are due together, at the latest when they are started. What waits here costs only its
    place in the queue, and what waits in the pool much more memory.

    Args:
        submit: Calls work on a thread of the pool, as a launch of a name.
    """

    def __init__(self, submit: Callable[[str, Work], Any]) -> None:
        self._submit = submit
        self._waiting: deque[Waiting] = deque()
        self._is_submitted = False
        self._lock = threading.Lock()

    def add(self, schedule: Waiting) -> None:
        """Have the work of a schedule done, after that of those that were added before has begun.

        Raises:
            NoThread: No thread can be had; the work is not done.
        """
        with self._lock:
            self._waiting.append(schedule)
            if self._is_submitted:
                return
            self._is_submitted = True
        try:
            self._submit_next()
        except BaseException:
            with self._lock:
                self._is_submitted = False
                self._waiting.remove(schedule)
            raise

    def _submit_next(self) -> None:
        self._submit(self._waiting[0].title, self._begin)

    def _begin(self, launch: Launch) -> None:
        with self._lock:
            schedule = self._waiting.popleft()
            more = self._is_submitted = bool(self._waiting)
        try:
            if more:
                self._submit_next()
        except BaseException:
            self._is_submitted = False  # what is added next has the others begun, too
            raise
        finally:
            schedule.work(launch)
