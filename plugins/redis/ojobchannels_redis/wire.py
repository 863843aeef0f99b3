"""The bytes between us and a server: hiredis packs the requests and parses the replies.

redis-py opens the connection, with TLS and login. From then on a request is one send and one
receive here. In redis-py it passes fifteen frames, and since its sockets have a timeout of Python,
the system is asked before each send and receive whether it would block.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

import hiredis
from redis import exceptions as driver

_SHORTEST: Final = 0.001
_SIZE: Final = 65_536
_PEEK: Final = socket.MSG_PEEK | socket.MSG_DONTWAIT if hasattr(socket, "MSG_DONTWAIT") else 0


class Wire:
    """The socket of an open connection of redis-py, on which every reply was read.

    An error closes the connection, since a reply may still arrive on it, unless the error is the
    reply itself.
    """

    __slots__ = ("_blocks", "_connection", "_reader", "_socket")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        # redis-py 5 and 6 have no other way to these two
        self._socket: socket.socket = connection._sock
        self._blocks = False
        parse_error = connection._parser.parse_error
        self._reader = hiredis.Reader(protocolError=driver.InvalidResponse, replyError=parse_error)

    def set_limit(self, seconds: float) -> None:
        """Have each later send and receive take at most some seconds."""
        if type(self._socket) is not socket.socket:  # TLS needs a timeout of Python
            self._socket.settimeout(seconds)
            return
        micros = round(max(seconds, _SHORTEST) * 1_000_000)
        limit = struct.pack("ll", *divmod(micros, 1_000_000))
        try:
            if not self._blocks:
                self._socket.settimeout(None)
                self._blocks = True
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        except OSError as error:
            self._connection.disconnect()
            raise driver.ConnectionError(f"the connection is broken: {error}") from error

    def is_silent(self) -> bool | None:
        """Return whether the server has neither closed the connection nor sent anything unasked.

        It is one system call, which changes no timeout; None if this socket has no such call.
        """
        if not (self._blocks and _PEEK):
            return None
        try:
            self._socket.recv(1, _PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def send(self, *commands: tuple[Any, ...]) -> None:
        """Send commands."""
        try:
            if len(commands) == 1:
                self._socket.sendall(hiredis.pack_command(commands[0]))
            else:
                self._socket.sendall(b"".join(map(hiredis.pack_command, commands)))
        except (BlockingIOError, TimeoutError) as error:
            self._connection.disconnect()
            raise driver.TimeoutError("timeout while sending") from error
        except OSError as error:
            self._connection.disconnect()
            raise driver.ConnectionError(f"the connection broke while sending: {error}") from error
        except BaseException:
            self._connection.disconnect()
            raise

    def receive(self) -> Any:
        """Return the next reply; raise the error that it is."""
        try:
            reply = self._reader.gets()
            while reply is False:
                self._feed()
                reply = self._reader.gets()
        except (BlockingIOError, TimeoutError) as error:
            self._connection.disconnect()
            raise driver.TimeoutError("timeout while waiting for the reply") from error
        except OSError as error:
            self._connection.disconnect()
            raise driver.ConnectionError(f"the connection broke: {error}") from error
        except BaseException:
            self._connection.disconnect()
            raise
        if isinstance(reply, driver.RedisError):
            raise reply
        return reply

    def receive_arrived(self) -> list[Any]:
        """Return the replies that have arrived on a socket that can be read; not with TLS.

        Raises:
            OSError: The connection broke.
            RedisError: Likewise, or a reply is this error.
        """
        self._feed()
        replies = []
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, driver.RedisError):
                raise reply
            replies.append(reply)
        return replies

    def _feed(self) -> None:
        received = self._socket.recv(_SIZE)
        if not received:
            raise driver.ConnectionError("Connection closed by server.")
        self._reader.feed(received)
