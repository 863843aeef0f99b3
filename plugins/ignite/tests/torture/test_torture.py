"""Torture on Ignite: real processes, servers, kills and faults."""

from __future__ import annotations

import pytest

from ojobchannels.testing.servers import IgniteServer, or_skip
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.proving import prove_exclusion, prove_late_holders


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sections", [1_000, pytest.param(10_000, marks=pytest.mark.thorough)])
def test_thousands_of_sections(sections: int) -> None:
    """Eight processes, killed and stopped at work, connected to a node without a proxy."""
    with or_skip(), IgniteServer() as server:
        plan = Plan(sections=sections, faults=("kill", "stop"), pause=1.5)
        assert prove_exclusion(server.url, plan).done["kill"] > 0


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_late_holders_are_informed_and_refused() -> None:
    """Under faults of every kind, until a late holder was informed and had a write refused."""
    faults = ("kill", "stop", "cut", "reset", "delay", "restart")
    prove_late_holders("ignite", Plan(sections=100, faults=faults, ttl=2))
