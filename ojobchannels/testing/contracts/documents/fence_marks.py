"""Fence marks: a key refuses writes with a lower fence than an earlier one (rule 10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import InvalidOption, StaleFence
from ojobchannels.hookspecs import ABSENT
from ojobchannels.testing.contracts.base import Contract
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl

_ENDS: dict[str, Callable[[Channel], object]] = {
    "unset": lambda channel: channel.unset("key"),
    "unset with the fence": lambda channel: channel.unset("key", fence=7),
    "unset_all": lambda channel: channel.unset_all(["key"]),
    "pop": lambda channel: channel.pop(),
    "shift": lambda channel: channel.shift(),
    "destroy": lambda channel: channel.destroy(),
    "set": lambda channel: channel.set("key", "without a fence"),
    "set_all": lambda channel: channel.set_all({"key": "in a batch"}),
    "get_set": lambda channel: channel.get_set({}, "key", {}),
}


class FenceContract(Contract):
    """Only a write with a fence lower than the mark of its key is refused."""

    def test_a_higher_fence_is_accepted(self, channel: Channel) -> None:
        """`set`, `unset`, `get_set` and `add` accept a fence higher than the mark."""
        channel.set("key", 1, fence=1)
        channel.set("key", 2, fence=2)
        assert channel.get_set(2, "key", 3, fence=3) == 2
        assert channel.unset("key", fence=4) is True
        assert channel.add("key", 5, fence=5) is True
        assert channel.get("key") == 5

    def test_an_equal_fence_is_accepted(self, channel: Channel) -> None:
        """One holder can write its key any number of times."""
        for turn in range(3):
            channel.set("key", turn, fence=5)
        assert channel.get_set(2, "key", 3, fence=5) == 2
        assert channel.unset("key", fence=5) is True
        assert channel.add("key", 4, fence=5) is True

    def test_a_lower_fence_is_refused(self, channel: Channel) -> None:
        """No write with a fence lower than the mark changes the value or the order."""
        channel.set("key", "by 7", fence=7)
        channel.set("other", 1)
        for attempt in _fenced_writes(channel, "by 7", 6):
            with pytest.raises(StaleFence):
                attempt()
        assert list(channel.items()) == [("key", "by 7"), ("other", 1)]

    def test_stale_fence_has_key_fence_and_mark(self, channel: Channel) -> None:
        """StaleFence has the channel, the key, the fence and the mark as attributes."""
        channel.set({"id": 1}, 1, fence=7)
        with pytest.raises(StaleFence) as refused:
            channel.set({"id": 1}, 2, fence=6)
        error = refused.value
        assert (error.channel, error.key) == (channel.name, {"id": 1})
        assert (error.fence, error.mark) == (6, 7)

    def test_a_refused_write_does_not_change_the_mark(self, channel: Channel) -> None:
        """A late write neither lowers nor raises the mark."""
        channel.set("key", 1, fence=7)
        for fence in (6, 1, 0, 6):
            with pytest.raises(StaleFence):
                channel.set("key", 2, fence=fence)
        channel.set("key", 3, fence=7)
        with pytest.raises(StaleFence) as refused:
            channel.set("key", 4, fence=6)
        assert refused.value.mark == 7

    def test_a_write_without_a_fence_is_accepted(self, channel: Channel) -> None:
        """Marks affect only writes with a fence."""
        channel.set("key", 1, fence=7)
        channel.set("key", 2)
        assert channel.get_set(2, "key", 3) == 2
        assert channel.unset("key") is True
        assert channel.add("key", 4) is True
        assert channel.get("key") == 4

    @pytest.mark.parametrize("end", _ENDS.values(), ids=_ENDS)
    def test_a_mark_survives_operations_without_a_higher_fence(
        self, subject: Subject, end: Callable[[Channel], object]
    ) -> None:
        """After removing or overwriting the value, a lower fence is refused on each handle."""
        channel, other = subject.open(), subject.open()
        channel.set("key", {}, fence=7)
        end(channel)
        for handle in (channel, other):
            present = handle.get("key", default=ABSENT)
            for attempt in _fenced_writes(handle, present, 6):
                with pytest.raises(StaleFence):
                    attempt()
        other.set("key", "in time", fence=7)
        assert channel.get("key") == "in time"

    def test_a_mark_survives_two_operations_in_a_row(self, subject: Subject) -> None:
        """Of all pairs: such as an unset and a set, neither with a fence."""
        channel, other = subject.open(), subject.open()
        for first, end in _ENDS.items():
            for second, next_end in _ENDS.items():
                channel.destroy()
                channel.set("key", {}, fence=7)
                end(channel)
                if second in ("pop", "shift") and channel.size() == 0:
                    channel.set("key", {})
                next_end(other)
                with pytest.raises(StaleFence):
                    channel.set("key", f"late, after {first} and {second}", fence=6)

    def test_a_fenced_unset_raises_the_mark(self, channel: Channel) -> None:
        """`unset` with a fence marks the key like a write."""
        channel.set("key", 1, fence=5)
        assert channel.unset("key", fence=8) is True
        for fence in (5, 7):
            with pytest.raises(StaleFence):
                channel.add("key", 2, fence=fence)
        assert channel.add("key", 2, fence=8) is True

    def test_a_fenced_unset_marks_a_missing_key(self, channel: Channel) -> None:
        """A holder can protect a key that does not exist from earlier holders."""
        assert channel.unset("key", fence=5) is False
        assert (channel.size(), channel.get_all(), channel.get_keys()) == (0, [], [])
        assert list(channel.items()) == []
        assert channel.pop(default="nothing") == "nothing"
        assert channel.shift(default="nothing") == "nothing"
        with pytest.raises(StaleFence):
            channel.set("key", 1, fence=4)
        assert channel.add("key", 1, fence=5) is True

    def test_marks_of_removed_keys_are_not_entries(self, channel: Channel) -> None:
        """Pages, limits, `pop` and `shift` pass over them, wherever they are."""
        for key in range(12):
            channel.set(key, key, fence=5)
        for key in (0, 1, 5, 6, 10, 11):
            channel.unset(key, fence=6)
        left = [2, 3, 4, 7, 8, 9]
        assert (channel.size(), channel.get_keys(), channel.get_all()) == (6, left, left)
        for newest_first in (False, True):
            expected = left[:: -1 if newest_first else 1]
            first = list(channel.items(limit=4, newest_first=newest_first))
            assert [key for key, _ in first] == expected[:4]
            rest = channel.items(newest_first=newest_first, after=first[-1].position)
            assert [key for key, _ in rest] == expected[4:]
        assert [channel.pop(), channel.shift()] == [9, 2]
        assert channel.add(11, "again", fence=6) is True
        assert [channel.pop(), channel.shift(), channel.size()] == ["again", 3, 3]

    def test_marks_use_canonical_keys(self, channel: Channel) -> None:
        """Another notation of the key has the same mark."""
        channel.set({"a": 1, "b": 2}, 1, fence=5)
        channel.set(1, 1, fence=5)
        keys: list[Any] = [{"b": 2.0, "a": 1.0}, 1.0]
        for key in keys:
            for attempt in _fenced_writes(channel, 1, 4, key):
                with pytest.raises(StaleFence):
                    attempt()

    def test_each_key_has_its_own_mark(self, channel: Channel) -> None:
        """A high fence on one key does not affect other keys."""
        channel.set("a", 1, fence=9)
        for key in ("b", "A", "1", 1, True, {"a": 1}):
            channel.set(key, 1, fence=2)
        assert channel.size() == 7

    def test_marks_are_per_channel(self, subject: Subject) -> None:
        """The same key in another channel has another mark."""
        one, other = subject.open(), subject.open(f"{subject.name}-other")
        one.set("key", 1, fence=9)
        other.set("key", 2, fence=2)
        with pytest.raises(StaleFence):
            one.set("key", 3, fence=8)

    def test_large_fences_are_compared_exactly(self, channel: Channel) -> None:
        """Fences as large as a clock in µs are compared to the last digit."""
        now = 1_900_000_000_000_000
        for fence in (now, 2**53 + 2, 2**62):
            channel.set("key", fence, fence=fence)
            for attempt in _fenced_writes(channel, fence, fence - 1):
                with pytest.raises(StaleFence) as refused:
                    attempt()
                assert refused.value.mark == fence
            assert channel.get_set(fence, "key", fence + 1, fence=fence) == fence
            assert channel.unset("key", fence=fence) is True

    @pytest.mark.parametrize("fence", [True, "5", 5.0, [5], -1, 2**63], ids=repr)
    def test_a_fence_must_be_an_integer(self, channel: Channel, fence: Any) -> None:
        """From 0 to 2**63 - 1; other values are refused before anything is written."""
        channel.set("key", 1)
        for attempt in _fenced_writes(channel, 1, fence):
            with pytest.raises(InvalidOption, match="fence"):
                attempt()
        assert list(channel.items()) == [("key", 1)]

    def test_an_expired_holder_cannot_overwrite_the_next_holder(
        self, subject: Subject, timing: TimeControl
    ) -> None:
        """A holder that resumes after its deadline cannot write with its old fence."""
        one, other = subject.open(), subject.open()
        slept = one.lock("nightly", ttl=timing.short)
        one.set("result", "begun", fence=slept.fence)
        timing.expire(slept)
        with other.lock("nightly", ttl=60) as current:
            other.set("result", "new", fence=current.fence)
            for attempt in _fenced_writes(one, "new", slept.fence, key="result"):
                with pytest.raises(StaleFence):
                    attempt()
        assert one.get("result") == "new"


def _fenced_writes(
    channel: Channel, present: Any, fence: Any, key: Any = "key"
) -> list[Callable[[], object]]:
    return [
        lambda: channel.set(key, "late", fence=fence),
        lambda: channel.unset(key, fence=fence),
        lambda: channel.get_set(present, key, "late", fence=fence),
    ]
