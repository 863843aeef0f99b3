"""Keeps what must not cross a fork from crossing it."""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet

_LONGEST_DELAY = 10.0


class Forgets(Protocol):
    """Something that a forked child must let go of."""

    def forget(self) -> None:
        """Called in the child, right after the fork."""


class LetsGo(Protocol):
    """Something that must not even be there when a process forks."""

    def let_go(self) -> None:
        """Called in the parent, right before the fork."""


class _Turnstile:
    """Work that a fork must not cut in two goes through here; a fork waits for its end.

    Who works is entered first and looks for forks then, who forks does it the other way round: one
    of them sees the other. So work takes the lock only while there is a fork.
    """

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._working: set[object] = set()
        self._forking = 0

    def begin_work(self, work: object) -> None:
        """Begins what no fork may cut in two; waits if one is under way. Keep it short."""
        self._working.add(work)
        if self._forking:
            self._give_way(work)

    def end_work(self, work: object) -> None:
        """Ends what `begin_work` began with the same object; a second time does nothing."""
        self._working.discard(work)
        if self._forking:
            with self._lock:
                self._changed.notify_all()

    def _give_way(self, work: object) -> None:
        # `with` on the lock itself: entering a Condition runs Python code, which a signal may cut.
        with self._lock:
            self._working.discard(work)
            self._changed.notify_all()
            while self._forking:
                self._changed.wait()
            self._working.add(work)

    def begin_fork(self) -> None:
        with self._lock:
            self._forking += 1
            self._changed.wait_for(lambda: not self._working, _LONGEST_DELAY)

    def end_fork(self) -> None:
        with self._lock:
            self._forking -= 1
            self._changed.notify_all()


_turnstile = _Turnstile()
begin_work = _turnstile.begin_work
end_work = _turnstile.end_work
_forgetting: WeakSet[Forgets] = WeakSet()
_letting_go: WeakSet[LetsGo] = WeakSet()


def forget_in_children(thing: Forgets) -> None:
    """Has `thing.forget()` called in every forked child, for as long as `thing` lives."""
    _forgetting.add(thing)


def let_go_before_forks(thing: LetsGo) -> None:
    """Has `thing.let_go()` called before every fork, between two pieces of work."""
    _letting_go.add(thing)


def _before_fork() -> None:
    _turnstile.begin_fork()
    for thing in list(_letting_go):
        thing.let_go()


def _after_fork_in_parent() -> None:
    _turnstile.end_fork()


def _after_fork_in_child() -> None:
    _turnstile.begin_anew()
    for thing in list(_forgetting):
        thing.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
