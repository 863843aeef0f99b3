"""Reserved TCP ports of the loopback address."""

from __future__ import annotations

import socket
import sys
from typing import Final

HOST: Final = "127.0.0.1"


class ReservedPort:
    """A port that no other program gets until `release`.

    A socket stays bound to it and never listens. On Linux a server that sets SO_REUSEADDR can still
    listen on the port, while neither the kernel nor an ordinary bind chooses it. So a server can be
    restarted on it, and connections are refused in between. On other systems it is only a port that
    was free a moment ago.

    Raises:
        OSError: The port is in use.
        OverflowError: The number is not a valid port.
    """

    def __init__(self, number: int = 0) -> None:
        self._socket = socket.socket()
        try:
            self._socket.bind((HOST, number))
        except BaseException:
            self._socket.close()
            raise
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        """Make the port available to other programs."""
        self._socket.close()
