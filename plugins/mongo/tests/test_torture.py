"""Exclusivity under fire: processes killed and stopped, connections cut, the server restarted."""

from __future__ import annotations

import pytest

from ojobchannels.testing.servers import MongoServer, or_skip
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.result import Result
from ojobchannels.testing.torture.runner import torture
from ojobchannels.testing.torture.targets import open_target

FAULTS = ("kill", "stop", "cut", "reset", "delay", "restart")
PLACES = [("mongo", FAULTS), ("mongo-replicas", (*FAULTS, "stepdown"))]
IDS = ["alone", "replicated"]


def run(channel: str, plan: Plan) -> Result:
    """Tortures a server of its own, which stands behind a proxy so that all can be broken."""
    with or_skip(), open_target(channel) as target:
        return torture(target, plan)


@pytest.mark.parametrize(("channel", "faults"), PLACES, ids=IDS)
def test_sections_exclude_each_other_under_fire(channel: str, faults: tuple[str, ...]) -> None:
    """Eight processes on four locks, some hundred sections, in any state of disrepair."""
    result = run(channel, Plan(sections=300, faults=faults, ttl=0.6, pause=0.2))
    assert result.violations == [], result.lines()
    assert result.sections >= 300


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_ten_thousand_sections() -> None:
    """Eight processes, killed and stopped at work, with nothing between them and the server."""
    with or_skip(), MongoServer() as server, open_target(server.url) as target:
        result = torture(target, Plan(sections=10_000, faults=("kill", "stop"), pause=1.5))
    assert result.violations == [], result.lines()
    assert result.sections >= 10_000
    assert result.done["kill"] > 0


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("channel", "faults"), PLACES, ids=IDS)
def test_expired_holders_are_refused(channel: str, faults: tuple[str, ...]) -> None:
    """With all faults, until a release raised LockLost and a late write was refused."""
    late = refused = 0
    while not (late and refused):  # depends on where in a section holders are suspended
        result = run(channel, Plan(sections=500, faults=faults, ttl=0.6))
        assert result.violations == [], result.lines()
        late += result.late
        refused += result.refused
