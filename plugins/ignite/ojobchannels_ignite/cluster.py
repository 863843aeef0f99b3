"""Clusters: the connections of this process for all handles with equal settings."""

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pyignite.utils import cache_id

from ojobchannels.errors import ChannelError
from ojobchannels.remote import Servers
from ojobchannels.remote.options import Address
from ojobchannels.remote.pool import Pool
from ojobchannels.remote.waiters import Waiters
from ojobchannels_ignite.errors import DRIVER_ERRORS, NotConnected, Refused
from ojobchannels_ignite.node import NodeConnection
from ojobchannels_ignite.options import Settings
from ojobchannels_ignite.requests import Requests

_MOST: Final = 16
_CONNECT_ERRORS: Final = (*DRIVER_ERRORS, ValueError)


class Cluster:
    """The nodes, and a small pool of connections to each, since one serves one call at a time.

    Calls go to the first node of the list that works. One that fails becomes the last.

    Attributes:
        waiters: Wakes the waiters of this process.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.waiters = Waiters()
        self._cache = cache_id(settings.cache)
        self._nodes = deque(settings.nodes)
        self._pools: dict[Address, Pool[NodeConnection]] = {
            node: Pool(self._opening(node), _CONNECT_ERRORS) for node in self._nodes
        }
        self.forget()

    @contextmanager
    def requests(self, seconds: float) -> Iterator[Requests]:
        """Yield a connection for at most that time; afterwards others may use it.

        Raises:
            NotConnected: No node can be reached.
            TimeoutError: All connections were in use.
        """
        ends = time.monotonic() + seconds
        slots = self._slots
        if not slots.acquire(timeout=seconds):
            raise TimeoutError(f"all {_MOST} connections are in use")
        try:
            connection = self._connection(ends)
            connection.ends = ends
            try:
                yield Requests(connection, self._cache)
            except (ChannelError, Refused):
                self._pools[connection.address].give_back(connection)
                raise
            except OSError:
                connection.close()
                self._leave(connection.address)
                raise
            except BaseException:  # a reply may be on its way
                connection.close()
                raise
            self._pools[connection.address].give_back(connection)
        finally:
            slots.release()

    def close(self) -> None:
        """Close the connections."""
        for pool in self._pools.values():
            pool.close()

    def forget(self) -> None:
        """Leave connections and waiters to the parent, in a forked child."""
        for pool in self._pools.values():
            pool.forget()
        self.waiters.forget()
        self._mutex = threading.Lock()
        self._slots = threading.BoundedSemaphore(_MOST)

    def _opening(self, node: Address) -> Callable[[float], NodeConnection]:
        return lambda limit: NodeConnection(node, self.settings, time.monotonic() + limit)

    def _connection(self, ends: float) -> NodeConnection:
        failure: Exception | None = None
        nodes = list(self._nodes)
        for number, node in enumerate(nodes, 1):
            left = max(ends - time.monotonic(), 0.001)
            try:
                return self._pools[node].take(left if number == len(nodes) else left / 2, False)
            except _CONNECT_ERRORS as error:
                self._leave(node)
                failure = error
        raise NotConnected(str(failure)) from failure

    def _leave(self, node: Address) -> None:
        """Use the other nodes first, and none of the idle connections to this one."""
        with self._mutex:
            if self._nodes[0] == node:
                self._nodes.rotate(-1)
        self._pools[node].purge()


SERVERS: Final = Servers(Cluster)
atexit.register(SERVERS.close)
