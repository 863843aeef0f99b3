"""The subscriber's connection: subscribes to what is wanted, and tells what arrives."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from redis.exceptions import RedisError

_LONGEST_SLEEP: Final = 1.0
_Selector: type[selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)  # neither takes a descriptor of its own


class Audience(Protocol):
    """Whom a listener listens for."""

    def wanted(self) -> set[str]:
        """Returns what to listen to."""

    def told(self, channel: str) -> None:
        """Takes note that messages of a channel arrive from now on."""

    def ring(self, channel: str, message: str) -> None:
        """Takes note of a message."""


class Listener:
    """The subscriber's connection."""

    def __init__(self, audience: Audience, bell: Bell, timeout: float) -> None:
        self._audience = audience
        self._bell = bell
        self._timeout = timeout
        self._connection: Any = None
        self._selector = _Selector()
        self._channels: set[str] = set()
        self._unconfirmed: dict[str, int] = {}
        self._heard = 0.0
        self._pinged = False

    def listen(self, connect: Callable[[float], Any]) -> None:
        """Subscribes to what is wanted, then handles what arrives for a while.

        It returns when the bell rings: then something else may be wanted.
        """
        if self._connection is None:
            self._connection = connect(self._timeout)
            self._selector.register(self._bell, selectors.EVENT_READ)
            self._selector.register(self._connection._sock, selectors.EVENT_READ)
            self._heard = time.monotonic()
        wanted = self._audience.wanted()
        self._send("SUBSCRIBE", wanted - self._channels)
        self._send("UNSUBSCRIBE", self._channels - wanted)
        self._channels = wanted
        self._ping()
        left = min(_LONGEST_SLEEP, self._timeout)
        ends = time.monotonic() + left
        rung = False
        while left > 0 and not rung:
            rung = any(key.fileobj is self._bell for key, _ in self._selector.select(left))
            messages = self._read_all()
            left = ends - time.monotonic()
            # Last of all, as who is called can go on only when this thread sleeps again.
            for message in messages:
                self._handle(message)
        if rung:
            self._bell.hush()

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None
            self._selector.close()
            self._selector = _Selector()
        self._channels = set()
        self._unconfirmed = {}
        self._pinged = False

    def _read_all(self) -> list[Any]:
        messages = []
        while self._connection.can_read(0):
            messages.append(self._connection.read_response())
        if messages:
            self._heard = time.monotonic()
            self._pinged = False
        return messages

    def _send(self, command: str, channels: set[str]) -> None:
        if not channels:
            return
        if command == "SUBSCRIBE":
            for channel in channels:
                self._unconfirmed[channel] = self._unconfirmed.get(channel, 0) + 1
        self._connection.send_command(command, *channels, check_health=False)

    def _ping(self) -> None:
        silence = time.monotonic() - self._heard
        if silence < self._timeout:
            return
        if self._pinged and silence >= 2 * self._timeout:
            raise RedisError("the server is silent")
        if not self._pinged:
            self._pinged = True
            self._connection.send_command("PING", check_health=False)

    def _handle(self, message: Any) -> None:
        if not isinstance(message, list):
            return
        kind, channel = message[0], message[1].decode()
        if kind == b"message":
            self._audience.ring(channel, message[2].decode())
        elif kind == b"subscribe":
            left = self._unconfirmed[channel] = self._unconfirmed.get(channel, 1) - 1
            if not left:
                del self._unconfirmed[channel]
                self._audience.told(channel)


class Bell:
    """By which other threads wake the subscriber's."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)

    def ring(self) -> None:
        """Wakes who waits, or who will next."""
        with suppress(OSError):  # it rings already, or is no more
            self._write.send(b"!")

    def wait(self, seconds: float) -> None:
        """Waits to be rung."""
        with _Selector() as selector:
            selector.register(self, selectors.EVENT_READ)
            selector.select(seconds)
        self.hush()

    def hush(self) -> None:
        """Ends the ringing."""
        with suppress(BlockingIOError):
            self._read.recv(4096)

    def fileno(self) -> int:
        """Returns what can be read while it rings."""
        return self._read.fileno()

    def close(self) -> None:
        """Gives back its descriptors; ringing it then does nothing."""
        self._read.close()
        self._write.close()
