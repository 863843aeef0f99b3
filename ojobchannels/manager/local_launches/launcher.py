"""Launched jobs: their handles, and the thread pool that runs them."""

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, cast

from ojobchannels.channels.arguments import check_seconds, is_integer
from ojobchannels.errors import InvalidOption, JobError, JobMisuse, NoThread
from ojobchannels.host.forks import forget_in_children
from ojobchannels.host.wakeup import Latch
from ojobchannels.manager import tracing
from ojobchannels.manager.local_launches.pool import Pool, release_slot

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    _Result = TypeVar("_Result", default=Any)
else:
    from typing import TypeVar

    _Result = TypeVar("_Result")

LaunchState = Literal["waiting", "running", "completed", "failed", "skipped", "depsfail"]

SIGNAL_POLL_SECONDS: Final = 0.25
"""Longest wait of the main thread in one call.

A signal that arrives between the interpreter's last check and the start of a wait is handled only
after that wait.
"""


class Launch(Generic[_Result]):
    """The handle of a launched job.

    Attributes:
        launch_id: A unique identifier of this launch.
        name: The job.
        state: ``waiting`` until it starts, ``running``, then ``completed``, ``failed``, ``skipped``
            (its lock was held elsewhere) or ``depsfail`` (a launch that it depends on failed).
        run_id: The identifier of its managed run, once that has started.
        elsewhere: Whether it did not run because another process runs it for the same fire time.
        launched_from: The trace context of the code that launched it, if that is traced.
    """

    def __init__(self, name: str, launched_from: str | None = None) -> None:
        self.launched_from: Final = launched_from
        self.launch_id: Final = uuid.uuid4().hex
        self.name: Final = name
        self.state: LaunchState = "waiting"
        self.run_id: str | None = None
        self.elsewhere = False
        self._result: _Result | None = None
        self._error: BaseException | None = None
        self._settled = False
        self._ended = Latch()
        self._lock = threading.Lock()

    def done(self) -> bool:
        """Return whether the launch has ended."""
        return self._ended.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, for at most `timeout` seconds, and return whether it has ended.

        Raises:
            InvalidOption: The timeout is negative, or not a number.
        """
        if timeout is not None:
            check_seconds("timeout", timeout)
        if self._ended.is_set():
            return True
        with release_slot():
            return self._ended.wait(timeout)

    def result(self, timeout: float | None = None) -> _Result:
        """Wait for its end, and return the result of the job (None if it did not run).

        Raises:
            TimeoutError: It has not ended after `timeout` seconds.
            InvalidOption: The timeout is negative, or not a number.
            BaseException: The exception of the job.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"{self.name!r} has not ended after {timeout} s")
        if self._error is not None:
            raise self._error
        return cast("_Result", self._result)

    @property
    def error(self) -> BaseException | None:
        """The exception with which it has ended; None if it completed, or has not ended."""
        return self._error

    def _begin(self) -> bool:
        """Mark it as running and return True, or return False if it has ended; called once."""
        with self._lock:
            if not self._settled:
                self.state = "running"
        return not self._settled

    def _finish(
        self, state: LaunchState, result: Any = None, error: BaseException | None = None
    ) -> None:
        """End the launch; only the first call has an effect."""
        with self._lock:
            if self._settled:
                return
            self._settled, self.state = True, state
            self._result, self._error = result, error
        self._ended.set()

    def _then(self, call: Callable[[], None]) -> None:
        """Call `call` when the launch ends, or at once if it has ended."""
        self._ended.then(call)

    def __repr__(self) -> str:
        return f"<Launch {self.name!r} {self.state}>"


class DidNotRun(JobError):
    """Raised by a launched job that did not run; ends its launch without an error."""

    def __init__(self, state: Literal["skipped", "depsfail"], reason: str) -> None:
        self.state = state
        self.reason = reason
        super().__init__(f"did not run ({state}): {reason}")


class Launcher:
    """Runs launched jobs on a bounded pool of threads, in the order of launching.

    A job takes no slot of the pool while it waits for other launches, either before its start or in
    `Launch.wait` or in `Launch.result`.
    """

    def __init__(self, threads: int = 4) -> None:
        if not (is_integer(threads) and threads >= 1):
            reason = f"{threads!r} is not a number of threads"
            raise InvalidOption("threads", reason, "pass at least 1")
        self._pool = Pool(threads)
        self._closed = False
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        """Leave the launches to the parent, in a forked child."""
        self._lock = threading.Lock()
        self._open: set[Launch] = set()

    @property
    def closed(self) -> bool:
        """Whether it takes no launches any more."""
        return self._closed

    @property
    def waiting(self) -> int:
        """The number of launched jobs that take no slot of the pool, since they wait."""
        return self._pool.waiting

    def submit(
        self,
        name: str,
        work: Callable[[Launch], Any],
        after: Iterable[Launch] = (),
        otherwise: Callable[[Launch, Launch], None] = lambda _, __: None,
        refused: Callable[[NoThread], None] = lambda _: None,
    ) -> Launch:
        """Run `work(launch)` on the pool when all launches in `after` have completed.

        If one of them did not complete, call `otherwise(launch, that launch)` and then end this
        launch with state ``depsfail``, in this order. If no thread can be had for it later, call
        `refused` and then end it as failed.

        Raises:
            JobMisuse: The launcher is closed.
            NoThread: No thread can be had; nothing runs.
        """
        launch = Launch[Any](name, tracing.current())
        with self._lock:
            if self._closed:
                raise JobMisuse(name, "the launcher is closed", "launch it before the close")
            self._open.add(launch)
        launch._then(lambda: self._forget(launch))

        def proceed(failed: Launch | None) -> None:
            if launch.done():
                return
            if failed is None:
                self._submit(launch, work, refused)
                return
            try:
                otherwise(launch, failed)
            finally:
                launch._finish("depsfail")

        before = list(after)
        if not before:
            self._submit(launch, work, _raise)
        _when_ended(before, proceed)
        return launch

    def _submit(
        self, launch: Launch, work: Callable[[Launch], Any], refused: Callable[[NoThread], None]
    ) -> None:
        try:
            self._pool.submit(lambda: self._run(launch, work))
        except NoThread as error:
            try:
                refused(error)
            finally:
                launch._finish("failed", error=error)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all launches have ended, and return whether they have."""
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
        """Wait for all launches, then end the threads."""
        while not self._closed:
            self.wait()
            with self._lock:
                self._closed = not self._open
        self._pool.join()

    def _run(self, launch: Launch, work: Callable[[Launch], Any]) -> None:
        if not launch._begin():
            return
        try:
            with tracing.launched_from(launch.launched_from):
                result = work(launch)
        except DidNotRun as reason:
            launch._finish(reason.state)
        except BaseException as error:  # noqa: BLE001  it is the result of the launch
            launch._finish("failed", error=error)
        else:
            launch._finish("completed", result)

    def _forget(self, launch: Launch) -> None:
        with self._lock:
            self._open.discard(launch)


def _raise(error: NoThread) -> None:
    raise error


def _when_ended(launches: list[Launch], call: Callable[[Launch | None], None]) -> None:
    """Call `call` once all launches have ended, with one that did not complete, if any."""
    pending, lock = len(launches), threading.Lock()

    def count() -> None:
        nonlocal pending
        with lock:
            pending -= 1
            last = pending == 0
        if last:
            call(next((launch for launch in launches if launch.state != "completed"), None))

    for launch in launches:
        launch._then(count)
