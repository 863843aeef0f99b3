"""The checker of histories finds violations, accepts valid histories, and is fast."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ojobchannels.testing.kit.histories import HeldLease, violations

quiet = settings(database=None, deadline=None)


def test_consecutive_leases_are_valid() -> None:
    """A lease may begin at the end of another; other locks do not matter."""
    history = [
        HeldLease("a", 1, "p", requested=0, acquired=1, released=5, accepted=True),
        HeldLease("a", 2, "q", requested=0, acquired=5, released=9, accepted=True),
        HeldLease("b", 1, "p", requested=2, acquired=3, released=8, accepted=True),
    ]
    assert violations(history) == []


def test_an_overlap_names_both_leases() -> None:
    """With their fences and holders."""
    one = HeldLease("a", 17, "process 3", requested=0, acquired=10, released=30)
    two = HeldLease("a", 18, "process 4", requested=5, acquired=20, released=40)
    (violation,) = violations([two, one])
    assert (violation.kind, violation.first, violation.second) == ("overlap", one, two)
    assert "lock 'a'" in str(violation)
    assert "fence 17 of process 3" in str(violation)
    assert "fence 18 of process 4" in str(violation)


def test_a_lease_within_a_longer_one_is_found() -> None:
    """A lease is compared with the one that ends last, not with the one before it."""
    long = HeldLease("a", 1, "p", 0, 0, 100)
    short = HeldLease("a", 2, "q", 0, 10, 11)
    later = HeldLease("a", 3, "r", 0, 50, 60)
    assert [(each.first, each.second) for each in violations([long, short, later])] == [
        (long, short),
        (long, later),
    ]


def test_a_lease_counts_until_its_deadline_only() -> None:
    """A suspended holder that releases late held nothing after its deadline."""
    stopped = HeldLease("a", 1, "p", requested=0, acquired=1, released=50, deadline=10)
    assert violations([stopped, HeldLease("a", 2, "q", 0, 11, 20)]) == []
    assert [each.kind for each in violations([stopped, HeldLease("a", 2, "q", 0, 9, 20)])] == [
        "overlap"
    ]


def test_a_killed_holder_does_not_count() -> None:
    """It may have lost the lock at once."""
    assert violations([HeldLease("a", 1, "p", 0, 1), HeldLease("a", 2, "q", 0, 2, 3)]) == []


def test_a_lease_that_had_expired_on_arrival_does_not_count() -> None:
    """Its holder was suspended until after the deadline."""
    late = HeldLease("a", 1, "p", requested=0, acquired=50, released=51, deadline=10)
    assert violations([late, HeldLease("a", 2, "q", requested=5, acquired=12, released=55)]) == []


def test_equal_fences_are_found() -> None:
    """At whatever times."""
    one, two = HeldLease("a", 7, "p", 0, 1, 2), HeldLease("a", 7, "q", 5, 6, 7)
    assert [each.kind for each in violations([one, two])] == ["same fence"]


def test_a_decreasing_fence_is_found() -> None:
    """A lease requested after the grant of another must have a higher fence."""
    one, two = HeldLease("a", 8, "p", 0, 1, 2), HeldLease("a", 7, "q", 5, 6, 7)
    (violation,) = violations([one, two])
    assert (violation.kind, violation.first, violation.second) == ("fence", one, two)


def test_fences_of_concurrent_requests_may_be_in_any_order() -> None:
    """The request that was sent first may be granted last."""
    stopped = HeldLease("a", 7, "q", requested=0, acquired=6, released=7, deadline=2)
    assert violations([HeldLease("a", 8, "p", requested=3, acquired=4, released=9), stopped]) == []


def test_a_late_release_is_found() -> None:
    """An accepted release after the grant of a later lease."""
    late = HeldLease("a", 1, "p", requested=0, acquired=1, released=50, deadline=10, accepted=True)
    newer = HeldLease("a", 2, "q", requested=11, acquired=12, released=60)
    assert violations([late._replace(accepted=False), newer]) == []
    (violation,) = violations([late, newer])
    assert (violation.kind, violation.first, violation.second) == ("late release", late, newer)


@st.composite
def histories(draw: st.DrawFn) -> list[HeldLease]:
    """Draw valid histories: each lease begins at the end of the one before."""
    history = []
    for name in draw(st.sets(st.sampled_from("abc"), min_size=1)):
        now, fence = 0, 0
        for number in range(draw(st.integers(1, 12))):
            requested = now - draw(st.integers(0, 30))
            acquired = now + draw(st.integers(0, 5))
            deadline = acquired + draw(st.integers(1, 20))
            fence += draw(st.integers(1, 9))
            end = draw(st.sampled_from(("released", "late", "killed")))
            released = {"released": deadline - 1, "late": deadline + 7, "killed": None}[end]
            history.append(
                HeldLease(
                    name, fence, number, requested, acquired, released, deadline, end == "released"
                )
            )
            now = deadline
    return draw(st.permutations(history))


def _is_sure(lease: HeldLease) -> bool:
    return lease.certain_until > lease.acquired


@quiet
@given(histories())
def test_valid_histories_pass(history: list[HeldLease]) -> None:
    """In any order, and with any kind of end."""
    assert violations(history) == []


@quiet
@given(histories().filter(lambda history: any(map(_is_sure, history))), st.data())
def test_one_planted_overlap_is_found(history: list[HeldLease], data: st.DataObject) -> None:
    """Both leases are named."""
    victim = data.draw(st.sampled_from([lease for lease in history if _is_sure(lease)]))
    begins = data.draw(st.integers(victim.acquired, victim.certain_until - 1))
    highest = max(lease.fence for lease in history) + 1
    planted = HeldLease(victim.name, highest, "planted", begins - 1, begins, begins + 1)
    found = [
        violation for violation in violations([*history, planted]) if violation.kind == "overlap"
    ]
    assert {(each.first.fence, each.second.fence) for each in found} & {
        (victim.fence, highest),
        (highest, victim.fence),
    }


@pytest.mark.torture
@pytest.mark.thorough
def test_a_million_leases_take_seconds() -> None:
    """Also with a violation among them."""
    history = [
        HeldLease("abcd"[at % 4], at, at % 8, at * 10, at * 10 + 1, at * 10 + 9, at * 10 + 50, True)
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
