"""Torture on Redis: real processes, servers, kills and faults."""

from __future__ import annotations

import pytest

from ojobchannels.testing.servers import RedisServer, or_skip
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.proving import prove_exclusion, prove_late_holders

FAULTS = ("kill", "stop", "cut", "reset", "delay", "restart")


@pytest.mark.torture
@pytest.mark.parametrize("sections", [2_500, pytest.param(10_000, marks=pytest.mark.thorough)])
def test_thousands_of_sections(sections: int) -> None:
    """Eight processes, killed and stopped at work, connected to the server without a proxy.

    Every second one uses the asynchronous face.
    """
    with or_skip(), RedisServer() as server:
        plan = Plan(sections=sections, faults=("kill", "stop"), pause=0.5, asynchronous=True)
        assert prove_exclusion(server.url, plan).done["kill"] > 0


@pytest.mark.torture
def test_late_holders_are_informed_and_refused() -> None:
    """Under faults of every kind, until a late holder was informed and had a write refused."""
    prove_late_holders("redis", Plan(sections=400, faults=FAULTS, ttl=0.4))


@pytest.mark.torture
@pytest.mark.thorough
def test_sections_exclude_each_other_during_faults() -> None:
    """Eight processes on four locks, some hundred sections, and faults of every kind."""
    prove_exclusion("redis", Plan(sections=500, faults=FAULTS, pause=0.15))
