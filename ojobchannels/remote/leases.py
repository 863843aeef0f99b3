"""The leases that a handle on a server was granted, so that `close` leaves none behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ojobchannels.errors import ChannelClosed
from ojobchannels.host.forks import forget_in_children
from ojobchannels.remote.waiters import Waiter


class HeldLeases:
    """The leases and waiters of one handle, each lease as a lock and a token.

    Args:
        channel: The channel, for errors.

    Attributes:
        closed: Whether the handle is closed.
    """

    def __init__(self, channel: str) -> None:
        self.closed = False
        self._channel = channel
        self.forget()
        forget_in_children(self)

    def requesting(self) -> _Requesting:
        """Enter while a lock is requested; `close` waits for it, and so releases that lease, too.

        Raises:
            ChannelClosed: The handle is closed, or was closed meanwhile.
        """
        return _Requesting(self)

    @contextmanager
    def waiting(self, waiter: Waiter) -> Iterator[None]:
        """Enter while a waiter of this handle waits, so that `close` wakes it.

        Raises:
            ChannelClosed: The handle is closed.
        """
        self._waiters.add(waiter)
        try:
            self.check_open()
            yield
        finally:
            self._waiters.discard(waiter)
        self.check_open()

    def check_open(self) -> None:
        """Raise ChannelClosed if the handle is closed."""
        if self.closed:
            raise ChannelClosed(self._channel)

    def add(self, lock: str, token: str) -> None:
        """Remember a lease that was granted or adopted."""
        self._granted.add((lock, token))

    def discard(self, lock: str, token: str) -> None:
        """Forget a lease that was released or detached."""
        self._granted.discard((lock, token))

    def close(self, seconds: float) -> list[tuple[str, str]]:
        """Wake the waiters; return the leases to release, which include those requested now.

        Args:
            seconds: How long to wait for the requests.
        """
        with self._changed:
            self.closed = True
            for waiter in list(self._waiters):
                waiter.wake()
            self._changed.wait_for(lambda: not self._pending, seconds)
            return list(self._granted)

    def forget(self) -> None:
        """Leave leases and waiters to the parent, in a forked child."""
        self._waiters: set[Waiter] = set()
        self._granted: set[tuple[str, str]] = set()
        self._pending = 0
        self._changed = threading.Condition()


class _Requesting:
    """The context of a request, without the cost of a generator."""

    __slots__ = ("_leases",)

    def __init__(self, leases: HeldLeases) -> None:
        self._leases = leases

    def __enter__(self) -> None:
        leases = self._leases
        with leases._changed:
            leases.check_open()
            leases._pending += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        leases = self._leases
        with leases._changed:
            leases._pending -= 1
            leases._changed.notify_all()
        if kind is None:
            leases.check_open()
