"""Exclusivity under fire: processes killed and stopped, connections cut, the server restarted."""

from __future__ import annotations

import pytest

from ojobchannels.testing.servers import or_skip
from ojobchannels.testing.torture.arenas import open_arena
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.result import Result
from ojobchannels.testing.torture.runner import torture

FAULTS = ("kill", "stop", "cut", "reset", "delay", "restart")
PLACES = [("mongo", FAULTS), ("mongo-replicas", (*FAULTS, "stepdown"))]


def run(channel: str, plan: Plan) -> Result:
    """Tortures a server of its own."""
    with or_skip(), open_arena(channel) as arena:
        return torture(arena, plan)


@pytest.mark.parametrize(("channel", "faults"), PLACES, ids=["alone", "replicated"])
def test_sections_exclude_each_other_under_fire(channel: str, faults: tuple[str, ...]) -> None:
    """Eight processes on four locks, some hundred sections, in any state of disrepair."""
    result = run(channel, Plan(sections=300, faults=faults, ttl=0.6, pause=0.2))
    assert result.faults == [], result.lines()
    assert result.sections >= 300


@pytest.mark.torture
@pytest.mark.timeout(1600)
@pytest.mark.parametrize(("channel", "faults"), PLACES, ids=["alone", "replicated"])
def test_ten_thousand_sections(channel: str, faults: tuple[str, ...]) -> None:
    """The same for long; stopped holders were told, and stale writes refused."""
    result = run(channel, Plan(sections=10_000, faults=faults, ttl=0.6, pause=0.5))
    assert result.faults == [], result.lines()
    assert result.told > 0
    assert result.refused > 0
