"""Torture as a test: it skips where the server is missing, and fails where a rule was broken."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ojobchannels.testing.servers import or_skip
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.result import Result
from ojobchannels.testing.torture.runner import torture
from ojobchannels.testing.torture.targets import Target, open_target

# With one of the server: a worker that was suspended within a request may find it timed out.
_FURTHER_FAULTS: Final = ("stop", "stop", "stop", "cut")


def prove_exclusion(channel: str, plan: Plan) -> Result:
    """Run the plan, and check that critical sections excluded each other.

    Args:
        channel: What `open_target` opens: a channel type, for which a server is started, or a URL.
        plan: The processes, locks and faults.
    """
    with or_skip(), open_target(channel) as target:
        return assert_exclusion(target, plan)


def assert_exclusion(target: Target, plan: Plan) -> Result:
    """Run the plan on a target that is open, and check the same."""
    result = torture(target, plan)
    assert result.violations == [], result.lines()
    assert result.sections >= plan.sections, result.lines()
    return result


def prove_late_holders(channel: str, plan: Plan) -> None:
    """Run the plan, then further rounds, until a late holder was informed and had a write refused.

    It is chance where in a section a holder is stopped, so a round has another seed, and further
    ones have mostly suspensions.
    """
    late = refused = 0
    with or_skip(), open_target(channel) as target:
        while not (late and refused):
            result = assert_exclusion(target, plan)
            late += result.late
            refused += result.refused
            plan = replace(plan, seed=plan.seed + 1, faults=_FURTHER_FAULTS)
