"""Fork safety: what must not be inherited by a child, and work that a fork must not interrupt."""

import os
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet

_Thing = TypeVar("_Thing")
_LONGEST_DELAY = 10.0


class ForgetsInChild(Protocol):
    """An object that a forked child must not share with its parent."""

    def forget(self) -> None:
        """Reset the object; called in the child, right after the fork."""


class ReleasedBeforeFork(Protocol):
    """An object with resources that must not be open when the process forks."""

    def release_for_fork(self) -> None:
        """Close the resources; called in the parent, right before the fork."""


class _Turnstile:
    """Lets short pieces of work finish before a fork, and makes new work wait for the fork.

    A child that is forked in the middle of such work would inherit half of it, such as SQLite's
    locks. A worker registers first, then checks for a fork; a fork sets its flag first, then waits
    for the workers. So at least one of them sees the other, whatever the order of the two threads,
    and the workers need the lock only while a fork is pending. A fork waits 10 s at most: forking
    with some risk is better than never forking.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._working: set[object] = set()
        self._forking = 0

    def begin_work(self, work: object) -> None:
        """Register short work that a fork must not interrupt; wait if a fork is pending."""
        self._working.add(work)
        if self._forking:
            self._wait_for_fork(work)

    def end_work(self, work: object) -> None:
        """Unregister the work; a second call does nothing."""
        self._working.discard(work)
        if self._forking:
            with self._lock:
                self._changed.notify_all()

    def _wait_for_fork(self, work: object) -> None:
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
_resets: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()
_released: WeakSet[ReleasedBeforeFork] = WeakSet()
_process = os.getpid()


def forget_in_children(thing: ForgetsInChild) -> None:
    """Call `thing.forget()` in every forked child, for as long as `thing` exists."""
    reset_in_children(thing, type(thing).forget)


def reset_in_children(thing: _Thing, reset: Callable[[_Thing], None]) -> None:
    """Call `reset(thing)` in every forked child, for as long as `thing` exists."""
    _resets[thing] = reset


def release_before_forks(thing: ReleasedBeforeFork) -> None:
    """Call `thing.release_for_fork()` before every fork, while no work is registered."""
    _released.add(thing)


def notice_hidden_fork() -> None:
    """Do what follows a fork, in a child that a C library has forked unnoticed by Python.

    Whatever must not be shared with the parent calls this before it is used.
    """
    if os.getpid() != _process:
        _after_fork_in_child()


def _before_fork() -> None:
    _turnstile.begin_fork()
    for thing in list(_released):
        thing.release_for_fork()


def _after_fork_in_child() -> None:
    global _process
    _process = os.getpid()
    _turnstile.reset()
    for thing, reset in list(_resets.items()):
        reset(thing)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_turnstile.end_fork,
        after_in_child=_after_fork_in_child,
    )
