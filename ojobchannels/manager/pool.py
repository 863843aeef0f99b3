"""A bounded pool of threads, whose work may wait for other work of the pool."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import TypeAlias

Task: TypeAlias = Callable[[], None]

_here = threading.local()


class Pool:
    """Runs tasks in the order in which they come, so many at a time; no thread lives idle.

    A task that waits `aside` does not count: its place goes to another one, so tasks that wait for
    each other's tasks come to an end on a pool of any size. When its waiting is over it goes on at
    once, and for that time there is one more at work.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._tasks: deque[Task] = deque()
        self._busy = 0
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def submit(self, task: Task) -> None:
        """Has a task run, in a context of its own; it must not raise."""
        with self._lock:
            self._tasks.append(task)
            self._fill()

    def join(self) -> None:
        """Waits until the threads have ended; they do when there is nothing left to run."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    @contextmanager
    def without_this_thread(self) -> Iterator[None]:
        """Lends the place of the calling thread to others."""
        with self._lock:
            self._busy -= 1
            self._fill()
        try:
            yield
        finally:
            with self._lock:
                self._busy += 1

    def _fill(self) -> None:
        for _ in range(min(len(self._tasks), self._size - self._busy)):
            thread = threading.Thread(target=self._work, name="ojobchannels-job")
            thread.start()
            self._threads.add(thread)
            self._busy += 1

    def _work(self) -> None:
        _here.pool = self
        while (task := self._next()) is not None:
            Context().run(task)

    def _next(self) -> Task | None:
        with self._lock:
            if self._tasks and self._busy <= self._size:
                return self._tasks.popleft()
            self._busy -= 1
            self._threads.discard(threading.current_thread())
            return None


@contextmanager
def aside() -> Iterator[None]:
    """Surrounds a wait: on a thread of a pool, others may work there meanwhile."""
    pool: Pool | None = getattr(_here, "pool", None)
    if pool is None:
        yield
        return
    with pool.without_this_thread():
        yield
