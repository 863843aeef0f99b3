"""The channel type ``mongo`` in an event loop, with the driver's asyncio client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.testing import (
    BatchContract,
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
from ojobchannels_mongo.testing import SharedMongo

if TYPE_CHECKING:
    from conftest import Storage


class TestInLoop(
    DocumentContract,
    OrderContract,
    BatchContract,
    CompareAndSetContract,
    FenceContract,
    LockContract,
    TokenContract,
    RetryContract,
    WakeupContract,
):
    """What the kit demands of documents and locks holds for the operations in a loop, too."""

    @pytest.fixture
    def ojob_subject(self, replicated_storage: Storage) -> Subject:
        return LoopSubject("mongo", replicated_storage.config["args"])


class TestFaultsInLoop(LostRequestContract, OutageContract):
    """Operations in a loop survive a broken connection and a server that does not reply."""

    @pytest.fixture
    def ojob_server(self, url_replicated: str) -> SharedMongo:
        return SharedMongo(url_replicated)

    @pytest.fixture
    def ojob_subject(self, ojob_server: SharedMongo, server_part: str) -> Subject:
        return LoopSubject("mongo", {"url": ojob_server.url_of(server_part)})
