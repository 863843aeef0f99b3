"""The subscriber's connection: subscribes to the wanted channels, and reports what arrives."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from redis.exceptions import RedisError

from ojobchannels_redis.wire import Wire

_LONGEST_SLEEP: Final = 1.0
_Selector: type[selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)  # neither needs a file descriptor of its own


class Receiver(Protocol):
    """The object to which a listener reports."""

    def wanted(self) -> set[str]:
        """Return the Pub/Sub channels to subscribe to."""

    def subscribed(self, channel: str) -> None:
        """Note that messages of the channel arrive from now on."""

    def receive(self, channel: str, message: str) -> None:
        """Note a message."""


class Listener:
    """The subscriber's connection."""

    def __init__(self, receiver: Receiver, wakeup: SocketWakeup, timeout: float) -> None:
        self._receiver = receiver
        self._wakeup = wakeup
        self._timeout = timeout
        self._connection: Any = None
        self._wire: Wire | None = None
        self._selector = _Selector()
        self._channels: set[str] = set()
        self._unconfirmed: dict[str, int] = {}
        self._last_message = 0.0
        self._pinged = False

    def listen(self, connect: Callable[[float], Any]) -> None:
        """Subscribe to the wanted channels, then handle what arrives for a while.

        Returns early when it is woken: then other channels may be wanted.
        """
        if self._connection is None:
            self._connection = connect(self._timeout)
            self._selector.register(self._wakeup, selectors.EVENT_READ)
            self._selector.register(self._connection._sock, selectors.EVENT_READ)
            if type(self._connection._sock) is socket.socket:
                self._wire = Wire(self._connection)
                self._wire.set_limit(self._timeout)
            self._last_message = time.monotonic()
        wanted = self._receiver.wanted()
        self._send("SUBSCRIBE", wanted - self._channels)
        self._send("UNSUBSCRIBE", self._channels - wanted)
        self._channels = wanted
        self._ping()
        left = min(_LONGEST_SLEEP, self._timeout)
        ends = time.monotonic() + left
        woken = False
        while left > 0 and not woken:
            ready = [key.fileobj for key, _ in self._selector.select(left)]
            woken = self._wakeup in ready
            messages = self._read_all(len(ready) > woken)
            left = ends - time.monotonic()
            # Last of all: a waiter that is woken can run only once this thread sleeps again.
            for message in messages:
                self._handle(message)
        if woken:
            self._wakeup.clear()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = self._wire = None
            self._selector.close()
            self._selector = _Selector()
        self._channels = set()
        self._unconfirmed = {}
        self._pinged = False

    def _read_all(self, arrived: bool) -> list[Any]:
        messages = []
        if self._wire is None:  # TLS may have read more than it has returned
            while self._connection.can_read(0):
                messages.append(self._connection.read_response())
        elif arrived:  # a waiter waits for it: in redis-py a message passes twenty frames
            messages = self._wire.receive_arrived()
        if messages:
            self._last_message = time.monotonic()
            self._pinged = False
        return messages

    def _send(self, command: str, channels: set[str]) -> None:
        if not channels:
            return
        if command == "SUBSCRIBE":
            for channel in channels:
                self._unconfirmed[channel] = self._unconfirmed.get(channel, 0) + 1
        self._request(command, *channels)

    def _ping(self) -> None:
        silence = time.monotonic() - self._last_message
        if silence < self._timeout:
            return
        if self._pinged and silence >= 2 * self._timeout:
            raise RedisError("the server does not reply to PING")
        if not self._pinged:
            self._pinged = True
            self._request("PING")

    def _request(self, *command: str) -> None:
        if self._wire is None:
            self._connection.send_command(*command, check_health=False)
        else:
            self._wire.send(command)

    def _handle(self, message: Any) -> None:
        if not isinstance(message, list):
            return
        kind, channel = message[0], message[1].decode()
        if kind == b"message":
            self._receiver.receive(channel, message[2].decode())
        elif kind == b"subscribe":
            left = self._unconfirmed[channel] = self._unconfirmed.get(channel, 1) - 1
            if not left:
                del self._unconfirmed[channel]
                self._receiver.subscribed(channel)


class SocketWakeup:
    """By which other threads wake the subscriber's; a selector can wait for it."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)

    def wake(self) -> None:
        """Wake the sleeping thread, or the next one to sleep."""
        with suppress(OSError):  # it is woken already, or this is closed
            self._write.send(b"!")

    def wait(self, seconds: float) -> None:
        """Sleep until woken, for at most `seconds`."""
        with _Selector() as selector:
            selector.register(self, selectors.EVENT_READ)
            selector.select(seconds)
        self.clear()

    def clear(self) -> None:
        """Forget that it was woken."""
        with suppress(BlockingIOError):
            self._read.recv(4096)

    def fileno(self) -> int:
        """Return the descriptor that can be read while it is woken."""
        return self._read.fileno()

    def close(self) -> None:
        """Close the descriptors; `wake` then does nothing."""
        self._read.close()
        self._write.close()
