"""The connection of one channel to its server: calls of the driver, and what its errors mean."""

from collections.abc import Callable
from typing import Any, TypeVar

import pymongo
from pymongo.errors import InvalidOperation

from ojobchannels.errors import ChannelClosed, ChannelError
from ojobchannels.remote import Attempts, Operation, Outcome
from ojobchannels.remote.calls import Calls
from ojobchannels.steps import Steps, drive
from ojobchannels_mongo.errors import DRIVER_ERRORS, explain, outcome_of
from ojobchannels_mongo.servers import Collections, Server

_T = TypeVar("_T")


class Connection(Calls[Collections]):
    """The connection of one channel to its server."""

    driver_errors = DRIVER_ERRORS

    def __init__(self, channel: str, server: Server, timeout: float) -> None:
        super().__init__(channel, timeout)
        self.server = server

    def collections(self) -> Collections:
        """Return the client and the collections to use."""
        return self.server.collections()

    def within(self, context: Any, work: Callable[[Any], Steps[Any]]) -> Any:
        """Perform the steps of `work` with a session or a cursor, and close it.

        In an event loop it returns a coroutine.
        """
        with context as entered:
            return drive(work(entered))

    def _attempting(
        self,
        work: Callable[[Collections, bool], Steps[_T]],
        attempts: Attempts,
        operation: Operation,
    ) -> Steps[_T]:
        with pymongo.timeout(attempts.next_limit()):
            return (yield from work(self.collections(), bool(attempts.lost)))

    def _outcome_of(self, error: Exception, operation: Operation) -> Outcome:
        return outcome_of(error)

    def _explain(self, error: Exception, operation: Operation, seconds: float) -> ChannelError:
        if isinstance(error, InvalidOperation):
            return ChannelClosed(self.channel)
        return explain(error, operation, self.channel, self.server.settings, seconds)

    def _cause(self, error: Exception) -> Exception | None:
        text = str(error)
        return error if self.server.settings.redact(text) == text else None
