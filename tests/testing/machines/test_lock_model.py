"""The model that judges the answers of locks where nobody can know the moment exactly."""

from __future__ import annotations

import pytest

from ojobchannels.hookspecs import Granted
from ojobchannels.testing.machines.lock_model import Holding, LockModel, Wrong
from ojobchannels.testing.machines.times import During

pytestmark = pytest.mark.kit

LEFT_BEHIND = {"who": "bob's lease"}


def holding(label: str, fence: int) -> Holding:
    """A lease of 80 ms."""
    return Holding(label, "bob", "bob's lease", f"token of {label}", fence, ttl=80)


@pytest.mark.parametrize("previous", [None, LEFT_BEHIND])
def test_a_close_at_the_end_of_a_lease_may_come_too_late(previous: dict[str, str] | None) -> None:
    """Then the next holder is told of it; a close in time leaves nothing to tell."""
    model = LockModel(slack=2_000)
    model.judge_request(holding("one", 1), Granted(1, None), During(0, 0))
    model.close("token of one", During(80_000, 80_500))
    model.judge_request(holding("two", 2), Granted(2, previous), During(80_600, 80_700))
    assert model.fence == 2


def test_a_close_within_a_lease_frees_the_lock() -> None:
    """Whoever is told of a holder before it is told wrong."""
    model = LockModel(slack=2_000)
    model.judge_request(holding("one", 1), Granted(1, None), During(0, 0))
    model.close("token of one", During(40_000, 40_500))
    with pytest.raises(Wrong, match="no previous holder"):
        model.judge_request(holding("two", 2), Granted(2, LEFT_BEHIND), During(40_600, 40_700))
