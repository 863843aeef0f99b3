"""The handle of a durable launch."""

import time
from typing import Any, Final, Generic, TypeVar, cast

from ojobchannels.channels.arguments import check_seconds
from ojobchannels.manager.durable_launches.info import LaunchInfo, LaunchStatus
from ojobchannels.manager.durable_launches.store import LaunchStore
from ojobchannels.manager.local_launches.pool import release_slot

_Result = TypeVar("_Result")

SHORTEST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 1.0


class DurableLaunch(Generic[_Result]):
    """The handle of a durable launch; each question reads the channel.

    Attributes:
        launch_id: Its identifier, for `JobManager.launch_result` in any process.
        name: The job.
    """

    def __init__(self, store: LaunchStore, name: str, launch_id: str) -> None:
        self._store = store
        self.name: Final = name
        self.launch_id: Final = launch_id

    @property
    def info(self) -> LaunchInfo:
        """The launch as it is stored now."""
        return self._store.find(self.launch_id)

    @property
    def state(self) -> LaunchStatus:
        """``waiting``, ``running``, or how it ended."""
        return self.info.state

    @property
    def run_id(self) -> str | None:
        """The identifier of its last run; None if none has begun."""
        return self.info.run_id

    @property
    def error(self) -> str | None:
        """The error of its last attempt, as the record of that run has it; None without one."""
        return self.info.error

    def done(self) -> bool:
        """Return whether it has ended."""
        return self._store.has_ended(self.launch_id)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, for at most `timeout` seconds, and return whether it has ended.

        The channel is read at least once a second.

        Raises:
            InvalidOption: The timeout is negative, or not a number.
        """
        if timeout is not None:
            check_seconds("timeout", timeout)
        end = None if timeout is None else time.monotonic() + timeout
        pause = SHORTEST_PAUSE
        while not self.done():
            left = pause if end is None else min(end - time.monotonic(), pause)
            if left <= 0:
                return False
            with release_slot():
                time.sleep(left)
            pause = min(pause * 2, LONGEST_PAUSE)
        return True

    def result(self, timeout: float | None = None) -> _Result:
        """Wait for its end, and return the result of the job (None if it was skipped).

        Raises:
            TimeoutError: It has not ended after `timeout` seconds.
            InvalidOption: The timeout is negative, or not a number.
            LaunchFailed: It did not complete.
            ResultNotKept: The result is too large, or not JSON.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"{self.name!r} has not ended after {timeout} s")
        result: Any = self._store.result(self.launch_id)
        return cast("_Result", result)

    def __repr__(self) -> str:
        return f"<DurableLaunch {self.name!r} {self.launch_id}>"
