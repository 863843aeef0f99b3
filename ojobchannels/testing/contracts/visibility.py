"""Visibility: every kind of write is seen by every kind of read, whoever reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.testing.contracts.base import Contract, put_all, requires
from ojobchannels.testing.kit import rivals
from ojobchannels.testing.kit.children import Children
from ojobchannels.testing.kit.rivals import ask
from ojobchannels.testing.kit.subject import Subject

Perform = Callable[..., Any]

# Each on the entries a: {"n": 1}, b: {"n": 2}, c: {"n": 3}, with the entries that result.
_WRITES: Final[list[tuple[tuple[Any, ...], dict[str, int]]]] = [
    (("put", "b", {"n": 9}), {"a": 1, "c": 3, "b": 9}),
    (("put", "d", {"n": 4}, 5), {"a": 1, "b": 2, "c": 3, "d": 4}),
    (("add", "d", {"n": 4}), {"a": 1, "b": 2, "c": 3, "d": 4}),
    (("replace", {"n": 2}, "b", {"n": 8}), {"a": 1, "c": 3, "b": 8}),
    (("set_all", [["b", {"n": 7}]]), {"a": 1, "c": 3, "b": 7}),
    (("unset", "b"), {"a": 1, "c": 3}),
    (("unset_all", ["b"]), {"a": 1, "c": 3}),
    (("pop",), {"a": 1, "b": 2}),
    (("shift",), {"b": 2, "c": 3}),
    (("destroy",), {}),
]
# Each on a lock that A holds; what `locks` and a request of C then say.
_LOCK_CHANGES: Final[dict[str, bool]] = {
    "unlock": False,
    "force_unlock": False,
    "take_from": True,
    "evict": True,
    "extend": True,
    "extend_all": True,
    "adopt": True,
}


class VisibilityContract(Contract):
    """No read is answered from what a handle or a process has read or written before."""

    def test_every_read_sees_every_write_of_another_handle(self, subject: Subject) -> None:
        """After it has read the same before."""
        channel, other = subject.open(), subject.open()
        for write, expected in _WRITES:
            _check(channel, lambda *call: rivals.perform(other, *call), write, expected)

    def test_every_lock_operation_sees_those_of_another_handle(self, subject: Subject) -> None:
        """Refusals, infos and late operations follow the present lease."""
        channel, other = subject.open(), subject.open()
        for change in _LOCK_CHANGES:
            _check_lock(channel, lambda *call: rivals.perform(other, *call), change)

    @requires("processes")
    def test_every_read_sees_every_write_of_another_process(
        self, subject: Subject, children: Children
    ) -> None:
        """After it has read the same before; in both directions."""
        child = children(rivals.SCRIPT, subject)
        channel = subject.open()
        child.receive()
        for write, expected in _WRITES:
            _check(channel, lambda *call: ask(child, *call), write, expected)
        for write, expected in _WRITES:
            _reset(channel)
            for read, arguments, _ in _reads({}):
                ask(child, read, *arguments)
            rivals.perform(channel, *write)
            for read, arguments, result in _reads(expected):
                assert ask(child, read, *arguments) == result, f"{read} after {write[0]}"

    @requires("processes")
    def test_every_lock_operation_sees_those_of_another_process(
        self, subject: Subject, children: Children
    ) -> None:
        """Refusals, infos and late operations follow the present lease."""
        child = children(rivals.SCRIPT, subject)
        channel = subject.open()
        child.receive()
        for change in _LOCK_CHANGES:
            _check_lock(channel, lambda *call: ask(child, *call), change)

    def test_previous_names_the_last_holder_of_all_handles(self, subject: Subject) -> None:
        """Not an earlier one of the same handle, and none if the last one has unlocked."""
        channel, other = subject.open(), subject.open()
        _check_previous(channel, lambda *call: rivals.perform(other, *call))

    @requires("processes")
    def test_previous_names_the_last_holder_of_all_processes(
        self, subject: Subject, children: Children
    ) -> None:
        """Not an earlier one of the same process, and none if the last one has unlocked."""
        child = children(rivals.SCRIPT, subject)
        channel = subject.open()
        child.receive()
        _check_previous(channel, lambda *call: ask(child, *call))


def _reset(channel: Channel) -> None:
    channel.destroy()
    put_all(channel, {"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 3}})


def _reads(entries: dict[str, int]) -> list[tuple[str, tuple[Any, ...], Any]]:
    values = [{"n": n} for n in entries.values()]
    return [
        *(("get", (key,), {"n": entries[key]} if key in entries else None) for key in "abcd"),
        ("get_all", (), values),
        ("get_all", ({"n": 2},), [value for value in values if value == {"n": 2}]),
        ("items", (), values),
        ("items", ({"n": 2},), [value for value in values if value == {"n": 2}]),
        ("get_keys", (), list(entries)),
        ("size", (), len(entries)),
    ]


def _check(
    channel: Channel, perform: Perform, write: tuple[Any, ...], expected: dict[str, int]
) -> None:
    __tracebackhide__ = True
    _reset(channel)
    for read, arguments, _ in _reads({}):
        rivals.perform(channel, read, *arguments)
    perform(*write)
    for read, arguments, result in _reads(expected):
        assert rivals.perform(channel, read, *arguments) == result, f"{read} after {write[0]}"
    for key in "abcd":
        stored = {"n": expected[key]} if key in expected else None
        if stored:
            assert channel.get_set(stored, key, stored) == stored, f"get_set after {write[0]}"
        else:
            assert channel.unset(key) is False, f"unset after {write[0]}"


def _check_lock(channel: Channel, perform: Perform, change: str) -> None:
    __tracebackhide__ = True
    name = f"lock {change}"
    fence = rivals.lock(channel, name, rivals.A)
    assert rivals.holder(channel, name) == [fence, "a"]
    assert name in rivals.perform(channel, "locks")
    result = perform(change, name)
    held = _LOCK_CHANGES[change]
    info = channel.lock_info(name)
    assert (info is not None, name in rivals.perform(channel, "locks")) == (held, held), change
    if info is None:
        for late in ("extend", "extend_all", "adopt", "share", "unlock"):
            assert rivals.perform(channel, late, name) is False, f"{late} after {change}"
        assert rivals.lock(channel, name, "c" * 32) > fence
        return
    taken = change in ("take_from", "evict")
    holder = {"adopt": "adopter"}.get(change, "b" if taken else "a")
    assert (info.fence, info.holder["by"]) == (result if taken else fence, holder), change
    refused = channel.hook.lock(name=name, token="c" * 32, ttl=60_000, holder={}, waits=False)
    assert (refused.fence, refused.holder["by"]) == (info.fence, holder), change
    longer = change in ("extend", "extend_all")
    assert (refused.remaining > 90_000) == longer, f"{refused.remaining} ms are left after {change}"
    assert rivals.extend(channel, name) is not taken, f"extend after {change}"
    assert rivals.unlock(channel, name) is not taken, f"unlock after {change}"


def _check_previous(channel: Channel, perform: Perform) -> None:
    __tracebackhide__ = True

    def lock(by: str) -> tuple[int, Any]:
        request = {"name": "nightly", "token": by * 32, "ttl": 60_000, "holder": {"by": by}}
        result = channel.hook.lock(**request, waits=False)
        return result.fence, result.previous and result.previous.get("by")

    fence, _ = lock("a")
    rivals.unlock(channel, "nightly", "a" * 32)
    perform("lock", "nightly", "b" * 32)
    perform("force_unlock", "nightly")
    assert lock("c")[1] == "b", "the last holder was evicted"
    channel.force_unlock("nightly")
    perform("lock", "nightly", "d" * 32)
    perform("unlock", "nightly", "d" * 32)
    assert lock("e")[1] is None, "the last holder has unlocked"
    perform("adopt", "nightly", "e" * 32)
    perform("force_unlock", "nightly")
    last, previous = lock("f")
    assert previous == "adopter"
    assert last > fence
