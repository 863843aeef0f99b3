"""The checker of histories: what is wrong is found and named, what is right passes, and quickly."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ojobchannels.testing.kit.histories import Held, violations

quiet = settings(database=None, deadline=None)


def test_leases_one_after_the_other_are_well() -> None:
    """The end of one may be the beginning of the next; locks of other names do not matter."""
    history = [
        Held("a", 1, "p", asked=0, acquired=1, released=5, accepted=True),
        Held("a", 2, "q", asked=0, acquired=5, released=9, accepted=True),
        Held("b", 1, "p", asked=2, acquired=3, released=8, accepted=True),
    ]
    assert violations(history) == []


def test_two_at_once_are_named() -> None:
    """An overlap names both leases, with their fences and holders."""
    one = Held("a", 17, "process 3", asked=0, acquired=10, released=30)
    two = Held("a", 18, "process 4", asked=5, acquired=20, released=40)
    (violation,) = violations([two, one])
    assert (violation.kind, violation.first, violation.second) == ("overlap", one, two)
    assert "lock 'a'" in str(violation)
    assert "fence 17 of process 3" in str(violation)
    assert "fence 18 of process 4" in str(violation)


def test_a_lease_that_is_within_a_longer_one_is_found_behind_others() -> None:
    """The longest lease so far is compared with, not the one that began last."""
    long = Held("a", 1, "p", 0, 0, 100)
    short = Held("a", 2, "q", 0, 10, 11)
    later = Held("a", 3, "r", 0, 50, 60)
    assert [(each.first, each.second) for each in violations([long, short, later])] == [
        (long, short),
        (long, later),
    ]


def test_a_holder_relies_on_its_lease_until_its_deadline_only() -> None:
    """Who was stopped, and gave back long after, held nothing after its deadline."""
    stopped = Held("a", 1, "p", asked=0, acquired=1, released=50, deadline=10)
    assert violations([stopped, Held("a", 2, "q", 0, 11, 20)]) == []
    assert [each.kind for each in violations([stopped, Held("a", 2, "q", 0, 9, 20)])] == ["overlap"]


def test_who_was_killed_is_not_accused() -> None:
    """A holder that was never heard of again may have lost the lock at once."""
    assert violations([Held("a", 1, "p", 0, 1), Held("a", 2, "q", 0, 2, 3)]) == []


def test_who_was_stopped_before_it_looked_at_the_clock_is_not_accused() -> None:
    """A lease whose deadline was over when its holder woke counts for nothing."""
    late = Held("a", 1, "p", asked=0, acquired=50, released=51, deadline=10)
    assert violations([late, Held("a", 2, "q", asked=5, acquired=12, released=55)]) == []


def test_one_fence_for_two_is_found() -> None:
    """Two leases with one fence are named, whenever they were."""
    one, two = Held("a", 7, "p", 0, 1, 2), Held("a", 7, "q", 5, 6, 7)
    assert [each.kind for each in violations([one, two])] == ["same fence"]


def test_a_fence_that_falls_is_found() -> None:
    """A lease that was asked for when another was granted already has a higher fence."""
    one, two = Held("a", 8, "p", 0, 1, 2), Held("a", 7, "q", 5, 6, 7)
    (violation,) = violations([one, two])
    assert (violation.kind, violation.first, violation.second) == ("fence", one, two)


def test_fences_of_requests_that_crossed_may_be_in_any_order() -> None:
    """The one that was asked for before the other was granted may have been granted first."""
    stopped = Held("a", 7, "q", asked=0, acquired=6, released=7, deadline=2)
    assert violations([Held("a", 8, "p", asked=3, acquired=4, released=9), stopped]) == []


def test_a_release_of_the_past_is_found() -> None:
    """A release that is accepted when a later lease is there has freed another's lock."""
    late = Held("a", 1, "p", asked=0, acquired=1, released=50, deadline=10, accepted=True)
    newer = Held("a", 2, "q", asked=11, acquired=12, released=60)
    assert violations([late._replace(accepted=False), newer]) == []
    (violation,) = violations([late, newer])
    assert (violation.kind, violation.first, violation.second) == ("late release", late, newer)


@st.composite
def histories(draw: st.DrawFn) -> list[Held]:
    """Valid ones: each lease begins when the one before is over, by release or by its deadline."""
    history = []
    for name in draw(st.sets(st.sampled_from("abc"), min_size=1)):
        now, fence = 0, 0
        for number in range(draw(st.integers(1, 12))):
            asked = now - draw(st.integers(0, 30))
            acquired = now + draw(st.integers(0, 5))
            deadline = acquired + draw(st.integers(1, 20))
            fence += draw(st.integers(1, 9))
            end = draw(st.sampled_from(("released", "late", "killed")))
            released = {"released": deadline - 1, "late": deadline + 7, "killed": None}[end]
            history.append(
                Held(name, fence, number, asked, acquired, released, deadline, end == "released")
            )
            now = deadline
    return draw(st.permutations(history))


def _is_sure(lease: Held) -> bool:
    return lease.certain_until > lease.acquired


@quiet
@given(histories())
def test_valid_histories_pass(history: list[Held]) -> None:
    """Whatever its order, and however its leases ended, a valid history has no violation."""
    assert violations(history) == []


@quiet
@given(histories().filter(lambda history: any(map(_is_sure, history))), st.data())
def test_one_planted_overlap_is_found(history: list[Held], data: st.DataObject) -> None:
    """One lease that begins while another is held is found, and both are named."""
    victim = data.draw(st.sampled_from([lease for lease in history if _is_sure(lease)]))
    begins = data.draw(st.integers(victim.acquired, victim.certain_until - 1))
    highest = max(lease.fence for lease in history) + 1
    planted = Held(victim.name, highest, "planted", begins - 1, begins, begins + 1)
    found = [
        violation for violation in violations([*history, planted]) if violation.kind == "overlap"
    ]
    assert {(each.first.fence, each.second.fence) for each in found} & {
        (victim.fence, highest),
        (highest, victim.fence),
    }


@pytest.mark.torture
def test_a_million_leases_take_seconds() -> None:
    """The checker is there for long histories: a million leases, one violation among them."""
    history = [
        Held("abcd"[at % 4], at, at % 8, at * 10, at * 10 + 1, at * 10 + 9, at * 10 + 50, True)
        for at in range(1_000_000)
    ]
    history[500_000] = history[500_000]._replace(released=5_000_049)
    began = time.process_time()
    violation, late = violations(history)
    assert time.process_time() < began + 20
    assert (violation.kind, violation.first.fence, violation.second.fence) == (
        "overlap",
        500_000,
        500_004,
    )
    assert late.kind == "late release"
