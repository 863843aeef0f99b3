"""The part of the Redis protocol (RESP2) that controls a server without a driver."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack
from io import BufferedReader

Reply = str | int | None | list["Reply"]


class ErrorReply(RuntimeError):
    """The server replied with an error."""


def run_commands(
    address: tuple[str, int],
    *commands: tuple[str, ...],
    timeout: float = 5.0,
    tls: ssl.SSLContext | None = None,
) -> list[Reply]:
    """Send the commands over a new connection, with TLS if `tls` is given; return the replies.

    Raises:
        ErrorReply: The server refused a command.
        OSError: The server is not reachable, or does not reply within `timeout` seconds.
    """
    with ExitStack() as opened:
        connection = opened.enter_context(socket.create_connection(address, timeout))
        if tls:
            wrapped = tls.wrap_socket(connection, server_hostname=address[0])
            connection = opened.enter_context(wrapped)
        connection.sendall(b"".join(map(_packed, commands)))
        with connection.makefile("rb") as stream:
            return [_read(stream) for _ in commands]


def _packed(command: tuple[str, ...]) -> bytes:
    parts = [part.encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)


def _read(stream: BufferedReader) -> Reply:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionResetError("the server closed the connection")
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise ErrorReply(rest)
    if kind == b"+":
        return rest
    length = int(rest)
    if kind == b":":
        return length
    if length < 0:
        return None
    if kind == b"*":
        return [_read(stream) for _ in range(length)]
    return stream.read(length + 2)[:-2].decode(errors="replace")
