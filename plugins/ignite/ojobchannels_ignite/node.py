"""One connection to one node: the handshake, and requests that end by their time.

`pyignite` encodes the requests and decodes the replies. Its own connection is not used: it connects
again in the middle of a failed call, waits without a limit or for one that cannot change, does not
check the name in a server's certificate, and knows IPv4 only.
"""

import select
import socket
import ssl
import time
from typing import Any, Final

from pyignite import Client
from pyignite.connection.bitmask_feature import BitmaskFeature
from pyignite.connection.handshake import HandshakeRequest, HandshakeResponse
from pyignite.connection.protocol_context import ProtocolContext
from pyignite.exceptions import AuthenticationError, HandshakeError
from pyignite.stream import BinaryStream

from ojobchannels.remote.options import Address, Tls
from ojobchannels_ignite.errors import FilesRefused
from ojobchannels_ignite.options import Settings

_PROTOCOL: Final = (1, 7, 0)
_LOGIN_REFUSED: Final = 2000
_HEADER: Final = 4
_LONGEST: Final = 2**31 - 1
_LONGEST_HANDSHAKE: Final = 2**16


class NodeConnection:
    """A connection, which one thread uses at a time; pyignite's functions take it as theirs.

    Args:
        address: The node.
        settings: Login and TLS.
        ends: When connecting must have ended, by `time.monotonic`.

    Attributes:
        ends: When the next request must have ended.
        used_at: When it was given back to its pool.
        client: What pyignite keeps for a client: the version of the protocol.

    Raises:
        OSError: The node cannot be reached, or is not an Ignite node of this protocol.
        AuthenticationError: It refuses the login.
        FilesRefused: A file that TLS needs cannot be used.
    """

    def __init__(self, address: Address, settings: Settings, ends: float) -> None:
        self.address = address
        self.host, self.port = address
        self.uuid = None
        self.used_at = 0.0
        self.ends = ends
        self._is_ready = False
        self.client = Client(partition_aware=False)
        self.client.protocol_context = self.protocol_context = ProtocolContext(
            _PROTOCOL, BitmaskFeature.all_supported()
        )
        self._socket = socket.create_connection(address, max(ends - time.monotonic(), 0.001))
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if settings.tls is not None:
                context = _context(settings.tls)
                self._socket = context.wrap_socket(self._socket, server_hostname=address.host)
            self._shake_hands(settings)
        except BaseException:
            self.close()
            raise

    def request(self, data: bytes) -> bytes:
        """Send a request and return the reply, both with the four bytes of their length.

        Raises:
            TimeoutError: It took longer than until `ends`.
            OSError: The connection ended.
        """
        self._limit()
        self._socket.sendall(data)
        header = self._receive(_HEADER)
        size = int.from_bytes(header, "little")
        if size > (_LONGEST if self._is_ready else _LONGEST_HANDSHAKE):
            raise ConnectionError("the server does not speak the protocol of Ignite")
        return header + self._receive(size)

    def is_stale(self) -> bool:
        """Return whether the node has closed the connection while it was idle."""
        if not hasattr(select, "poll"):  # on Windows, where `select` knows any socket
            return bool(select.select([self._socket], [], [], 0)[0])
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def ping(self, limit: float) -> None:
        """Do nothing: each operation begins with a request that may be repeated."""

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    abandon = close  # it sends nothing, and closes the descriptor of this process only

    def _receive(self, size: int) -> bytes:
        received = bytearray(size)
        rest = memoryview(received)
        while rest:
            self._limit()
            count = self._socket.recv_into(rest)
            if not count:
                raise ConnectionResetError("the node closed the connection")
            rest = rest[count:]
        return bytes(received)

    def _limit(self) -> None:
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the node did not reply in time")
        self._socket.settimeout(left)

    def _shake_hands(self, settings: Settings) -> None:
        # pyignite counts the characters of a string where the bytes are meant, and accepts bytes
        login: Any = [part and part.encode() for part in (settings.username, settings.password)]
        with BinaryStream(self.client) as stream:
            HandshakeRequest(self.protocol_context, *login).from_python(stream)
            reply = self.request(stream.getvalue())
        with BinaryStream(self.client, reply) as stream:
            response = HandshakeResponse.parse(stream, self.protocol_context)
        if response.op_code == 0:
            if response.client_status == _LOGIN_REFUSED:
                raise AuthenticationError(response.message)
            version = response.version_major, response.version_minor, response.version_patch
            if version == _PROTOCOL:  # it cannot serve at the moment
                raise ConnectionError(response.message)
            raise HandshakeError(version, response.message)
        self.protocol_context.features = BitmaskFeature.from_array(response.features)
        self._is_ready = True


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        return tls.context()
    except OSError as error:
        raise FilesRefused(str(error)) from error
