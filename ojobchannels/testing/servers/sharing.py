"""Servers that all test processes of pytest-xdist share; the main process runs them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import TYPE_CHECKING

from ojobchannels.testing.servers.programs import ServerMissing

if TYPE_CHECKING:
    import pytest


def share_servers(
    config: pytest.Config,
    servers: Mapping[str, Callable[[], AbstractContextManager[str]]],
    *,
    unless: str = "",
) -> None:
    """Start servers once for all processes of pytest-xdist, which get the URLs as variables.

    Call it in ``pytest_configure`` of a conftest.py, for servers that are slow to start. Without
    pytest-xdist, and if a server is not installed, nothing is started and the variable is not set.

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
    running = ExitStack()
    config.add_cleanup(running.close)
    for variable, start in servers.items():
        if variable not in os.environ:
            with suppress(ServerMissing):
                os.environ[variable] = running.enter_context(start())
                running.callback(os.environ.pop, variable)
