"""What a server says of itself to ``ojob doctor``."""

from __future__ import annotations

import time
from typing import Final

import pytest

from ojobchannels.plugins import checked_options, registry
from ojobchannels.testing.contracts.remote.base import NetworkContract
from ojobchannels.testing.kit.subject import Subject

_MINUTE: Final = 60_000


class ServerHealthContract(NetworkContract):
    """`ChannelType.health`, which a backend on a server should have."""

    def test_the_server_has_a_version_and_a_clock_in_milliseconds(self, subject: Subject) -> None:
        """Its clock may differ from that of this host by a minute; each finding has an advice."""
        channel_type = registry().find(subject.type)
        if channel_type.health is None:
            pytest.skip(f"the type {subject.type!r} has no `health`")
        before = time.time_ns() // 1_000_000
        state = channel_type.health("orders", checked_options(channel_type, subject.options))
        after = time.time_ns() // 1_000_000
        assert any(letter.isdigit() for letter in state.storage)
        assert state.wall is not None
        assert before - _MINUTE < state.wall < after + _MINUTE
        assert all(finding.text and finding.advice for finding in state.findings)
