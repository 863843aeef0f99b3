"""The connection of one channel to its server: calls with a timeout, retries and errors of ours."""

from collections.abc import Callable
from typing import Final, TypeVar

import pymongo
from pymongo.errors import InvalidOperation

from ojobchannels.errors import ChannelClosed, ChannelError
from ojobchannels.host.forks import notice_hidden_fork
from ojobchannels.remote import Attempts, Operation
from ojobchannels_mongo.errors import DRIVER_ERRORS, explain, outcome_of
from ojobchannels_mongo.servers import Collections, Server

_T = TypeVar("_T")
_LONGEST_PAUSE: Final = 0.1


class Connection:
    """The connection of one channel to its server.

    Attributes:
        timeout: Seconds that a call may take by default, with all its retries.
        closed: Whether the channel was closed.
    """

    def __init__(self, channel: str, server: Server, timeout: float) -> None:
        self.channel = channel
        self.server = server
        self.timeout = timeout
        self.closed = False

    def call(
        self,
        operation: Operation,
        work: Callable[[Collections, bool], _T],
        seconds: float | None = None,
    ) -> _T:
        """Return `work(collections, again)`; `again` means that it may have been done before.

        Args:
            operation: What is done, and whether it may be done again.
            work: Calls the server; it may be called more than once.
            seconds: Timeout for all attempts; the channel's own by default.

        Raises:
            ChannelError: It failed; the driver's error is the cause.
        """
        notice_hidden_fork()
        allowed = self.timeout if seconds is None else seconds
        attempts = Attempts(operation, allowed, _LONGEST_PAUSE)
        while True:
            if self.closed:
                raise ChannelClosed(self.channel)
            try:
                with pymongo.timeout(attempts.next_limit()):
                    return work(self.server.collections(), bool(attempts.lost))
            except DRIVER_ERRORS as error:
                if not attempts.retry(error, outcome_of(error)):
                    raise self._error(error, operation, attempts) from self._cause(error)

    def _error(self, error: Exception, operation: Operation, attempts: Attempts) -> ChannelError:
        if self.closed or isinstance(error, InvalidOperation):
            return ChannelClosed(self.channel)
        if attempts.in_doubt:
            return operation.unknown(self.channel)
        return explain(error, operation, self.channel, self.server.settings, attempts.spent())

    def _cause(self, error: Exception) -> Exception | None:
        """Return the error, unless it quotes a password."""
        text = str(error)
        return error if self.server.settings.redact(text) == text else None
