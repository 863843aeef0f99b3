"""The model of a lock, for results whose time is known only as an interval."""

from __future__ import annotations

import pytest

from ojobchannels.hookspecs import Granted
from ojobchannels.testing.machines.lock_model import Holding, LockModel, ModelViolation
from ojobchannels.testing.machines.times import Span

pytestmark = pytest.mark.kit

UNRELEASED = {"client": "bob's lease"}


def holding(label: str, fence: int) -> Holding:
    """A lease of 80 ms."""
    return Holding(label, "bob", "bob's lease", f"token of {label}", fence, ttl=80)


@pytest.mark.parametrize("previous", [None, UNRELEASED])
def test_a_close_at_the_end_of_a_lease_may_come_too_late(previous: dict[str, str] | None) -> None:
    """A handle closed close to the end of a lease may or may not have released it."""
    model = LockModel(slack=2_000)
    model.judge_request(holding("one", 1), Granted(1, None), Span(0, 0))
    model.close("token of one", Span(80_000, 80_500))
    model.judge_request(holding("two", 2), Granted(2, previous), Span(80_600, 80_700))
    assert model.fence == 2


def test_a_close_within_a_lease_frees_the_lock() -> None:
    """After a close in time, the next lease must not report a previous holder."""
    model = LockModel(slack=2_000)
    model.judge_request(holding("one", 1), Granted(1, None), Span(0, 0))
    model.close("token of one", Span(40_000, 40_500))
    with pytest.raises(ModelViolation, match="but it unlocked"):
        model.judge_request(holding("two", 2), Granted(2, UNRELEASED), Span(40_600, 40_700))
