"""Batches: several entries in one atomic step, or a clear refusal."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import InvalidKey, InvalidValue, NotSupported, StaleFence
from ojobchannels.hookspecs import ABSENT
from ojobchannels.testing.contracts.base import Contract, requires, without
from ojobchannels.testing.kit.background import Background
from ojobchannels.testing.kit.subject import Subject

_SECONDS = 2.0


class BatchContract(Contract):
    """`set_all` and `unset_all`, with the capability `atomic_batches`."""

    def test_a_batch_of_one_entry_always_works(self, channel: Channel) -> None:
        """`set_all` and `unset_all` of one entry need no capability."""
        channel.set_all({"a": 1})
        channel.set_all([("b", 2)])
        assert channel.unset_all(["a"]) == 1
        assert channel.unset_all(["a"]) == 0
        assert list(channel.items()) == [("b", 2)]

    def test_an_empty_batch_does_nothing(self, channel: Channel) -> None:
        """An empty batch needs no capability and changes nothing."""
        channel.set("kept", 1)
        channel.set_all({})
        channel.set_all([])
        assert channel.unset_all([]) == 0
        assert list(channel.items()) == [("kept", 1)]

    @without("atomic_batches")
    def test_a_larger_batch_is_refused_without_the_capability(self, channel: Channel) -> None:
        """NotSupported says what to do, and nothing of the batch is stored."""
        channel.set("a", 1)
        attempts: list[Callable[[], object]] = [
            lambda: channel.set_all({"b": 1, "c": 2}),
            lambda: channel.unset_all(["a", "b"]),
        ]
        for attempt in attempts:
            with pytest.raises(NotSupported, match="2 entries in one step"):
                attempt()
        assert list(channel.items()) == [("a", 1)]

    @requires("atomic_batches")
    def test_set_all_stores_all_entries_in_order(self, channel: Channel) -> None:
        """Each entry of a batch moves its key to the end, in the order of the batch."""
        channel.set("b", 0)
        channel.set("z", 0)
        channel.set_all([("a", 1), ("b", 2), ("c", 3)])
        assert list(channel.items()) == [("z", 0), ("a", 1), ("b", 2), ("c", 3)]
        assert channel.size() == 4

    @requires("atomic_batches")
    def test_the_last_of_equal_keys_in_a_batch_wins(self, channel: Channel) -> None:
        """Its value, its notation of the key and its position are stored."""
        channel.set_all([("a", 1), (1, 2), ("b", 3), (1.0, 4), ("a", 5)])
        assert repr(list(channel.items())) == repr([("b", 3), (1.0, 4), ("a", 5)])

    @requires("atomic_batches")
    def test_batches_accept_maps_and_iterators(self, channel: Channel) -> None:
        """A batch may be a map, or any iterable, which is read once."""
        channel.set_all({"a": 1, "b": 2})
        channel.set_all(iter([("c", 3), ("d", 4)]))
        assert channel.unset_all(iter(["a", "d"])) == 2
        assert channel.get_keys() == ["b", "c"]

    @requires("atomic_batches")
    def test_unset_all_counts_removed_keys(self, channel: Channel) -> None:
        """A repeated key counts once, and a missing key does not count."""
        channel.set_all({"a": 1, "b": None, 1: 0})
        assert channel.unset_all(["a", "nothing", "b", "a", 1.0]) == 3
        assert channel.size() == 0

    @requires("atomic_batches")
    def test_a_batch_may_have_a_thousand_entries(self, channel: Channel) -> None:
        """A thousand entries are stored, and removed, in one batch."""
        channel.set_all((n, {"n": n}) for n in range(1000))
        assert channel.size() == 1000
        assert channel.get_all()[::333] == [{"n": n} for n in range(0, 1000, 333)]
        assert channel.unset_all(range(1000)) == 1000

    @requires("atomic_batches")
    @pytest.mark.parametrize("wrong", [float("nan"), object()], ids=["nan", "object"])
    def test_an_invalid_entry_refuses_the_whole_batch(self, channel: Channel, wrong: Any) -> None:
        """Nothing is stored, wherever in the batch the invalid entry is."""
        channel.set("kept", 1)
        with pytest.raises(InvalidValue):
            channel.set_all([("a", 1), ("kept", 2), ("b", wrong)])
        with pytest.raises(InvalidKey):
            channel.set_all([("a", 1), ("kept", 2), ({"in": wrong}, 1)])
        with pytest.raises(InvalidKey):
            channel.unset_all(["kept", {"in": wrong}])
        assert list(channel.items()) == [("kept", 1)]

    @requires("atomic_batches")
    def test_batches_are_copied_like_single_values(self, channel: Channel) -> None:
        """A change of a key or value after the call does not change what is stored."""
        batch: list[tuple[dict[str, Any], list[int]]] = [({"id": [1]}, [1]), ({"id": [2]}, [2])]
        channel.set_all(batch)
        batch[0][0]["id"].append("spoiled")
        batch[1][1].append(3)
        assert list(channel.items()) == [({"id": [1]}, [1]), ({"id": [2]}, [2])]

    @requires("atomic_batches")
    def test_a_batch_keeps_the_fence_marks_of_its_keys(self, channel: Channel) -> None:
        """A batch has no fence, and later writes with a lower fence are still refused."""
        for remove in (False, True):
            channel.set("a", 1, fence=7)
            channel.set_all({"a": 2, "b": 2})
            if remove:
                assert channel.unset_all(["a", "b"]) == 2
            present = channel.get("a", default=ABSENT)
            with pytest.raises(StaleFence):
                channel.get_set(present, "a", "late", fence=6)
            with pytest.raises(StaleFence):
                channel.set("a", "late", fence=6)
            channel.set("b", 3, fence=1)

    @requires("atomic_batches")
    @pytest.mark.usefixtures("races")
    def test_a_batch_is_never_half_visible(self, subject: Subject, background: Background) -> None:
        """Readers on another handle see all entries of a batch or none of them."""
        channel, other = subject.open(), subject.open()

        def read() -> set[tuple[int, ...]]:
            seen: set[tuple[int, ...]] = set()
            until = time.monotonic() + _SECONDS
            while len(seen) < 30 and time.monotonic() < until:
                seen.add(tuple(other.get_all()))
                seen.add(tuple(value for _, value in other.items()))
            return seen

        reader = background(read)
        for turn in itertools.takewhile(lambda _: not reader.done(), itertools.count()):
            channel.set_all((key, turn) for key in range(8))
        for values in reader.result():
            assert len(values) in (0, 8), f"a reader saw {len(values)} of 8 entries"
            assert len(set(values)) <= 1, f"a reader saw values of two batches: {values}"

    @requires("atomic_batches")
    @pytest.mark.usefixtures("races")
    def test_a_batch_is_never_half_removed(self, subject: Subject, background: Background) -> None:
        """Readers on another handle see `unset_all` remove all entries at once."""
        channel, other = subject.open(), subject.open()

        def read() -> set[int]:
            sizes, changes = [0], 0
            until = time.monotonic() + _SECONDS
            while changes < 30 and time.monotonic() < until:
                sizes.append(len(other.get_all(match={})))
                changes += sizes[-1] != sizes[-2]
            return set(sizes)

        reader = background(read)
        while not reader.done():
            channel.set_all((key, {}) for key in range(8))
            assert channel.unset_all(range(8)) == 8
        sizes = reader.result()
        assert sizes <= {0, 8}, f"a reader saw {sizes} of 8 entries"

    @requires("atomic_batches")
    def test_get_all_is_a_snapshot_of_ten_thousand_entries(
        self, subject: Subject, background: Background
    ) -> None:
        """Among 10,000 entries, two that always change together are never seen to differ."""
        channel, other = subject.open(), subject.open()
        channel.set_all((n, 0) for n in range(10_000))

        def write() -> None:
            for turn in range(1, 6):
                other.set_all([("left", turn), ("right", turn)])

        writer = background(write)
        while not writer.done():
            values = channel.get_all()
            assert len(values) in (10_000, 10_002), f"{len(values)} entries were seen"
            if len(values) > 10_000:
                assert values[-1] == values[-2], f"seen apart: {values[-2:]}"
        writer.result()
