"""TCP ports of the loopback address that stay ours while nobody listens on them."""

from __future__ import annotations

import socket
import sys
from typing import Final

HOST: Final = "127.0.0.1"


class ReservedPort:
    """A port that nobody else is given until `release`.

    A socket stays bound to it and never listens. Linux lets others listen there who set
    SO_REUSEADDR, as servers do, while neither the kernel nor an ordinary bind picks it: it is free
    for a server that starts again, and a connection to it is refused in between. Elsewhere it is
    only a port that was free a moment ago.

    Raises:
        OSError: That port is taken.
        OverflowError: There is no port of that number.
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
        """Leaves the port to others."""
        self._socket.close()
