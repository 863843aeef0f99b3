"""Servers that the main process of pytest-xdist runs for all test processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ojobchannels.testing.servers import share_servers, sharing

pytest_plugins = ["pytester"]

VARIABLE = "OJOBCHANNELS_TESTS_SHARING"


@contextmanager
def server() -> Iterator[str]:
    """Yield a URL, which is enough where no client connects."""
    yield "redis://127.0.0.1:1/"


def begin_session(config: pytest.Config) -> None:
    """Let only the shared servers know of it: pytest-xdist would start its processes."""
    plugins = config.pluginmanager
    others = [each for each in plugins.get_plugins() if type(each).__module__ != sharing.__name__]
    plugins.subset_hook_caller("pytest_sessionstart", others)(session=None)


@pytest.mark.parametrize(
    ("arguments", "shared"),
    [
        (["-n", "2"], True),
        (["-n", "2", "-m", "not torture"], True),
        (["-n", "2", "-m", "torture and not thorough"], False),
        ([], False),
    ],
)
def test_a_server_is_shared_by_processes_that_use_it(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    shared: bool,
) -> None:
    """It ends with the run; one process alone, and tests with that marker, start their own."""
    monkeypatch.delenv(VARIABLE, raising=False)
    config = pytester.parseconfig(*arguments)
    share_servers(config, {VARIABLE: server}, unless="torture")
    begin_session(config)
    assert (VARIABLE in os.environ) == shared
    config._ensure_unconfigure()
    assert VARIABLE not in os.environ
