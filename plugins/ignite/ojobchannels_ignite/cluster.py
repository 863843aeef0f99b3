"""Clusters: the connections of this process for all handles with equal settings."""

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from pyignite.utils import cache_id

from ojobchannels.errors import ChannelError
from ojobchannels.remote import Servers
from ojobchannels.remote.options import Address
from ojobchannels.remote.pool import Pool
from ojobchannels.remote.waiters import Waiters
from ojobchannels.steps import Steps
from ojobchannels_ignite.errors import DRIVER_ERRORS, NotConnected, Refused
from ojobchannels_ignite.options import Settings
from ojobchannels_ignite.protocol.node import NodeConnection, SocketConnection

MOST_CONNECTIONS: Final = 16
_CONNECT_ERRORS: Final = (*DRIVER_ERRORS, ValueError)


class Nodes:
    """The nodes of a cluster, and a small pool of connections to each: one serves one call at once.

    Calls go to the first node of the list that works. One that fails becomes the last.

    Args:
        settings: Where the nodes are.
        connect: Connects to a node within a number of seconds; in an event loop, a coroutine
            function.
    """

    def __init__(
        self, settings: Settings, connect: Callable[[Address, Settings, float], Any]
    ) -> None:
        self._nodes = deque(settings.nodes)
        self._pools: dict[Address, Pool[NodeConnection]] = {
            node: Pool(partial(connect, node, settings), _CONNECT_ERRORS) for node in self._nodes
        }
        self.forget()

    def taking(self, seconds: float) -> Steps[NodeConnection]:
        """Yield the steps to a connection; what is requested on it ends within that time, too.

        Raises:
            NotConnected: No node can be reached.
        """
        ends = time.monotonic() + seconds
        failure: Exception | None = None
        nodes = list(self._nodes)
        for number, node in enumerate(nodes, 1):
            left = max(ends - time.monotonic(), 0.001)
            limit = left if number == len(nodes) else left / 2
            try:
                connection = yield from self._pools[node].taking(limit, False)
            except _CONNECT_ERRORS as error:
                self._leave(node)
                failure = error
            else:
                connection.ends = ends
                return connection
        raise NotConnected(str(failure)) from failure

    @contextmanager
    def using(self, connection: NodeConnection) -> Iterator[None]:
        """Give a connection back, or close it if a reply may be on its way, or it is broken."""
        try:
            yield
        except (ChannelError, Refused):
            self._pools[connection.address].give_back(connection)
            raise
        except OSError:
            connection.close()
            self._leave(connection.address)
            raise
        except BaseException:
            connection.close()
            raise
        self._pools[connection.address].give_back(connection)

    def close(self) -> None:
        """Close the connections, those in use when their call has ended."""
        for pool in self._pools.values():
            pool.close()

    def forget(self) -> None:
        """Leave the connections to the parent, in a forked child."""
        for pool in self._pools.values():
            pool.forget()
        self._mutex = threading.Lock()

    def _leave(self, node: Address) -> None:
        """Use the other nodes first, and none of the idle connections to this one."""
        with self._mutex:
            if self._nodes[0] == node:
                self._nodes.rotate(-1)
        self._pools[node].purge()


class Cluster:
    """A cluster, as the threads of this process use it.

    Attributes:
        cache: The number of the cache.
        nodes: Where it is reached.
        waiters: Wakes the waiters of this process.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.waiters = Waiters()
        self.cache: int = cache_id(settings.cache)
        self.nodes = Nodes(settings, SocketConnection)
        self._slots = threading.BoundedSemaphore(MOST_CONNECTIONS)

    @contextmanager
    def slot(self, seconds: float) -> Iterator[None]:
        """Enter while a connection is used.

        Raises:
            TimeoutError: All were in use for that time.
        """
        slots = self._slots
        if not slots.acquire(timeout=seconds):
            raise TimeoutError(f"all {MOST_CONNECTIONS} connections are in use")
        try:
            yield
        finally:
            slots.release()

    def close(self) -> None:
        """Close the connections."""
        self.nodes.close()

    def forget(self) -> None:
        """Leave connections and waiters to the parent, in a forked child."""
        self.nodes.forget()
        self.waiters.forget()
        self._slots = threading.BoundedSemaphore(MOST_CONNECTIONS)


SERVERS: Final = Servers(Cluster)
atexit.register(SERVERS.close)
