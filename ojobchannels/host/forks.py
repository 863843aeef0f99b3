"""Keeps what must not cross a fork from crossing it."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forgets(Protocol):
    """Something that a forked child must let go of."""

    def forget(self) -> None:
        """Called in the child, right after the fork."""


_watched: WeakSet[Forgets] = WeakSet()


def forget_in_children(thing: Forgets) -> None:
    """Has `thing.forget()` called in every forked child, for as long as `thing` lives."""
    _watched.add(thing)


def _after_fork_in_child() -> None:
    for thing in list(_watched):
        thing.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
