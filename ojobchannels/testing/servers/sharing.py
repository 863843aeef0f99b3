"""Servers that all test processes of pytest-xdist share; the main process runs them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import TYPE_CHECKING

import pluggy

from ojobchannels.testing.servers.programs import ServerMissing

if TYPE_CHECKING:
    import pytest

_hookimpl = pluggy.HookimplMarker("pytest")  # of pytest, without which servers can be used

_Servers = Mapping[str, Callable[[], AbstractContextManager[str]]]


def share_servers(config: pytest.Config, servers: _Servers, *, unless: str = "") -> None:
    """Start servers once for all processes of pytest-xdist, which get the URLs as variables.

    Call it in ``pytest_configure`` of a conftest.py, for servers that are slow to start. All start
    at the same time, and before the test processes. Without pytest-xdist, and if a server is not
    installed, nothing is started and the variable is not set.

    Args:
        config: That of pytest.
        servers: By environment variable, what starts the server and yields its URL. A variable that
            is set is left alone.
        unless: A marker whose tests do not use the servers: nothing is started if the option ``-m``
            begins with it.

    Example:
        >>> def pytest_configure(config):
        ...     share_servers(config, {"OJOBCHANNELS_TEST_MONGO": mongo_url})
    """
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        return
    if unless and str(config.getoption("markexpr")).split()[:1] == [unless]:
        return
    missing = {name: start for name, start in servers.items() if name not in os.environ}
    if missing:
        shared = _SharedServers(missing)
        config.add_cleanup(shared.stop)
        config.pluginmanager.register(shared)


class _SharedServers:
    """Servers that start, and stop, at the same time."""

    def __init__(self, servers: _Servers) -> None:
        self._pool = ThreadPoolExecutor(len(servers))
        self._running = {name: ExitStack() for name in servers}
        self._urls = {
            name: self._pool.submit(self._running[name].enter_context, start())
            for name, start in servers.items()
        }

    @_hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Set the variables before the test processes start, which inherit them."""
        for name, url in self._urls.items():
            with suppress(ServerMissing):
                os.environ[name] = url.result()
                self._running[name].callback(os.environ.pop, name)

    def stop(self) -> None:
        wait(self._urls.values())
        with self._pool:
            list(self._pool.map(ExitStack.close, self._running.values()))
