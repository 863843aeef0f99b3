"""Odd entries, and many: intact, whole and in order, while other clients write."""

from __future__ import annotations

import random
from typing import Any, Final

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import StaleFence
from ojobchannels.testing.contracts.base import put_all, requires
from ojobchannels.testing.contracts.remote.base import NetworkContract
from ojobchannels.testing.kit.background import Background
from ojobchannels.testing.kit.subject import Subject

ODD_KEYS: Final[list[Any]] = [
    "", {}, 0, 1, "1", True, False, "true", 1.5, -(2**63), 2**63 - 1, 1e300, 5e-324, "null", "\r\n",
    "{", "é", "e\u0301", "\u2028", "😀" * 100, " ", "0", {"a": None}, {"a": [1, [2, {}]]},
    {"b": 1, "a": 2}, {"": ""}, {"$set": 1, "a.b": 2}, "k" * 100_000, "\x01\x7f", "__proto__",
]  # fmt: skip
ODD_VALUES: Final[list[Any]] = [
    None, True, 0, -0.0, 2**63 - 1, -(2**63), 2**53 + 1, 1e300, 5e-324, 0.1, "", "null",
    [], {}, [[]], [{}], {"a": []}, [None], "\x00", "\r\n$5\r\n", "é😀\u2028", {"": {"": ""}},
    {"$a": {"b.c": 1}}, [1, "1", 1.0, True], "x" * 1_000_000,
]  # fmt: skip

MANY: Final = 60_000
BEYOND_A_SNAPSHOT: Final = 30_000
_BATCH: Final = 50_000


class EntryContract(NetworkContract):
    """Entries that a server could confuse, and more than fit into one reply or one snapshot."""

    def test_odd_keys_come_back_as_they_were_written(self, channel: Channel) -> None:
        """By every operation that takes or returns a key."""
        for key in ODD_KEYS:
            channel.set(key, {"n": 1}, fence=3)
            assert channel.get(key) == {"n": 1}
            assert repr(channel.get_keys()) == repr([key])
            assert repr(list(channel.items())) == repr([(key, {"n": 1})])
            with pytest.raises(StaleFence):
                channel.set(key, 2, fence=2)
            assert channel.get_set({"n": 1}, key, None) == {"n": 1}
            assert channel.unset(key)
            assert channel.add(key, 1)
            assert channel.unset_all([key]) == 1

    def test_odd_values_come_back_as_they_were_written(self, channel: Channel) -> None:
        """By every operation that takes or returns a value."""
        for value in ODD_VALUES:
            channel.set("key", value)
            channel.add("added", value)
            put_all(channel, {"batch": value})
            assert repr(channel.get("key")) == repr(value)
            assert repr(channel.get_all()) == repr([value] * 3)
            assert repr([found for _, found in channel.items()]) == repr([value] * 3)
            assert repr(channel.get_set(value, "key", 1, default="no")) == repr(value)
            assert repr(channel.pop()) == repr(1)
            assert repr(channel.pop()) == repr(value)
            assert repr(channel.shift()) == repr(value)

    def fill(self, channel: Channel, subject: Subject, count: int) -> None:  # noqa: ARG002  subclasses use it
        """Store `count` entries ``n: {"n": n, "odd": n % 2}``; a subclass may do it otherwise."""
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            channel.set_all((n, {"n": n, "odd": n % 2}) for n in numbers)

    @requires("atomic_batches")
    def test_a_channel_of_60_000_entries_reads_whole(self, subject: Subject) -> None:
        """It is counted, read in pages and whole, matched, and taken from at both ends."""
        channel, other = subject.open(timeout=60), subject.open(f"{subject.name}-other")
        other.set("key", 1)
        self.fill(channel, subject, MANY)
        assert channel.size() == MANY
        assert [value["n"] for value in channel.get_all()] == list(range(MANY))
        assert channel.get_keys() == list(range(MANY))
        assert len(channel.get_all(match={"odd": 0})) == MANY // 2
        newest = [key for key, _ in channel.items(newest_first=True, limit=5)]
        assert newest == [MANY - 1 - n for n in range(5)]
        assert sum(1 for _ in channel.items({"odd": 1}, limit=2500)) == 2500
        assert sum(1 for _ in channel.items()) == MANY
        assert channel.shift() == {"n": 0, "odd": 0}
        assert channel.pop() == {"n": MANY - 1, "odd": 1}
        channel.destroy()
        assert channel.size() == 0
        assert other.get_all() == [1]

    @requires("atomic_batches")
    def test_beyond_a_snapshot_what_did_not_change_appears_once(
        self, subject: Subject, background: Background
    ) -> None:
        """While another client writes, removes and adds entries all over the channel."""
        channel, other = subject.open(timeout=60), subject.open(timeout=60)
        self.fill(channel, subject, BEYOND_A_SNAPSHOT)
        stop = False

        def disturb() -> int:
            dice, turns = random.Random(7), 0  # noqa: S311  chooses keys of a test
            while not stop:
                n = dice.randrange(0, BEYOND_A_SNAPSHOT, 3)
                other.set(n, {"n": n}) if dice.random() < 0.5 else other.unset(n)
                turns += 1
            return turns

        disturbing = background(disturb)
        untouched = [n for n in range(BEYOND_A_SNAPSHOT) if n % 3]
        for _ in range(3):
            assert [value["n"] for value in channel.get_all() if value["n"] % 3] == untouched
            assert [key for key in channel.get_keys() if key % 3] == untouched
        stop = True
        assert disturbing.result(30) > 0
        channel.set("marked", 1, fence=5)
        channel.destroy()
        assert (channel.size(), other.get_all()) == (0, [])
        with pytest.raises(StaleFence):
            channel.set("marked", 1, fence=4)
