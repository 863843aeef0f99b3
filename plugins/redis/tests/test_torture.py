"""Exclusivity under fire: processes killed and stopped, connections cut, the server restarted."""

from __future__ import annotations

import pytest

from ojobchannels.testing.servers import or_skip
from ojobchannels.testing.torture.arenas import open_arena
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.result import Result
from ojobchannels.testing.torture.runner import torture

FAULTS = ("kill", "stop", "cut", "reset", "delay", "restart")


def run(plan: Plan) -> Result:
    """Tortures a server of its own."""
    with or_skip(), open_arena("redis") as arena:
        return torture(arena, plan)


def test_sections_exclude_each_other_under_fire() -> None:
    """Eight processes on four locks, some hundred sections, in any state of disrepair."""
    result = run(Plan(sections=500, faults=FAULTS, pause=0.15))
    assert result.faults == [], result.lines()
    assert result.sections >= 500


@pytest.mark.torture
@pytest.mark.timeout(1000)
def test_ten_thousand_sections() -> None:
    """The same for long; stopped holders were told, and stale writes refused."""
    result = run(Plan(sections=10_000, faults=FAULTS, ttl=0.4, pause=0.4))
    assert result.faults == [], result.lines()
    assert result.told > 0
    assert result.refused > 0
