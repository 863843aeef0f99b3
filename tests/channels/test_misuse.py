"""Arguments that no channel can use: one error of ours for each, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from tests.conftest import Storage

NOT_CALLABLE: Any = "print"

MISUSES: dict[str, tuple[Callable[[Any], object], str]] = {
    "set_all of a text": (lambda channel: channel.set_all("ab"), "'ab' is not a list of pairs"),
    "set_all of None": (lambda channel: channel.set_all(None), "None is not a list of pairs"),
    "set_all of texts": (lambda channel: channel.set_all(["ab"]), "'ab' is not a pair"),
    "set_all of triples": (
        lambda channel: channel.set_all([(1, 2, 3)]),
        r"\[1, 2, 3\] is not a pair",
    ),
    "unset_all of a text": (lambda channel: channel.unset_all("12"), "'12' is not a list of keys"),
    "unset_all of a number": (lambda channel: channel.unset_all(3), "3 is not a list of keys"),
    "items after a text": (lambda channel: list(channel.items(after="x")), "after: 'x' is not a"),
    "items after 2**80": (lambda channel: list(channel.items(after=2**80)), "is not a position"),
    "a negative limit": (lambda channel: list(channel.items(limit=-1)), "limit: -1 is not a num"),
    "a limit in words": (lambda channel: list(channel.items(limit="1")), "limit: '1' is not a num"),
    "a text as holder": (lambda channel: channel.lock("l", ttl=1, holder="x"), "'x' is not a map"),
    "on_lost": (lambda channel: channel.lock("l", ttl=1, on_lost=NOT_CALLABLE), "cannot be called"),
    "a callback": (lambda channel: channel.subscribe(NOT_CALLABLE), "'print' cannot be called"),
    "no lease document": (lambda channel: channel.lease_from(None), "None is not a map"),
    "a lease of 3": (
        lambda channel: channel.lease_from({"name": 3, "token": "t", "fence": 1}),
        "lock name",
    ),
    "a lease document without a text as token": (
        lambda channel: channel.lease_from({"name": "l", "token": 3, "fence": 1}),
        "its token is not a string",
    ),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_a_misuse_is_an_error_that_names_the_argument(simple_storage: Storage, misuse: str) -> None:
    """And shows its value; keys and locks are as before."""
    attempt, message = MISUSES[misuse]
    with simple_storage.open() as channel:
        channel.set_all([("1", 1), ("2", 2)])
        with pytest.raises(oc.ChannelError, match=message):
            attempt(channel)
        assert list(channel.items()) == [("1", 1), ("2", 2)]
        assert channel.locks() == []
