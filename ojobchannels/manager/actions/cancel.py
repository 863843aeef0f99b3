"""Cancelled runs: how the process of a run learns that an operator wants it to end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

from ojobchannels.channels.arguments import check_seconds
from ojobchannels.channels.channel import Channel
from ojobchannels.channels.keepalive.scheduler import KEEP_ALIVE
from ojobchannels.errors import ChannelError, RunCancelled
from ojobchannels.host.clock import HOST_CLOCK
from ojobchannels.host.forks import forget_in_children
from ojobchannels.host.wakeup import Latch
from ojobchannels.manager.actions import journal
from ojobchannels.manager.actions.action import Action

CANCEL: Final = "cancel"
POLL_SECONDS: Final = 1.0
_log = logging.getLogger("ojobchannels.jobs")


class Cancellation(NamedTuple):
    """The request to cancel a run.

    Attributes:
        author: Who asked for it.
        reason: Why; may be empty.
        noticed: When this process learned of it, on the monotonic clock in seconds.
    """

    author: str
    reason: str
    noticed: float

    def error(self, name: str, run_id: str) -> RunCancelled:
        """Return the error that ends the code of the run."""
        return RunCancelled(name, run_id, self.author, self.reason)

    def caused(
        self, name: str, run_id: str, error: BaseException | str | None
    ) -> BaseException | str | None:
        """Return the error for the record of a run that has ended by `error`."""
        if isinstance(error, RunCancelled):
            return error
        cancelled = self.error(name, run_id)
        if isinstance(error, BaseException):
            cancelled.__cause__ = error
            cancelled.with_traceback(error.__traceback__)
        return cancelled


class Cancellable:
    """A run that can be cancelled.

    Attributes:
        name: The name of the job.
        run_id: The identifier of the run.
        cancellation: Who has cancelled it, and why; or None.
    """

    name: str
    run_id: str

    def __init__(self) -> None:
        self.cancellation: Cancellation | None = None
        self._cancelling = Latch()

    @property
    def cancelled(self) -> bool:
        """Whether an operator has cancelled it; its code is to end soon."""
        return self.cancellation is not None

    def wait(self, seconds: float) -> bool:
        """Sleep for some seconds, or until the run is cancelled; return whether it is.

        Raises:
            InvalidOption: The seconds are negative, or not a number.
        """
        check_seconds("seconds", seconds)
        return self._cancelling.wait(seconds)

    def _check_cancelled(self) -> None:
        """Raise RunCancelled if the run was cancelled."""
        if self.cancellation is not None:
            raise self.cancellation.error(self.name, self.run_id)

    def _raise_cancelled(self, cause: BaseException) -> None:
        """Raise RunCancelled in place of what has ended its code, if the run was cancelled."""
        if self.cancellation is not None:
            raise self.cancellation.error(self.name, self.run_id) from cause

    def _request_cancel(self, request: Cancellation) -> None:
        """Have the code of the run informed that it was cancelled."""
        self.cancellation = request
        self._cancelling.set()


class OpenRun(Protocol):
    """A run that can be cancelled."""

    name: str
    run_id: str

    def _request_cancel(self, request: Cancellation) -> None:
        """Have the run cancelled."""


class CancelWatch:
    """Looks once a second for requests to cancel open runs, while there are any.

    It reads one small document, and uses the thread of keep-alive. Its alarm stays set for the
    second after a run has ended, so that short runs need not set and drop one each.

    Args:
        state: Returns the state channel.
        running: Returns the open runs.
    """

    def __init__(
        self, state: Callable[[], Channel], running: Callable[[], Iterable[OpenRun]]
    ) -> None:
        self._state = state
        self._running = running
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        """Leave the runs and the alarm to the parent, in a forked child."""
        self._feed: journal.ActionFeed | None = None
        self._taken: dict[str, Action] = {}
        self._is_set = False

    def start(self) -> None:
        """Begin to look, unless it does so already; a run has started."""
        if not self._is_set:
            self._is_set = True
            at = HOST_CLOCK.now() + round(POLL_SECONDS * 1e6)
            KEEP_ALIVE.set_alarm(self, HOST_CLOCK, at, self._poll)

    def stop(self) -> None:
        """Stop looking: the manager is closed."""
        self._is_set = False
        KEEP_ALIVE.drop_alarm(self)

    def apply(self, action: Action) -> None:
        """Carry out an action if it cancels an open run of this process."""
        if action.action != CANCEL or action.state != "requested":
            return
        run = next((each for each in self._running() if each.run_id == action.target), None)
        if run is None:
            return
        why = f": {action.reason}" if action.reason else ""
        _log.warning("job %r is cancelled by %s%s", run.name, action.author, why)
        with suppress(ChannelError):
            taken = journal.move(self._state(), action, "taken")
            if taken is not None:
                self._taken[run.run_id] = taken
        run._request_cancel(Cancellation(action.author, action.reason, time.monotonic()))

    def ended(self, record: Mapping[str, Any]) -> None:
        """Note in the action how the cancelled run has ended."""
        taken = self._taken.pop(record["runId"], None)
        if taken is not None:
            with suppress(ChannelError):
                journal.move(self._state(), taken, "done", status=record["status"])

    def _poll(self) -> None:
        if self._has_runs():
            self._read_requests()
        self._is_set = False  # first of all: a run that starts now must see it or be seen
        if self._has_runs():
            self.start()

    def _has_runs(self) -> bool:
        return any(True for _ in self._running())

    def _read_requests(self) -> None:
        try:
            if self._feed is None:
                # A run's identifier is never used again, whatever the clock of the operator.
                self._feed = journal.ActionFeed(self._state(), longest=None)
            for action in self._feed.poll():
                self.apply(action)
        except ChannelError as error:
            _log.debug("requests to cancel runs cannot be read now: %s", error)
