"""The embedded channel types keep every promise of the kit that they claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from ojobchannels.testing import ChannelConformance, Subject

pytestmark = pytest.mark.kit


class TestSimple(ChannelConformance):
    """In memory."""

    @pytest.fixture
    def ojob_subject(self) -> Subject:
        """A store of its own, by its name."""
        return Subject("simple")


class TestFile(ChannelConformance):
    """In a JSON file."""

    @pytest.fixture
    def ojob_subject(self, tmp_path: Path) -> Subject:
        """A file of its own."""
        return Subject("file", {"file": str(tmp_path / "channel.json")})


class TestDb(ChannelConformance):
    """In a SQLite database."""

    @pytest.fixture
    def ojob_subject(self, tmp_path: Path) -> Subject:
        """A database of its own."""
        return Subject("db", {"file": str(tmp_path / "channel.db")})
