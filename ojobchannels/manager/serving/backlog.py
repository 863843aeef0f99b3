"""Work that waits for a thread of the pool, without a launch for each."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from ojobchannels.manager.local_launches.launcher import Launch

Work: TypeAlias = Callable[[Launch], None]


class Backlog:
    """Hands work to a pool, one piece at a time: the next one when the last one has a thread.

    Very many schedules are due together, at the latest when they are started. What waits here costs
    much less memory than what waits in the pool.

    Args:
        submit: Calls work on a thread of the pool, as a launch of a name.
    """

    def __init__(self, submit: Callable[[str, Work], Any]) -> None:
        self._submit = submit
        self._waiting: deque[tuple[str, Work]] = deque()
        self._is_submitted = False
        self._lock = threading.Lock()

    def add(self, name: str, work: Work) -> None:
        """Do work on a thread of the pool, after what was added before has begun.

        Raises:
            NoThread: No thread can be had; the work is not done.
        """
        entry = name, work
        with self._lock:
            self._waiting.append(entry)
            if self._is_submitted:
                return
            self._is_submitted = True
        try:
            self._submit_next()
        except BaseException:
            with self._lock:
                self._is_submitted = False
                self._waiting.remove(entry)
            raise

    def _submit_next(self) -> None:
        self._submit(self._waiting[0][0], self._begin)

    def _begin(self, launch: Launch) -> None:
        with self._lock:
            _, work = self._waiting.popleft()
            more = self._is_submitted = bool(self._waiting)
        try:
            if more:
                self._submit_next()
        except BaseException:
            self._is_submitted = False  # what is added next has the others begun, too
            raise
        finally:
            work(launch)
