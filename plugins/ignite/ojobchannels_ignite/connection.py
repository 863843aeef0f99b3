"""The calls of one channel to its cluster: with a timeout, retries and errors of ours."""

from collections.abc import Callable
from typing import Final, TypeVar

from ojobchannels.errors import ChannelClosed, ChannelError
from ojobchannels.host.forks import notice_hidden_fork
from ojobchannels.remote import Attempts, Operation
from ojobchannels_ignite.cluster import Cluster
from ojobchannels_ignite.errors import DRIVER_ERRORS, explain, outcome_of
from ojobchannels_ignite.requests import Requests

_T = TypeVar("_T")
_LONGEST_PAUSE: Final = 0.1


class Connection:
    """The connection of one channel to its cluster.

    Attributes:
        timeout: Seconds that a call may take by default, with all its retries.
        closed: Whether the channel was closed.
    """

    def __init__(self, channel: str, cluster: Cluster, timeout: float) -> None:
        self.channel = channel
        self.cluster = cluster
        self.timeout = timeout
        self.closed = False

    def call(
        self,
        operation: Operation,
        work: Callable[[Requests, bool], _T],
        seconds: float | None = None,
    ) -> _T:
        """Return `work(requests, again)`; `again` means that it may have been done before.

        Args:
            operation: What is done, and whether it may be done again.
            work: Sends requests; it may be called more than once.
            seconds: Timeout for all attempts; the channel's own by default.

        Raises:
            ChannelError: It failed; the driver's error is the cause.
        """
        notice_hidden_fork()
        attempts = Attempts(operation, self.timeout if seconds is None else seconds, _LONGEST_PAUSE)
        while True:
            if self.closed:
                raise ChannelClosed(self.channel)
            requests: Requests | None = None
            try:
                with self.cluster.requests(attempts.next_limit()) as requests:
                    return work(requests, bool(attempts.lost))
            except ChannelError:
                raise
            except DRIVER_ERRORS as error:
                wrote = requests is not None and requests.wrote
                if not attempts.retry(error, outcome_of(error, wrote)):
                    raise self._error(error, operation, attempts) from error

    def _error(self, error: Exception, operation: Operation, attempts: Attempts) -> ChannelError:
        if attempts.in_doubt:
            return operation.unknown(self.channel)
        settings = self.cluster.settings
        return explain(error, operation, self.channel, settings, attempts.spent())
