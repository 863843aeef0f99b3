"""Atomic steps of documents: a rival between any two lines of an operation sees no half of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.testing.contracts.base import Contract, put_all, requires
from ojobchannels.testing.contracts.concurrent.lock_steps import STAGES, Rival
from ojobchannels.testing.kit import rivals
from ojobchannels.testing.kit.children import Children
from ojobchannels.testing.kit.interleaving import Interleaving, Pause
from ojobchannels.testing.kit.rivals import ask
from ojobchannels.testing.kit.subject import Subject

MANY = 1200
_FENCED: dict[str, Callable[[Channel, Any], Any]] = {
    "set": lambda channel, key: rivals.put(channel, key, "late", 7),
    "get_set": lambda channel, key: rivals.replace(channel, {}, key, {"late": True}, 7),
    "unset": lambda channel, key: channel.unset(key, fence=7),
}
_UNFENCED: dict[str, Callable[[Channel, Any], Any]] = {
    "set": lambda channel, key: channel.set(key, {}),
    "set_all": lambda channel, key: channel.set_all({key: {}}),
    "get_set": lambda channel, key: channel.get_set({}, key, {}),
    "unset": Channel.unset,
    "unset_all": lambda channel, key: channel.unset_all([key]),
    "pop": lambda channel, _: channel.pop(),
    "shift": lambda channel, _: channel.shift(),
    "destroy": lambda channel, _: channel.destroy(),
}
_TAKE_ONE: dict[str, tuple[Any, ...]] = {
    "pop": ("pop",),
    "shift": ("shift",),
    "unset": ("unset", "only"),
    "unset_all": ("unset_all", ["only"]),
}
_IN_PROCESSES = ("pop", "unset")


class DocumentStepContract(Contract):
    """An operation on documents is one step: others see the state before it or after it."""

    @STAGES
    def test_one_of_two_compare_and_sets_stores(
        self, subject: Subject, interleaving: Interleaving, stage: str
    ) -> None:
        """Of two that add a key, and of two that expect the same value."""
        channel = subject.open()
        rival = channel if stage == "on one handle" else subject.open()
        _compare_twice(interleaving, channel, lambda *call: rivals.perform(rival, *call))

    @pytest.mark.parametrize("take", _TAKE_ONE.values(), ids=_TAKE_ONE)
    def test_one_of_two_takes_the_only_entry(
        self, subject: Subject, interleaving: Interleaving, take: tuple[Any, ...]
    ) -> None:
        """By each operation that removes an entry."""
        channel, other = subject.open(), subject.open()
        _take_twice(interleaving, channel, take, lambda *call: rivals.perform(other, *call))

    @pytest.mark.parametrize("write", _FENCED.values(), ids=_FENCED)
    def test_a_late_fenced_write_does_not_undo_a_later_one(
        self, subject: Subject, interleaving: Interleaving, write: Callable[[Channel, Any], Any]
    ) -> None:
        """A write with a higher fence that comes in between stays, and so does its mark."""
        channel, other = subject.open(), subject.open()
        _write_late(interleaving, channel, write, lambda *call: rivals.perform(other, *call))

    @pytest.mark.parametrize("write", _UNFENCED.values(), ids=_UNFENCED)
    def test_an_operation_without_a_fence_does_not_undo_a_mark(
        self, subject: Subject, interleaving: Interleaving, write: Callable[[Channel, Any], Any]
    ) -> None:
        """A mark that a fenced write sets in between stays."""
        channel, other = subject.open(), subject.open()
        for pause in interleaving(channel):
            key = f"key {pause.number}"
            channel.set(key, {}, fence=5)
            pause.run(
                partial(write, channel, key),
                partial(rivals.put, other, key, {}, 8),
            )
            assert rivals.perform(channel, "put", key, "late", 7) == "StaleFence"
            channel.unset(key)

    @requires("atomic_batches")
    @pytest.mark.parametrize("read", ["size", "get_all"])
    def test_a_reader_sees_a_large_batch_as_a_whole(
        self, subject: Subject, interleaving: Interleaving, read: str
    ) -> None:
        """Of more than a thousand entries it sees all or none, while they are set and removed."""
        channel, other = subject.open(), subject.open()

        def check(pause: Pause, batch: Callable[[], object]) -> None:
            seen = pause.run(batch, lambda: rivals.perform(other, read)).rival
            count = seen if isinstance(seen, int) else len(seen)
            assert count in (0, MANY), f"{read} found {count} of {MANY} entries"

        for pause in interleaving(channel, 25):
            check(pause, lambda: channel.set_all((n, n) for n in range(MANY)))
            channel.destroy()
        for pause in interleaving(channel, 25):
            channel.set_all((n, n) for n in range(MANY))
            check(pause, lambda: channel.unset_all(range(MANY)))

    @pytest.mark.parametrize("read", ["get_all", "get_keys"])
    def test_a_listing_is_a_snapshot(
        self, subject: Subject, interleaving: Interleaving, read: str
    ) -> None:
        """It is of one moment: no entry is in it that was written after another was removed."""
        channel, other = subject.open(), subject.open()
        count = MANY if "atomic_batches" in channel.capabilities else 200
        put_all(channel, [(number, number) for number in range(count)])
        for pause in interleaving(channel, 20):
            early, late = pause.number, count + pause.number

            def write(early: int = early, late: int = late) -> None:
                other.unset(early)
                other.set(late, late)

            seen = pause.run(lambda: rivals.perform(channel, read), write).operation
            assert not {early, late} <= {*seen}, f"{read} has an entry removed before the last one"
            assert late in seen or early in seen or len(seen) == count - 1
            assert len(seen) == len(set(seen))

    @requires("processes")
    def test_one_of_two_processes_compares_and_sets(
        self, subject: Subject, children: Children, interleaving: Interleaving
    ) -> None:
        """Of two that add a key, and of two that expect the same value."""
        child = children(rivals.SCRIPT, subject)
        channel = subject.open()
        child.receive()
        _compare_twice(interleaving, channel, lambda *call: ask(child, *call))

    @requires("processes")
    def test_one_of_two_processes_takes_the_only_entry(
        self, subject: Subject, children: Children, interleaving: Interleaving
    ) -> None:
        """By each operation that removes an entry."""
        child = children(rivals.SCRIPT, subject)
        channel = subject.open()
        child.receive()
        for name in _IN_PROCESSES:
            _take_twice(interleaving, channel, _TAKE_ONE[name], lambda *call: ask(child, *call))

    @requires("processes")
    def test_a_late_fenced_write_does_not_undo_that_of_another_process(
        self, subject: Subject, children: Children, interleaving: Interleaving
    ) -> None:
        """A write with a higher fence that comes in between stays, and so does its mark."""
        child = children(rivals.SCRIPT, subject)
        channel = subject.open()
        child.receive()
        for write in _FENCED.values():
            _write_late(interleaving, channel, write, lambda *call: ask(child, *call))


def _compare_twice(interleaving: Interleaving, channel: Channel, rival: Rival) -> None:
    __tracebackhide__ = True
    for present in (False, True):
        for pause in interleaving(channel):
            key = f"{present} {pause.number}"
            call: tuple[Any, ...] = ("add", key)
            if present:
                channel.set(key, {"by": 0})
                call = ("replace", {"by": 0}, key)
            outcome = pause.run(
                partial(rivals.perform, channel, *call, {"by": 1}),
                partial(rival, *call, {"by": 2}),
            )
            assert sorted(outcome) == [False, True], f"both or none of two stored: {outcome}"
            assert channel.get(key) == {"by": 1 if outcome.operation else 2}


def _take_twice(
    interleaving: Interleaving, channel: Channel, take: tuple[Any, ...], rival: Rival
) -> None:
    __tracebackhide__ = True
    for pause in interleaving(channel):
        channel.set("only", True)
        outcome = pause.run(lambda: rivals.perform(channel, *take), lambda: rival(*take))
        assert [bool(one) for one in outcome].count(True) == 1, f"not taken once: {outcome}"
        assert channel.size() == 0


def _write_late(
    interleaving: Interleaving,
    channel: Channel,
    write: Callable[[Channel, Any], Any],
    rival: Rival,
) -> None:
    __tracebackhide__ = True
    for pause in interleaving(channel):
        key = f"{id(write)} {pause.number}"
        channel.set(key, {}, fence=5)
        outcome = pause.run(
            partial(write, channel, key),
            partial(rival, "put", key, "later", 8),
        )
        assert outcome.rival is True, "the write with the higher fence was refused"
        assert channel.get(key) == "later", "the write with the lower fence came last"
        assert rivals.perform(channel, "put", key, "late", 7) == "StaleFence"
        channel.unset(key)
