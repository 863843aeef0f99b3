"""A connection to a node: the handshake, and requests that end by their time.

`pyignite` encodes the handshake. Its own connection is not used: it connects again in the middle of
a failed call, waits without a limit or for one that cannot change, does not check the name in a
server's certificate, and knows IPv4 only.
"""

import select
import socket
import ssl
import time
from abc import ABC, abstractmethod
from functools import partial
from typing import Any, Final

from pyignite import Client
from pyignite.connection.bitmask_feature import BitmaskFeature
from pyignite.connection.handshake import HandshakeRequest, HandshakeResponse
from pyignite.connection.protocol_context import ProtocolContext
from pyignite.exceptions import AuthenticationError, HandshakeError
from pyignite.stream import BinaryStream

from ojobchannels.remote.options import Address
from ojobchannels.steps import Steps, drive
from ojobchannels_ignite.errors import FilesRefused
from ojobchannels_ignite.options import Settings

_PROTOCOL: Final = (1, 7, 0)
_LOGIN_REFUSED: Final = 2000
_HEADER: Final = 4
CLOSED: Final = "the node closed the connection"
NO_REPLY: Final = "the node did not reply in time"
_LONGEST: Final = 2**31 - 1
_LONGEST_HANDSHAKE: Final = 2**16
_PART: Final = 2**13
_LARGEST_PART: Final = 2**20


class NodeConnection(ABC):
    """A connection, with one user at a time.

    Args:
        address: The node.
        ends: When the handshake must have ended, by `time.monotonic`.

    Attributes:
        ends: When the next request must have ended.
        used_at: When it was given back to its pool.
        client: What pyignite keeps for a client: the version of the protocol.
    """

    def __init__(self, address: Address, ends: float) -> None:
        self.address = address
        self.host, self.port = address
        self.uuid = None
        self.used_at = 0.0
        self.ends = ends
        self.client = Client(partition_aware=False)
        self.client.protocol_context = ProtocolContext(_PROTOCOL, BitmaskFeature.all_supported())
        self._longest = _LONGEST_HANDSHAKE

    @property
    def protocol_context(self) -> Any:
        """The version of the protocol, and what the node supports of it."""
        return self.client.protocol_context

    @abstractmethod
    def exchange(self, data: bytes) -> Any:
        """Send a request and return the reply, both with the four bytes of their length.

        In an event loop it returns a coroutine.

        Raises:
            TimeoutError: It took longer than until `ends`.
            OSError: The connection ended.
        """

    def ping(self, limit: float) -> None:  # noqa: B027  the same for all
        """Do nothing: each operation begins with a request that may be repeated."""

    @abstractmethod
    def is_stale(self) -> bool:
        """Return whether the node has closed the connection while it was idle."""

    @abstractmethod
    def close(self) -> Any:
        """Close the connection."""

    @abstractmethod
    def abandon(self) -> None:
        """Close, in a forked child, its copy of the parent's socket, and send nothing on it."""

    def shaking_hands(self, settings: Settings) -> Steps[None]:
        """Log in, and agree on the protocol.

        Raises:
            OSError: It is not an Ignite node of this protocol.
            AuthenticationError: It refuses the login.
        """
        # pyignite counts the characters of a string where the bytes are meant, and accepts bytes
        login: Any = [part and part.encode() for part in (settings.username, settings.password)]
        with BinaryStream(self.client) as stream:
            HandshakeRequest(self.protocol_context, *login).from_python(stream)
            request = stream.getvalue()
        reply = yield partial(self.exchange, request)
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
        self._longest = _LONGEST

    def _left(self) -> float:
        """Return the seconds until the request must have ended."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError(NO_REPLY)
        return left

    def _missing(self, received: bytearray) -> int:
        """Return how many bytes of a reply are missing, at least.

        Raises:
            ConnectionError: It is too long for a reply, or more than one.
        """
        size = int.from_bytes(received[:_HEADER], "little")  # it can only grow with a whole header
        if size > self._longest:
            raise ConnectionError("the server does not speak the protocol of Ignite")
        missing = _HEADER + size - len(received)
        if missing < 0:
            raise ConnectionError("the node sent more than a reply")
        return missing


class SocketConnection(NodeConnection):
    """A connection, which one thread uses at a time; pyignite's functions take it as one of theirs.

    Args:
        address: The node.
        settings: Login and TLS.
        limit: Seconds to connect.

    Raises:
        OSError: The node cannot be reached, or is not an Ignite node of this protocol.
        AuthenticationError: It refuses the login.
        FilesRefused: A file that TLS needs cannot be used.
    """

    def __init__(self, address: Address, settings: Settings, limit: float) -> None:
        super().__init__(address, time.monotonic() + limit)
        self._socket = socket.create_connection(address, limit)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if (context := tls_context(settings)) is not None:
                self._socket = context.wrap_socket(self._socket, server_hostname=address.host)
            drive(self.shaking_hands(settings))
        except BaseException:
            self.close()
            raise

    def exchange(self, data: bytes) -> bytes:
        self._socket.settimeout(self._left())
        self._socket.sendall(data)
        received = bytearray()
        while missing := self._missing(received):
            self._socket.settimeout(self._left())
            part = self._socket.recv(min(max(missing, _PART), _LARGEST_PART))
            if not part:
                raise ConnectionResetError(CLOSED)
            received += part
        return bytes(received)

    request = exchange  # so pyignite calls it

    def is_stale(self) -> bool:
        if not hasattr(select, "poll"):  # on Windows, where `select` knows any socket
            return bool(select.select([self._socket], [], [], 0)[0])
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        self._socket.close()

    abandon = close  # it sends nothing, and closes the descriptor of this process only


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what TLS needs, or None without TLS.

    Raises:
        FilesRefused: A file cannot be used.
    """
    try:
        return settings.tls and settings.tls.context()
    except OSError as error:
        raise FilesRefused(str(error)) from error
