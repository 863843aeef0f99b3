"""The calls of one channel on its server: each ends by its timeout, and fails with our errors."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final, Generic, TypeVar

from ojobchannels.errors import ChannelClosed, ChannelError
from ojobchannels.host.forks import notice_hidden_fork
from ojobchannels.remote.requests import Attempts, Operation, Outcome, sole
from ojobchannels.steps import Steps, drive, one

_T = TypeVar("_T")
_Client = TypeVar("_Client")
_LONGEST_PAUSE: Final = 0.1


class Calls(ABC, Generic[_Client]):
    """The calls of one channel; a backend says how its driver is called, and what errors mean.

    For an event loop, a backend derives a class whose `perform` is `drive_async`, and whose
    `_sleep` is that of asyncio.

    Attributes:
        driver_errors: The errors of the driver.
        perform: Performs the steps of an operation.
        timeout: Seconds that a call may take by default, with all its retries.
        closed: Whether the channel was closed.
    """

    driver_errors: ClassVar[tuple[type[Exception], ...]]
    perform: Callable[[Steps[Any]], Any] = staticmethod(drive)
    _sleep: Callable[[float], Any] = staticmethod(time.sleep)

    def __init__(self, channel: str, timeout: float) -> None:
        self.channel = channel
        self.timeout = timeout
        self.closed = False

    def call(
        self,
        operation: Operation,
        work: Callable[[_Client, bool], _T],
        seconds: float | None = None,
    ) -> _T:
        """Return `work(client, again)`, called on this thread; see `calling`."""
        return drive(self.calling_in_one_step(operation, work, seconds))

    def calling_in_one_step(
        self,
        operation: Operation,
        work: Callable[[_Client, bool], _T],
        seconds: float | None = None,
    ) -> Steps[_T]:
        """Return `work(client, again)`, a single step: for a driver without an asyncio client."""
        return self.calling(
            operation, lambda client, again: one(partial(work, client, again)), seconds
        )

    def calling(
        self,
        operation: Operation,
        work: Callable[[_Client, bool], Steps[_T]],
        seconds: float | None = None,
    ) -> Steps[_T]:
        """Yield the steps of `work(client, again)`, and return its result.

        Args:
            operation: What is done, and whether it may be done again.
            work: Returns the steps that call the server; it may be called more than once. `again`
                means that they may have been done before.
            seconds: Timeout for all attempts; the channel's own by default.

        Raises:
            ChannelError: It failed; the driver's error is the cause.
        """
        notice_hidden_fork()
        attempts = Attempts(operation, self.timeout if seconds is None else seconds, _LONGEST_PAUSE)
        while True:
            if self.closed:
                raise ChannelClosed(self.channel)
            try:
                return (yield from self._attempting(work, attempts, operation))
            except ChannelError:  # some derive from errors that drivers raise
                raise
            except self.driver_errors as raised:
                error = raised
            # Not within the handler: an error of a step would lose its cause.
            pause = attempts.pause_before_next(error, self._outcome_of(error, operation))
            if pause is None:
                break
            yield partial(self._sleep, pause)
        raise self._error(error, operation, attempts) from sole(self._cause(error))

    @abstractmethod
    def _attempting(
        self, work: Callable[[_Client, bool], Steps[_T]], attempts: Attempts, operation: Operation
    ) -> Steps[_T]:
        """Yield the steps of `work` with a client, for at most `attempts.next_limit()` seconds."""

    @abstractmethod
    def _outcome_of(self, error: Exception, operation: Operation) -> Outcome:
        """Return what an error of the driver means for the request."""

    @abstractmethod
    def _explain(self, error: Exception, operation: Operation, seconds: float) -> ChannelError:
        """Return our error for one of the driver, where nothing is in doubt."""

    def _cause(self, error: Exception) -> Exception | None:
        """Return the driver's error as the cause of ours, unless it quotes a password."""
        return error

    def _error(self, error: Exception, operation: Operation, attempts: Attempts) -> ChannelError:
        if self.closed:
            return ChannelClosed(self.channel)
        if attempts.in_doubt:
            return operation.unknown(self.channel)
        return self._explain(error, operation, attempts.spent())
