"""What a server says of itself to ``ojob doctor``."""

import time

from ojobchannels.plugins import checked_options, registry


def test_a_server_has_a_version_and_a_clock(url: str) -> None:
    """The clock of its node is read between two readings of this one."""
    type = registry().find("ignite")
    assert type.health is not None
    before = time.time_ns() // 1_000_000
    state = type.health("orders", checked_options(type, {"url": url}))
    assert before - 1 <= (state.wall or 0) <= time.time_ns() // 1_000_000 + 1
    assert state.storage.startswith("Apache Ignite 2")
    assert all(finding.text and finding.advice for finding in state.findings)
