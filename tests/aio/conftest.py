"""The channel type ``native``, for the tests that name it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ojobchannels.backends.simple.backend import open_backend
from ojobchannels.plugins import Provided, registry
from tests.aio.native import Backend


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """The channel type ``native``."""
    simple = registry().find("simple")

    def open(name: str, options: Mapping[str, Any]) -> Backend:
        backend = open_backend(name, **options)
        backend.__class__ = Backend
        assert isinstance(backend, Backend)
        return backend

    type = replace(simple, name="native", open=open, async_threads=1)
    monkeypatch.setitem(registry()._providers, "native", [Provided(type, "tests")])
