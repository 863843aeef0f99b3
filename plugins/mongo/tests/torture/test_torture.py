"""Torture on MongoDB: real processes, servers, kills and faults."""

from __future__ import annotations

import pytest

from ojobchannels.testing.servers import MongoServer, or_skip
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.proving import prove_exclusion, prove_late_holders

FAULTS = ("kill", "stop", "cut", "reset", "delay", "restart")

on_each = pytest.mark.parametrize(
    ("channel", "faults"),
    [
        pytest.param("mongo", FAULTS, id="standalone", marks=pytest.mark.thorough),
        pytest.param("mongo-replicas", (*FAULTS, "stepdown"), id="replicated"),
    ],
)


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sections", [1_000, pytest.param(10_000, marks=pytest.mark.thorough)])
def test_thousands_of_sections(sections: int) -> None:
    """Eight processes, killed and stopped at work, connected to the server without a proxy."""
    with or_skip(), MongoServer() as server:
        plan = Plan(sections=sections, faults=("kill", "stop"), pause=1.5)
        assert prove_exclusion(server.url, plan).done["kill"] > 0


@pytest.mark.torture
@pytest.mark.timeout(600)
@on_each
def test_late_holders_are_informed_and_refused(channel: str, faults: tuple[str, ...]) -> None:
    """Under faults of every kind, until a late holder was informed and had a write refused."""
    prove_late_holders(channel, Plan(sections=200, faults=faults, ttl=0.6))


@pytest.mark.torture
@pytest.mark.thorough
@pytest.mark.timeout(600)
@on_each
def test_sections_exclude_each_other_during_faults(channel: str, faults: tuple[str, ...]) -> None:
    """Eight processes on four locks, some hundred sections, and faults of every kind."""
    prove_exclusion(channel, Plan(sections=300, faults=faults, ttl=0.6, pause=0.2))
