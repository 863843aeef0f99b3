"""The channel type ``redis`` keeps every promise of the kit that it claims."""

from __future__ import annotations

import pytest

from ojobchannels.testing import ChannelConformance, Subject


class TestRedis(ChannelConformance):
    """On a server of the session, which other tests use at the same time."""

    @pytest.fixture
    def ojob_subject(self, url: str) -> Subject:
        """A channel of its own."""
        return Subject("redis", {"url": url})
