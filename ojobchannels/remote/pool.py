"""Connections to one server that the threads of a process take turns to use."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar
from weakref import WeakSet

_IDLE: Final = 1.0
_LONGEST_IDLE: Final = 60.0


class Connection(Protocol):
    """An open connection, with one user at a time.

    Attributes:
        used_at: When it was given back, in seconds of the monotonic clock.
    """

    used_at: float

    def is_stale(self) -> bool:
        """Return whether the server has closed it, or sent something unasked."""

    def ping(self, limit: float) -> None:
        """Have the server reply within `limit` seconds; otherwise raise an error of the driver."""

    def close(self) -> None:
        """Close it."""

    def abandon(self) -> None:
        """Close, in a forked child, its copy of the parent's socket, and send nothing on it."""


_Connection = TypeVar("_Connection", bound=Connection)


class Pool(Generic[_Connection]):
    """Connections to one server: idle ones are used again, the latest used first.

    Args:
        connect: Opens a connection within a number of seconds.
        errors: The errors of the driver.
    """

    def __init__(
        self, connect: Callable[[float], _Connection], errors: tuple[type[Exception], ...]
    ) -> None:
        self._connect = connect
        self._errors = errors
        self._idle: deque[_Connection] = deque()
        self._all: WeakSet[_Connection] = WeakSet()
        self._closed = False

    def take(self, limit: float, tested: bool) -> _Connection:
        """Return a connection for one request, opening one if none is idle.

        A connection that was idle for a second is tested first: the server may have closed it, and
        a request that never arrived would count as a lost reply. If `tested` is set, a recently
        used one is tested, too, and one that was idle or is new must reply to a ping.
        """
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._open(limit, tested)
            was_idle = time.monotonic() >= connection.used_at + _IDLE
            if not (tested or was_idle):
                return connection
            if not connection.is_stale() and not (
                tested and was_idle and not self._replies(connection, limit / 2)
            ):
                return connection
            connection.close()

    def give_back(self, connection: _Connection) -> None:
        """Take back a connection on which every reply was read.

        One that was not used for a minute is closed, so that a burst of calls leaves none behind.
        """
        connection.used_at = now = time.monotonic()
        self._idle.append(connection)
        try:
            while self._idle[0].used_at < now - _LONGEST_IDLE:
                self._idle.popleft().close()
        except IndexError:  # another thread has taken the last one
            pass
        if self._closed:
            self.purge()

    def purge(self) -> None:
        """Close the idle connections, after another one to the same server broke."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def close(self) -> None:
        """Close the idle connections now, and those in use when they are given back."""
        self._closed = True
        self.purge()

    def forget(self) -> None:
        """Leave the connections to the parent, in a forked child."""
        self._idle = deque()
        for connection in list(self._all):
            connection.abandon()
        self._all = WeakSet()

    def _open(self, limit: float, tested: bool) -> _Connection:
        connection = self._connect(limit)
        self._all.add(connection)
        try:
            if tested:
                connection.ping(limit)
        except BaseException:
            connection.close()
            raise
        return connection

    def _replies(self, connection: _Connection, limit: float) -> bool:
        try:
            connection.ping(limit)
        except self._errors:
            return False
        return True
