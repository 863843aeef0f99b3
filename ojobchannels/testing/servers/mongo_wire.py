"""As much of MongoDB's protocol (OP_MSG, BSON) as it takes to set up a server without a driver."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Part = str | int | Sequence["Part"] | Mapping[str, "Part"]
_HEADER = struct.Struct("<iiii")
_OP_MSG = 2013


class Answer(NamedTuple):
    """A reply, of which only single fields are asked for."""

    raw: bytes = b""

    def is_true(self, field: str) -> bool:
        """Tells whether a field of that name is true."""
        return b"\x08%b\x00\x01" % field.encode() in self.raw

    @property
    def is_ok(self) -> bool:
        """Tells whether the command succeeded."""
        return b"\x01ok\x00" + struct.pack("<d", 1) in self.raw


def ask(
    address: tuple[str, int],
    command: Mapping[str, Part],
    tls: ssl.SSLContext | None = None,
    timeout: float = 5.0,
) -> Answer:
    """Runs one command on the database ``admin``, over a connection of its own.

    Raises:
        OSError: There is no server, or it does not answer in time.
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
            return Answer(stream.read(_HEADER.unpack(header)[0] - _HEADER.size))


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
    return b"\x04" + field + _packed({str(index): each for index, each in enumerate(part)})
