"""Clusters: the connections of this process for all handles with equal settings."""

import atexit
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from pyignite.utils import cache_id

from ojobchannels.errors import ChannelError
from ojobchannels.remote import Servers
from ojobchannels.remote_options import Address
from ojobchannels.remote_waiters import Waiters
from ojobchannels_ignite.errors import DRIVER_ERRORS, NotConnected, Refused
from ojobchannels_ignite.node import NodeConnection
from ojobchannels_ignite.options import Settings
from ojobchannels_ignite.requests import Requests

_MOST: Final = 16
_MOST_IDLE: Final = 4
_LONGEST_IDLE: Final = 5.0


class _Idle(NamedTuple):
    connection: NodeConnection
    since: float


class Cluster:
    """The nodes, and a small pool of connections, since each serves one call at a time.

    All connections go to the first node of the list that works. One that fails becomes the last.

    Attributes:
        waiters: Wakes the waiters of this process.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.waiters = Waiters()
        self._cache = cache_id(settings.cache)
        self._nodes = deque(settings.nodes)
        self._closed = False
        self._idle: deque[_Idle] = deque()
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
            raise NotConnected from TimeoutError(f"all {_MOST} connections are in use")
        try:
            connection = self._idle_connection() or self._connect(ends)
            connection.ends = ends
            try:
                yield Requests(connection, self._cache)
            except (ChannelError, Refused):
                self._keep(connection)
                raise
            except OSError:
                self._leave(connection.address)
                connection.close()
                raise
            except BaseException:  # a reply may be on its way
                connection.close()
                raise
            self._keep(connection)
        finally:
            slots.release()

    def close(self) -> None:
        """Close the connections."""
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, deque()
        for kept in idle:
            kept.connection.close()

    def forget(self) -> None:
        """Leave connections and waiters to the parent, in a forked child."""
        for kept in self._idle:
            kept.connection.close()
        self._idle.clear()
        self.waiters.forget()
        self._mutex = threading.Lock()
        self._slots = threading.BoundedSemaphore(_MOST)

    def _idle_connection(self) -> NodeConnection | None:
        """Return the connection that was used last; close those that are too old or at an end."""
        found: NodeConnection | None = None
        ended: list[_Idle] = []
        oldest = time.monotonic() - _LONGEST_IDLE
        with self._mutex:
            while self._idle and self._idle[0].since < oldest:
                ended.append(self._idle.popleft())
            while self._idle and found is None:
                last = self._idle.pop()
                if last.connection.is_usable():
                    found = last.connection
                else:
                    ended.append(last)
        for kept in ended:
            kept.connection.close()
        return found

    def _connect(self, ends: float) -> NodeConnection:
        failure: Exception | None = None
        nodes = list(self._nodes)
        for number, address in enumerate(nodes, 1):
            left = ends - time.monotonic()
            limit = left if number == len(nodes) else left / 2
            try:
                return NodeConnection(address, self.settings, time.monotonic() + limit)
            except (*DRIVER_ERRORS, ValueError) as error:
                self._leave(address)
                failure = error
        raise NotConnected(str(failure)) from failure

    def _keep(self, connection: NodeConnection) -> None:
        with self._mutex:
            if not self._closed and len(self._idle) < _MOST_IDLE:
                self._idle.append(_Idle(connection, time.monotonic()))
                return
        connection.close()

    def _leave(self, address: Address) -> None:
        """Use the other nodes first, and none of the connections to this one."""
        with self._mutex:
            if len(self._nodes) > 1 and self._nodes[0] == address:
                self._nodes.rotate(-1)
            gone = [kept for kept in self._idle if kept.connection.address == address]
            for kept in gone:
                self._idle.remove(kept)
        for kept in gone:
            kept.connection.close()


SERVERS: Final = Servers(Cluster)
atexit.register(SERVERS.close)
