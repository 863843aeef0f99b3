"""The calls of one channel on its server: each ends by its timeout, and fails with our errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final, Generic, TypeVar

from ojobchannels.errors import ChannelClosed, ChannelError
from ojobchannels.host.forks import notice_hidden_fork
from ojobchannels.remote.requests import Attempts, Operation, Outcome, sole

_T = TypeVar("_T")
_Client = TypeVar("_Client")
_LONGEST_PAUSE: Final = 0.1


class Calls(ABC, Generic[_Client]):
    """The calls of one channel; a backend says how its driver is called, and what errors mean.

    Attributes:
        driver_errors: The errors of the driver.
        timeout: Seconds that a call may take by default, with all its retries.
        closed: Whether the channel was closed.
    """

    driver_errors: ClassVar[tuple[type[Exception], ...]]

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
        """Return `work(client, again)`; `again` means that it may have been done before.

        Args:
            operation: What is done, and whether it may be done again.
            work: Calls the server; it may be called more than once.
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
                return self._attempt(work, attempts, operation)
            except ChannelError:  # some derive from errors that drivers raise
                raise
            except self.driver_errors as error:
                if not attempts.retry(error, self._outcome_of(error, operation)):
                    raise self._error(error, operation, attempts) from sole(self._cause(error))

    @abstractmethod
    def _attempt(
        self, work: Callable[[_Client, bool], _T], attempts: Attempts, operation: Operation
    ) -> _T:
        """Call `work` with a client, for at most `attempts.next_limit()` seconds."""

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
