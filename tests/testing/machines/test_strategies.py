"""The strategies for keys and values: what they draw is what channels take, simple ones first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, find, given, settings

import ojobchannels as oc
from ojobchannels.documents import check_key, check_name, check_value
from ojobchannels.testing.kit import strategies
from ojobchannels.testing.kit.strategies import lookalikes

settings.register_profile("quiet", database=None, deadline=None)
quiet = settings.get_profile("quiet")


@quiet
@given(strategies.keys(), strategies.values(), strategies.lock_names(), strategies.fences())
def test_what_is_drawn_is_taken(key: Any, value: Any, name: str, fence: int) -> None:
    """Keys, values, names and fences can be used as they are."""
    check_key(key)
    check_value(value)
    check_name("lock", name)
    assert 0 < fence < 2**63


@quiet
@given(strategies.not_documents())
def test_an_invalid_document_is_refused(refused: Any) -> None:
    """As a key and as a value."""
    with pytest.raises(oc.InvalidKey):
        check_key(refused)
    with pytest.raises(oc.InvalidValue):
        check_value(refused)


@quiet
@given(strategies.values().flatmap(strategies.parts_of).filter(bool))
def test_parts_are_matches(match: Any) -> None:
    """Parts of a value are valid matches."""
    check_value(match)


def test_a_part_matches_its_value() -> None:
    """A match that is drawn from a value matches it."""
    value = {"a": {"b": 1, "c": 2}, "d": [1]}
    part = find(
        strategies.parts_of(value), lambda one: one.get("a", {}).get("b") == 1, settings=quiet
    )
    assert oc.matches(part, value)


@quiet
@given(strategies.keys())
def test_twins_are_keys_too(key: Any) -> None:
    """Each lookalike of a valid key is a valid key."""
    for lookalike in lookalikes(key):
        check_key(lookalike)


@pytest.mark.parametrize(
    ("strategy", "simplest"),
    [
        (strategies.keys(), "a"),
        (strategies.values(), 1),
        (strategies.matches(), {}),
        (strategies.lock_names(), "a"),
        (strategies.fences(), 1),
    ],
)
def test_failures_shrink_to_the_simplest(strategy: Any, simplest: Any) -> None:
    """A failure for all values shrinks to the simplest one."""
    assert find(strategy, lambda _: True, settings=quiet) == simplest


@pytest.mark.parametrize(
    "odd", [1.0, "1", True, -0.0, 2**63 - 1, -(2**63), "", {}, "$", "a.b", "a/b", "a\n", "a" * 4096]
)
def test_the_odd_ones_are_likely(odd: Any) -> None:
    """Keys that backends confuse or cut off come up by themselves."""
    long = settings(quiet, max_examples=5000, phases=[Phase.generate])
    found = find(strategies.keys(), lambda key: repr(key) == repr(odd), settings=long)
    assert repr(found) == repr(odd)
