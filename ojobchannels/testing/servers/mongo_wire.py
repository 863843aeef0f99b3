"""The part of the MongoDB protocol (OP_MSG, BSON) that sets up a server without a driver."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Part = str | int | Sequence["Part"] | Mapping[str, "Part"]
_HEADER = struct.Struct("<iiii")
_OP_MSG = 2013


class Reply(NamedTuple):
    """A reply as raw bytes; only single fields are read."""

    raw: bytes = b""

    def is_true(self, field: str) -> bool:
        """Return whether a field of that name is true."""
        return b"\x08%b\x00\x01" % field.encode() in self.raw

    @property
    def is_ok(self) -> bool:
        """Whether the command succeeded."""
        return b"\x01ok\x00" + struct.pack("<d", 1) in self.raw


def run_command(
    address: tuple[str, int],
    command: Mapping[str, Part],
    tls: ssl.SSLContext | None = None,
    timeout: float = 5.0,
) -> Reply:
    """Run one command on the database ``admin``, over a new connection.

    Raises:
        OSError: The server is not reachable, or does not reply within `timeout` seconds.
    """
    message = _packed({**command, "$db": "admin"})
    body = struct.pack("<iB", 0, 0) + message
    with socket.create_connection(address, timeout) as plain:
        connection = tls.wrap_socket(plain, server_hostname=address[0]) if tls else plain
        with connection, connection.makefile("rb") as stream:
            connection.sendall(_HEADER.pack(_HEADER.size + len(body), 1, 0, _OP_MSG) + body)
            header = stream.read(_HEADER.size)
            if len(header) < _HEADER.size:
                raise ConnectionResetError("the server closed the connection")
            return Reply(stream.read(_HEADER.unpack(header)[0] - _HEADER.size))


def _packed(document: Mapping[str, Part]) -> bytes:
    body = b"".join(_element(name, part) for name, part in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\x00"


def _element(name: str, part: Part) -> bytes:
    field = name.encode() + b"\x00"
    if isinstance(part, str):
        text = part.encode() + b"\x00"
        return b"\x02" + field + struct.pack("<i", len(text)) + text
    if isinstance(part, int):
        return b"\x12" + field + struct.pack("<q", part)
    if isinstance(part, Mapping):
        return b"\x03" + field + _packed(part)
    return b"\x04" + field + _packed({str(index): item for index, item in enumerate(part)})
