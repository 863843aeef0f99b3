"""Atomic steps of locks: a rival between any two lines of an operation changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.kit import rivals
from ojobchannels.testing.kit.children import Children
from ojobchannels.testing.kit.interleaving import Interleaving
from ojobchannels.testing.kit.rivals import A, B, ask
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl

Rival: TypeAlias = Callable[..., Any]
STAGES = pytest.mark.parametrize("stage", ["on one handle", "on two handles"])
_OF_THE_HOLDER = pytest.mark.parametrize(
    "operation", ["extend", "extend_all", "adopt", "share", "unlock"]
)
_TAKING = pytest.mark.parametrize("rival", ["take_from", "evict"])


def _rival(subject: Subject, channel: Channel, stage: str) -> Rival:
    handle = channel if stage == "on one handle" else subject.open()
    return lambda *call: rivals.perform(handle, *call)


class LockStepContract(Contract):
    """An operation on a lock is one step: others see the state before it or after it."""

    @STAGES
    def test_a_lock_is_granted_to_one_of_two(
        self, subject: Subject, interleaving: Interleaving, stage: str
    ) -> None:
        """Wherever the second request comes in between the lines of the first."""
        channel = subject.open()
        _lock_twice(interleaving, channel, _rival(subject, channel, stage))

    @_OF_THE_HOLDER
    @_TAKING
    def test_a_late_operation_does_not_undo_the_next_grant(
        self, subject: Subject, interleaving: Interleaving, operation: str, rival: str
    ) -> None:
        """Each operation of a holder that loses the lock in between leaves it to the next one."""
        channel = subject.open()
        _use_while_taken(
            interleaving, channel, _rival(subject, channel, "on two handles"), operation, rival
        )

    @pytest.mark.parametrize("operation", ["extend", "extend_all", "adopt", "unlock"])
    def test_an_operation_at_the_deadline_does_not_undo_the_next_grant(
        self, subject: Subject, timing: TimeControl, interleaving: Interleaving, operation: str
    ) -> None:
        """The lease expires in the middle of the operation, and another client takes the lock."""
        channel, other = subject.open(), subject.open()
        ttl = 10_000 if timing.clock else 40

        def expire_and_take(name: str) -> int:
            timing.advance(0.002 if timing.clock else 0.005)
            return rivals.lock(other, name)

        for pause in interleaving(channel):
            name = f"lock {pause.number}"
            fence = rivals.lock(channel, name, A, ttl)
            timing.advance(ttl / 1000 - (0.001 if timing.clock else 0.023))
            outcome = pause.run(
                partial(rivals.perform, channel, operation, name),
                partial(expire_and_take, name),
            )
            if outcome.rival:
                assert outcome.rival > fence
                _assert_holds(channel, name, outcome.rival, operation)

    @STAGES
    def test_a_request_that_is_sent_twice_at_once_is_one_lease(
        self, subject: Subject, interleaving: Interleaving, stage: str
    ) -> None:
        """Both get the same fence, and one unlock frees the lock."""
        channel = subject.open()
        rival = _rival(subject, channel, stage)
        for pause in interleaving(channel):
            name = f"lock {pause.number}"
            outcome = pause.run(
                partial(rivals.lock, channel, name, A),
                partial(rival, "lock", name, A),
            )
            assert outcome.operation == outcome.rival != 0, "one lease has two fences"
            assert rivals.unlock(channel, name, A) is True
            assert rivals.unlock(channel, name, A) is False

    def test_a_force_unlock_evicts_the_holder_that_it_returns(
        self, subject: Subject, interleaving: Interleaving
    ) -> None:
        """Not the next one, which gets the lock in between."""
        channel, other = subject.open(), subject.open()
        for pause in interleaving(channel):
            name = f"lock {pause.number}"
            rivals.lock(channel, name, A)
            outcome = pause.run(
                partial(channel.force_unlock, name),
                partial(rivals.take_from, other, name),
            )
            evicted = outcome.operation
            present = channel.lock_info(name)
            if evicted is not None and evicted.fence == outcome.rival:
                assert present is None, "the holder that force_unlock returned still has the lock"
            elif outcome.rival:
                assert present is not None, f"{evicted} was returned, but another was evicted"
                assert present.fence == outcome.rival

    @requires("processes")
    def test_a_lock_is_granted_to_one_of_two_processes(
        self, subject: Subject, children: Children, interleaving: Interleaving
    ) -> None:
        """Wherever the request of the other process comes in between the lines of the first."""
        child = children(rivals.SCRIPT, subject)
        channel = subject.open()
        child.receive()
        _lock_twice(interleaving, channel, lambda *call: ask(child, *call))

    @requires("processes")
    def test_a_late_operation_does_not_undo_the_grant_of_another_process(
        self, subject: Subject, children: Children, interleaving: Interleaving
    ) -> None:
        """Each operation of a holder that loses the lock in between leaves it to the next one."""
        child = children(rivals.SCRIPT, subject)
        channel = subject.open()
        child.receive()
        for operation in ("extend", "unlock", "adopt"):
            _use_while_taken(
                interleaving, channel, lambda *call: ask(child, *call), operation, "take_from"
            )


def _lock_twice(interleaving: Interleaving, channel: Channel, rival: Rival) -> None:
    __tracebackhide__ = True
    for pause in interleaving(channel):
        name = f"lock {pause.number}"
        outcome = pause.run(
            partial(rivals.lock, channel, name, A),
            partial(rival, "lock", name, B),
        )
        assert [outcome.operation, outcome.rival].count(0) == 1, f"both or none got it: {outcome}"
        _assert_holds(channel, name, outcome.operation or outcome.rival, "lock")


def _use_while_taken(
    interleaving: Interleaving, channel: Channel, rival: Rival, operation: str, takes: str
) -> None:
    __tracebackhide__ = True
    for pause in interleaving(channel):
        name = f"{operation} {pause.number}"
        rivals.lock(channel, name, A)
        outcome = pause.run(
            partial(rivals.perform, channel, operation, name),
            partial(rival, takes, name),
        )
        assert outcome.rival, f"B did not get the lock while A called {operation}"
        _assert_holds(channel, name, outcome.rival, operation)


def _assert_holds(channel: Channel, name: str, fence: int, operation: str) -> None:
    __tracebackhide__ = True
    info = channel.lock_info(name)
    assert info is not None, f"the lock is free after {operation}"
    assert info.fence == fence, f"{operation} gave the lock back to an earlier holder"
    token = B if info.holder.get("by") == "b" else A
    assert rivals.unlock(channel, name, token) is True, f"{operation} revoked the next grant"
