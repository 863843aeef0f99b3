"""The embedded channel types keep all promises of their capabilities."""

from __future__ import annotations

from pathlib import Path

import pytest

from ojobchannels.testing import ChannelConformance, Subject

pytestmark = pytest.mark.kit


class TestSimple(ChannelConformance):
    """In memory."""

    @pytest.fixture
    def ojob_subject(self) -> Subject:
        """A store with a unique name."""
        return Subject("simple")


class TestFile(ChannelConformance):
    """In a JSON file."""

    @pytest.fixture
    def ojob_subject(self, tmp_path: Path) -> Subject:
        """A new file."""
        return Subject("file", {"file": str(tmp_path / "channel.json")})


class TestDb(ChannelConformance):
    """In a SQLite database."""

    @pytest.fixture
    def ojob_subject(self, tmp_path: Path) -> Subject:
        """A new database."""
        return Subject("db", {"file": str(tmp_path / "channel.db")})
