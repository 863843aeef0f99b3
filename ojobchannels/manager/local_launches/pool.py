"""A bounded pool of threads whose tasks may wait for other tasks of the pool."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context
from typing import TypeAlias

from ojobchannels.errors import NoThread
from ojobchannels.host.forks import forget_in_children

Task: TypeAlias = Callable[[], None]

_worker = threading.local()


class Pool:
    """Runs at most `size` tasks at a time, in the order of submission; idle threads end.

    A task that waits inside `release_slot` does not count. Its slot goes to another task, so tasks
    that wait for each other finish on a pool of any size. When its wait ends, it continues at
    once, and until the next task ends one more than `size` are running.

    Attributes:
        waiting: The number of tasks that wait inside `release_slot`.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        """Leave the tasks and the threads to the parent, in a forked child."""
        self._tasks: deque[Task] = deque()
        self._busy = 0
        self.waiting = 0
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def submit(self, task: Task) -> None:
        """Queue a task; it runs in a context of its own and must not raise.

        Raises:
            NoThread: No thread can be started, and none of the pool will become free for it.
        """
        with self._lock:
            self._tasks.append(task)
            try:
                self._fill()
            except NoThread:
                if not self._busy:
                    self._tasks.remove(task)
                    raise

    def join(self) -> None:
        """Wait until the threads have ended, which they do when no task is left."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    @contextmanager
    def slot_released(self) -> Iterator[None]:
        """Let another task use the slot of the calling thread."""
        with self._lock:
            self._busy -= 1
            try:
                self._fill()
            except NoThread:  # a wait might be for a task that never runs
                if not self._busy:
                    self._busy += 1
                    raise
            self.waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy += 1
                self.waiting -= 1

    def _fill(self) -> None:
        for _ in range(min(len(self._tasks), self._size - self._busy)):
            thread = threading.Thread(target=self._work, name="ojobchannels-job")
            start(thread, "a job")
            self._threads.add(thread)
            self._busy += 1

    def _work(self) -> None:
        _worker.pool = self
        while (task := self._next()) is not None:
            Context().run(task)

    def _next(self) -> Task | None:
        with self._lock:
            if self._tasks and self._busy <= self._size:
                return self._tasks.popleft()
            self._busy -= 1
            self._threads.discard(threading.current_thread())
            return None


def this_slot() -> AbstractContextManager[None]:
    """Return a block, for any thread, in which another task may use the slot of this thread."""
    pool: Pool | None = getattr(_worker, "pool", None)
    return nullcontext() if pool is None else pool.slot_released()


def start(thread: threading.Thread, purpose: str) -> None:
    """Start a thread.

    Raises:
        NoThread: The system refuses it.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise NoThread(purpose) from error


@contextmanager
def release_slot() -> Iterator[None]:
    """Surround a wait: on a thread of a pool, another task may run meanwhile."""
    pool: Pool | None = getattr(_worker, "pool", None)
    if pool is None:
        yield
        return
    with pool.slot_released():
        yield
