"""Servers: one client for all handles of this process with equal settings."""

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ojobchannels.host.forks import forget_in_children


class Server(Protocol):
    """A client of one server, shared by all handles with equal settings."""

    def close(self) -> None:
        """Close the connections and end the threads."""

    def forget(self) -> None:
        """Leave connections and threads to the parent, in a forked child."""


_Settings = TypeVar("_Settings")
_Server = TypeVar("_Server", bound=Server)


class _Shared(Generic[_Server]):
    def __init__(self, server: _Server) -> None:
        self.server = server
        self.users = 0
        self.checked = False


class Servers(Generic[_Settings, _Server]):
    """The servers that this process uses; equal settings share one.

    The last handle that releases a server closes it. A forked child keeps the servers of its
    parent, and each makes connections of its own when it is first used there.

    Args:
        connect: Makes the server for settings, which must be hashable; connects lazily.
    """

    def __init__(self, connect: Callable[[_Settings], _Server]) -> None:
        self._connect = connect
        self._mutex = threading.Lock()
        self._shared: dict[_Settings, _Shared[_Server]] = {}
        forget_in_children(self)

    def open(self, settings: _Settings, check: Callable[[_Server], None]) -> _Server:
        """Return the server for one more handle, until `release` is called as often.

        Args:
            settings: What to connect to, and how.
            check: Tests that the server can serve; once it has succeeded, it is not called again.

        Raises:
            ChannelError: Whatever `check` raises; the server is released again.
        """
        with self._mutex:
            shared = self._shared.get(settings)
            if shared is None:
                shared = self._shared[settings] = _Shared(self._connect(settings))
            shared.users += 1
        try:
            if not shared.checked:
                check(shared.server)
                shared.checked = True
        except BaseException:
            self.release(shared.server)
            raise
        return shared.server

    def release(self, server: _Server) -> None:
        """Count one handle less; close the server after the last."""
        with self._mutex:
            settings = next((key for key, at in self._shared.items() if at.server is server), None)
            if settings is None:  # `close` has closed it
                return
            shared = self._shared[settings]
            shared.users -= 1
            if shared.users:
                return
            del self._shared[settings]
        server.close()

    def close(self) -> None:
        """Close all servers, at the end of the process."""
        with self._mutex:
            servers = [shared.server for shared in self._shared.values()]
            self._shared.clear()
        for server in servers:
            server.close()

    def forget(self) -> None:
        """Leave connections and threads to the parent, in a forked child."""
        self._mutex = threading.Lock()
        for shared in self._shared.values():
            shared.server.forget()
