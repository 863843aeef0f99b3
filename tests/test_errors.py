"""The errors: one tree, each a natural builtin too, each with its facts and a word of advice."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

from ojobchannels import errors
from ojobchannels.errors import ChannelError

FACTS: dict[str, Any] = {
    "channel": "orders",
    "name": "nightly",
    "path": "$.state",
    "reason": "it is wrong",
    "advice": "mend it",
    "what": "lock",
    "option": "ttl",
    "type": "redis",
    "known": ("db", "simple"),
    "distribution": "ojobchannels-redis",
    "providers": ("one", "two"),
    "seconds": 2.5,
    "operation": "pop",
    "key": {"id": 1},
    "fence": 3,
    "mark": 7,
    "holder": {"host": "north", "pid": 12},
    "remaining": 9.5,
    "waited": 1.0,
    "hint": "nightly",
    "problems": (),
    "job": "nightly",
    "where": "job 'nightly'",
}


def classes() -> list[type[ChannelError]]:
    """All errors of the package."""
    return [
        thing
        for thing in vars(errors).values()
        if inspect.isclass(thing) and issubclass(thing, ChannelError)
    ]


def made() -> list[Any]:
    """The classes that take facts of their own, with facts for them."""
    wanted = {kind: list(inspect.signature(kind.__init__).parameters)[1:] for kind in classes()}
    return [
        pytest.param(kind, [FACTS[name] for name in names], id=kind.__name__)
        for kind, names in wanted.items()
        if "args" not in names
    ]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_every_error_is_a_natural_builtin_too(kind: type[ChannelError]) -> None:
    """Who catches ValueError, TimeoutError and the like catches ours."""
    if kind in (ChannelError, errors.JobError):
        return
    builtins = [base for base in kind.__mro__ if base.__module__ == "builtins"]
    assert builtins[0] not in (Exception, BaseException, object), kind.__mro__


@pytest.mark.parametrize(("kind", "facts"), made())
def test_every_error_survives_pickling(kind: type[ChannelError], facts: list[Any]) -> None:
    """Message, facts and notes arrive in another process."""
    error = kind(*facts)
    error.add_note("seen in the night")
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is kind
    assert str(other) == str(error)
    assert other.__dict__ == error.__dict__
    assert other.__notes__ == ["seen in the night"]


@pytest.mark.parametrize(("kind", "facts"), made())
def test_every_error_keeps_its_facts(kind: type[ChannelError], facts: list[Any]) -> None:
    """What an error was given can be read off it by name."""
    names = list(inspect.signature(kind.__init__).parameters)[1:]
    error = kind(*facts)
    assert [getattr(error, name) for name in names] == facts


def test_a_busy_lock_tells_who_holds_it_and_what_to_do() -> None:
    """The message names lock, channel, holder and remaining time, and gives advice."""
    error = errors.LockBusy("orders", "nightly", {"host": "north", "pid": 12}, 9.5, 0)
    assert str(error) == (
        "lock 'nightly' on channel 'orders' is held by host north, pid 12; its lease lasts another "
        "9.5 s unless renewed: try later, pass a longer wait, or force_unlock it if that holder is "
        "known to be gone"
    )
    assert isinstance(error, TimeoutError)


def test_a_long_name_does_not_swamp_a_message() -> None:
    """A name of 4 KiB is cut in the message, and whole in the facts."""
    error = errors.LockLost("orders", "n" * 4096, 3, "its time is over")
    assert len(str(error)) < 400
    assert error.name == "n" * 4096
