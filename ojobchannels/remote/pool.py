"""Connections to one server that the threads of a process take turns to use."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar
from weakref import WeakSet

from ojobchannels.steps import Steps, drive

_IDLE: Final = 1.0
_LONGEST_IDLE: Final = 60.0


class Connection(Protocol):
    """An open connection, with one user at a time.

    In an event loop `is_stale` and `ping` return coroutines.

    Attributes:
        used_at: When it was given back, in seconds of the monotonic clock.
    """

    used_at: float

    def is_stale(self) -> Any:
        """Return whether the server has closed it, or sent something unasked."""

    def ping(self, limit: float) -> Any:
        """Have the server reply within `limit` seconds; otherwise raise an error of the driver."""

    def close(self) -> None:
        """Close it."""

    def abandon(self) -> None:
        """Close, in a forked child, its copy of the parent's socket, and send nothing on it."""


_Connection = TypeVar("_Connection", bound=Connection)


class Pool(Generic[_Connection]):
    """Connections to one server: idle ones are used again, the latest used first.

    Args:
        connect: Opens a connection within a number of seconds; in an event loop, a coroutine
            function.
        errors: The errors of the driver.
        usable_since: Returns since when connections were used that still work: earlier, another one
            to the same server broke.
    """

    def __init__(
        self,
        connect: Callable[[float], Any],
        errors: tuple[type[Exception], ...],
        usable_since: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._usable_since = usable_since
        self._connect = connect
        self._errors = errors
        self._idle: deque[_Connection] = deque()
        self._all: WeakSet[_Connection] = WeakSet()
        self._closed = False

    def take(self, limit: float, tested: bool) -> _Connection:
        """Return a connection for one request, opening one if none is idle; see `taking`."""
        return drive(self.taking(limit, tested))

    def take_recent(self) -> _Connection | None:
        """Return the connection that was used last if it need not be tested, as is usual."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return None
        used_at = connection.used_at
        if time.monotonic() < used_at + _IDLE and used_at >= self._usable_since():
            return connection
        self._idle.append(connection)
        return None

    def taking(self, limit: float, tested: bool) -> Steps[_Connection]:
        """Yield the steps of taking a connection for one request; open one if none is idle.

        A connection that was idle for a second is tested first: the server may have closed it, and
        a request that never arrived would count as a lost reply. If `tested` is set, a recently
        used one is tested, too, and one that was idle or is new must reply to a ping.
        """
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            was_idle = time.monotonic() >= connection.used_at + _IDLE
            if connection.used_at < self._usable_since():
                connection.close()
                continue
            if not (tested or was_idle):
                return connection
            if (yield from self._is_good(connection, limit / 2 if tested and was_idle else None)):
                return connection
            connection.close()
        # Not within the handler: an error of a step would lose its cause to the IndexError.
        return (yield from self._opening(limit, tested))

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

    def _opening(self, limit: float, tested: bool) -> Steps[_Connection]:
        connection: _Connection = yield partial(self._connect, limit)
        self._all.add(connection)
        try:
            if tested:
                yield partial(connection.ping, limit)
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_good(self, connection: _Connection, limit: float | None) -> Steps[bool]:
        """Return whether a connection is open, and if there is a limit, replies within it."""
        try:
            if (yield connection.is_stale):
                return False
            if limit is not None:
                yield partial(connection.ping, limit)
        except self._errors:
            return False
        except BaseException:
            connection.close()
            raise
        return True
