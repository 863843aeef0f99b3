"""The promises to callers of an event loop, on connections of psycopg's asyncio client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.testing import (
    CompareAndSetContract,
    DocumentContract,
    FenceContract,
    LockContract,
    OrderContract,
    RetryContract,
    Subject,
    TokenContract,
    WakeupContract,
)
from ojobchannels.testing.contracts.remote.in_loop import LoopSubject
from ojobchannels.testing.contracts.remote.outages import OutageContract
from ojobchannels.testing.contracts.remote.requests import LostRequestContract
from ojobchannels_postgres.testing import SharedPostgres

if TYPE_CHECKING:
    from conftest import Storage


class TestLocksInLoop(LockContract, TokenContract):
    """What the kit demands of locks holds for the operations in a loop, too."""

    @pytest.fixture
    def ojob_subject(self, storage: Storage) -> Subject:
        return LoopSubject("postgres", storage.options)


@pytest.mark.thorough
class TestInLoop(
    DocumentContract,
    OrderContract,
    CompareAndSetContract,
    FenceContract,
    RetryContract,
    WakeupContract,
):
    """So does what it demands of documents, of requests that are repeated, and of waiters."""

    @pytest.fixture
    def ojob_subject(self, storage: Storage) -> Subject:
        return LoopSubject("postgres", storage.options)


class _BehindProxy:
    """The operations of a handle in a loop, whose server is behind a proxy."""

    @pytest.fixture
    def ojob_server(self, url: str) -> SharedPostgres:
        return SharedPostgres(url)

    @pytest.fixture
    def ojob_subject(self, ojob_server: SharedPostgres, server_part: str) -> Subject:
        return LoopSubject("postgres", {"url": ojob_server.url_of(server_part)})


class TestFaultsInLoop(_BehindProxy, LostRequestContract):
    """Operations in a loop survive a broken connection."""

    remembers_unlock = True


@pytest.mark.thorough
class TestOutagesInLoop(_BehindProxy, OutageContract):
    """They survive a server that does not reply, too."""
