"""Launched work: a pool of threads, and the handle that a launch answers with."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Final, Literal

from ojobchannels.errors import InvalidOption, JobError, JobMisuse
from ojobchannels.manager.pool import Pool, release_slot

LaunchState = Literal["waiting", "running", "completed", "failed", "skipped", "depsfail"]

SIGNAL_POLL_SECONDS: Final = 0.25
"""Seconds that the main thread waits at a time.

A signal that comes between the last check of the interpreter and the beginning of a wait is
handled only after the wait.
"""


class Launch:
    """One launched job, to watch or to wait for.

    Attributes:
        launch_id: A fresh identifier of this launch.
        name: The job.
        state: ``waiting`` until it starts, ``running``, then ``completed``, ``failed``, ``skipped``
            (its lock was held elsewhere) or ``depsfail`` (something that it waits for failed).
        run_id: The identifier of its managed run, once that has started.
    """

    def __init__(self, name: str) -> None:
        self.launch_id: Final = uuid.uuid4().hex
        self.name: Final = name
        self.state: LaunchState = "waiting"
        self.run_id: str | None = None
        self._future: Future[Any] = Future()
        self._settled = False
        self._lock = threading.Lock()

    def done(self) -> bool:
        """Tells whether it is over, well or not."""
        return self._future.done()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is over, or for `timeout` seconds; tells whether it is over."""
        try:
            self._await(timeout)
        except TimeoutError:
            return self._future.done()
        return True

    def result(self, timeout: float | None = None) -> Any:
        """Waits, and returns what the job returned (None for one that did not run).

        Raises:
            TimeoutError: It is not over after `timeout` seconds.
            BaseException: What the job raised.
        """
        self._await(timeout)
        return self._future.result()

    def error(self) -> BaseException | None:
        """Returns what the job raised, or None; waits until it is over."""
        return self._await(None)

    def begin(self) -> bool:
        """Tells whether it is to run, or was settled before; the launcher asks this once."""
        with self._lock:
            if not self._settled:
                self.state = "running"
        return not self._settled

    def finish(
        self, state: LaunchState, result: Any = None, error: BaseException | None = None
    ) -> None:
        """Settles the launch; the first one to do so counts."""
        with self._lock:
            if self._settled:
                return
            self._settled, self.state = True, state
        if error is None:
            self._future.set_result(result)
        else:
            self._future.set_exception(error)

    def then(self, call: Callable[[], None]) -> None:
        """Has `call` called when this is over, at once if it is."""
        self._future.add_done_callback(lambda _: call())

    def _await(self, timeout: float | None) -> BaseException | None:
        if self._future.done():
            return self._future.exception()
        with release_slot():
            return self._future.exception(timeout)

    def __repr__(self) -> str:
        return f"<Launch {self.name!r} {self.state}>"


class DidNotRun(JobError):
    """Raised by launched work that did not run; settles its launch without an error."""

    def __init__(self, state: Literal["skipped", "depsfail"], reason: str) -> None:
        self.state = state
        self.reason = reason
        super().__init__(f"did not run ({state}): {reason}")


class Launcher:
    """Runs launched work on a bounded pool of threads, in the order of launching.

    Work takes no place of the pool while it waits for other launches, be it before it begins, or by
    a launch's `wait`, `result` or `error`.
    """

    def __init__(self, threads: int = 4) -> None:
        if threads < 1:
            raise InvalidOption("threads", f"{threads} is too few", "give 1 at least")
        self._pool = Pool(threads)
        self._lock = threading.Lock()
        self._open: set[Launch] = set()
        self._closed = False

    def submit(
        self,
        name: str,
        work: Callable[[Launch], Any],
        after: Iterable[Launch] = (),
        otherwise: Callable[[Launch, Launch], None] = lambda _, __: None,
    ) -> Launch:
        """Has `work(launch)` run on the pool when all of `after` have completed.

        If one of them did not complete, `otherwise(launch, that one)` is called, and then the
        launch is settled with state ``depsfail``: who waits for it finds that done.

        Raises:
            JobMisuse: The launcher is closed.
        """
        launch = Launch(name)
        with self._lock:
            if self._closed:
                raise JobMisuse(name, "it was launched too late", "launch before the close")
            self._open.add(launch)
        launch.then(lambda: self._forget(launch))

        def proceed(failed: Launch | None) -> None:
            if launch.done():
                return
            if failed is None:
                self._pool.submit(lambda: self._run(launch, work))
                return
            try:
                otherwise(launch, failed)
            finally:
                launch.finish("depsfail")

        _Completion(list(after), proceed).begin()
        return launch

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until nothing that was launched is open any more; tells whether that is so."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._lock:
                launch = next(iter(self._open), None)
            if launch is None:
                return True
            left = math.inf if deadline is None else deadline - time.monotonic()
            if not launch.wait(max(min(left, SIGNAL_POLL_SECONDS), 0)) and left <= 0:
                return False

    def close(self) -> None:
        """Waits for what runs and what waits, then ends the threads."""
        while not self._closed:
            self.wait()
            with self._lock:
                self._closed = not self._open
        self._pool.join()

    def _run(self, launch: Launch, work: Callable[[Launch], Any]) -> None:
        if not launch.begin():
            return
        try:
            result = work(launch)
        except DidNotRun as reason:
            launch.finish(reason.state)
        except BaseException as error:  # noqa: BLE001  it belongs to the launch
            launch.finish("failed", error=error)
        else:
            launch.finish("completed", result)

    def _forget(self, launch: Launch) -> None:
        with self._lock:
            self._open.discard(launch)


class _Completion:
    """Calls back once when all launches are over, with one that did not complete, if any."""

    def __init__(self, launches: list[Launch], call: Callable[[Launch | None], None]) -> None:
        self._launches = launches
        self._call = call
        self._missing = len(launches)
        self._lock = threading.Lock()

    def begin(self) -> None:
        if not self._launches:
            self._call(None)
        for launch in self._launches:
            launch.then(self._count)

    def _count(self) -> None:
        with self._lock:
            self._missing -= 1
            last = self._missing == 0
        if last:
            self._call(next((one for one in self._launches if one.state != "completed"), None))
