"""The channel type ``mongo`` keeps the kit's promises that it claims, on each kind of server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.testing import ChannelConformance, Subject

if TYPE_CHECKING:
    from conftest import Storage


class TestMongoAlone(ChannelConformance):
    """On a standalone server, which has no transactions."""

    @pytest.fixture
    def ojob_subject(self, storage_alone: Storage) -> Subject:
        """A channel of its own."""
        return Subject("mongo", storage_alone.config["args"], label="mongo, standalone")


class TestMongoReplicaSet(ChannelConformance):
    """On a replica set of one."""

    @pytest.fixture
    def ojob_subject(self, replicated_storage: Storage) -> Subject:
        """A channel of its own."""
        return Subject("mongo", replicated_storage.config["args"], label="mongo, a replica set")
