"""The calls of one channel to its cluster."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from ojobchannels.errors import ChannelError
from ojobchannels.remote import Attempts, Operation, Outcome
from ojobchannels.remote.calls import Calls
from ojobchannels.steps import Steps
from ojobchannels_ignite.cluster import Cluster
from ojobchannels_ignite.errors import DRIVER_ERRORS, NothingDone, explain, outcome_of, root_of
from ojobchannels_ignite.protocol.requests import Requests

_T = TypeVar("_T")


class Connection(Calls[Requests]):
    """The calls of one channel.

    Attributes:
        nodes: Where the cluster is reached.
    """

    driver_errors = DRIVER_ERRORS

    def __init__(self, channel: str, cluster: Cluster, timeout: float) -> None:
        super().__init__(channel, timeout)
        self.cluster = cluster
        self.nodes = cluster.nodes

    def _attempting(
        self, work: Callable[[Requests, bool], Steps[_T]], attempts: Attempts, operation: Operation
    ) -> Steps[_T]:
        requests: Requests | None = None
        ends = time.monotonic() + (limit := attempts.next_limit())
        try:
            with self._slot(limit):
                connection = yield from self.nodes.taking(ends - time.monotonic())
                requests = Requests(connection, self.cluster.cache)
                with self.nodes.using(connection):
                    return (yield from work(requests, bool(attempts.lost)))
        except ChannelError:
            raise
        except DRIVER_ERRORS as error:
            if requests is not None and requests.wrote:
                raise
            raise NothingDone(str(error)) from error

    def _slot(self, seconds: float) -> AbstractContextManager[None]:
        return self.cluster.slot(seconds)

    def _outcome_of(self, error: Exception, operation: Operation) -> Outcome:
        return outcome_of(error)

    def _explain(self, error: Exception, operation: Operation, seconds: float) -> ChannelError:
        return explain(error, operation, self.channel, self.cluster.settings, seconds)

    def _cause(self, error: Exception) -> Exception | None:
        cause = root_of(error)
        return cause if isinstance(cause, Exception) else error
