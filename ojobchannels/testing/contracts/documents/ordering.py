"""Order: entries are listed, paged and removed in the order of their last change."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.hookspecs import MISSING
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.contracts.base import Contract, put_all, requires
from ojobchannels.testing.kit.background import Background
from ojobchannels.testing.kit.subject import Subject

_MOVES: dict[str, Callable[[Channel], object]] = {
    "set": lambda channel: channel.set("b", "new"),
    "set to an equal value": lambda channel: channel.set("b", 1),
    "set with a fence": lambda channel: channel.set("b", 1, fence=7),
    "get_set": lambda channel: channel.get_set(1, "b", "new"),
    "get_set to an equal value": lambda channel: channel.get_set(1, "b", 1),
    "set_all of one": lambda channel: channel.set_all({"b": 1}),
}
_STAYS: dict[str, Callable[[Channel], object]] = {
    "get": lambda channel: channel.get("b"),
    "get_all": lambda channel: channel.get_all(match=1),
    "items": lambda channel: list(channel.items()),
    "add": lambda channel: channel.add("b", "other"),
    "get_set that does not match": lambda channel: channel.get_set("no", "b", "other"),
    "lock of that name": lambda channel: channel.lock("b", ttl=60).release(),
}


class OrderContract(Contract):
    """Each successful write moves its key to the end, and nothing else moves a key."""

    @pytest.mark.parametrize("write", _MOVES.values(), ids=_MOVES)
    def test_every_write_moves_its_key_to_the_end(
        self, channel: Channel, write: Callable[[Channel], object]
    ) -> None:
        """Also if the new value is equal to the old one."""
        put_all(channel, dict.fromkeys("abc", 1))
        write(channel)
        assert channel.get_keys() == ["a", "c", "b"]
        assert [key for key, _ in channel.items()] == ["a", "c", "b"]
        assert [key for key, _ in channel.items(newest_first=True)] == ["b", "c", "a"]
        assert channel.get_all()[:2] == [1, 1]

    @pytest.mark.parametrize("read", _STAYS.values(), ids=_STAYS)
    def test_reads_and_refused_writes_do_not_change_the_order(
        self, channel: Channel, read: Callable[[Channel], object]
    ) -> None:
        """Only a successful write moves its key."""
        put_all(channel, dict.fromkeys("abc", 1))
        read(channel)
        assert channel.get_keys() == ["a", "b", "c"]

    def test_all_listings_have_the_same_order(self, channel: Channel) -> None:
        """`get_all`, `get_keys` and `items` agree in each entry."""
        for turn in range(30):
            channel.set({"key": turn * 7 % 11}, {"n": turn})
            if turn % 5 == 4:
                channel.unset({"key": turn % 11})
        items = list(channel.items())
        assert channel.get_keys() == [key for key, _ in items]
        assert channel.get_all() == [value for _, value in items]
        assert [value["n"] for _, value in items] == sorted(value["n"] for _, value in items)

    def test_a_removed_key_comes_back_at_the_end(self, channel: Channel) -> None:
        """A removed key has no position, whether it has a fence mark or not."""
        for key in "abc":
            channel.set(key, 1, fence=1)
        channel.unset("a")
        channel.unset("b", fence=2)
        channel.set("b", 2)
        channel.set("a", 2)
        assert channel.get_keys() == ["c", "b", "a"]

    def test_the_order_holds_across_handles(self, subject: Subject) -> None:
        """A later write is behind an earlier one, through whichever handle."""
        handles = [subject.open() for _ in range(3)]
        for turn in range(30):
            handles[turn % 3].set(turn, turn)
        for handle in handles:
            assert handle.get_keys() == list(range(30))

    @requires("clock")
    def test_the_order_survives_a_wall_clock_set_back(
        self, subject: Subject, clock: ManualClock
    ) -> None:
        """A later write is behind an earlier one, whatever the clock shows."""
        channel = subject.open()
        for key in range(10):
            channel.set(key, key)
            clock.step_wall(-3600)
        channel.set(3, "last")
        assert channel.get_keys() == [0, 1, 2, 4, 5, 6, 7, 8, 9, 3]
        position = next(channel.items(newest_first=True)).position
        channel.set("after", 1)
        assert [key for key, _ in channel.items(after=position)] == ["after"]

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_pages_are_complete_and_do_not_overlap(
        self, channel: Channel, newest_first: bool
    ) -> None:
        """`after` continues behind a position, and `limit` bounds a page, in both directions."""
        put_all(channel, [(number, {"n": number}) for number in range(23)])
        expected = list(range(23))[:: -1 if newest_first else 1]
        read: list[Any] = []
        after = None
        while page := list(channel.items(limit=5, newest_first=newest_first, after=after)):
            assert len(page) <= 5
            read += [key for key, _ in page]
            after = page[-1].position
            assert len(read) <= 23, f"pages repeat entries: {read}"
        assert read == expected
        assert len(list(channel.items(limit=100, newest_first=newest_first))) == 23

    def test_a_limit_of_zero_returns_nothing(self, channel: Channel) -> None:
        """A limit of one returns the first or the last entry."""
        put_all(channel, dict.fromkeys("abc", 1))
        assert list(channel.items(limit=0)) == []
        assert [key for key, _ in channel.items(limit=1)] == ["a"]
        assert [key for key, _ in channel.items(limit=1, newest_first=True)] == ["c"]

    def test_a_limit_counts_only_matches(self, channel: Channel) -> None:
        """Pages continue behind entries that do not match."""
        put_all(channel, [(n, {"even": n % 2 == 0, "n": n}) for n in range(20)])
        page = list(channel.items(match={"even": True}, limit=3))
        assert [key for key, _ in page] == [0, 2, 4]
        rest = channel.items(match={"even": True}, after=page[-1].position)
        assert [key for key, _ in rest] == list(range(6, 20, 2))
        last = list(channel.items(match={"even": True}, limit=2, newest_first=True))
        assert [key for key, _ in last] == [18, 16]
        before = channel.items(match={"even": False}, newest_first=True, after=last[-1].position)
        assert [key for key, _ in before] == list(range(15, 0, -2))

    def test_a_position_survives_its_entry(self, channel: Channel) -> None:
        """A page continues behind an entry that was removed or changed in between."""
        put_all(channel, [(n, n) for n in range(6)])
        position = list(channel.items(limit=3))[-1].position
        channel.unset(2)
        assert [key for key, _ in channel.items(after=position)] == [3, 4, 5]
        channel.set(4, "changed")
        assert [key for key, _ in channel.items(after=position)] == [3, 5, 4]
        older = channel.items(newest_first=True, after=position)
        assert [key for key, _ in older] == [1, 0]

    @pytest.mark.parametrize("end", ["pop", "unset", "unset_all", "destroy"])
    def test_no_position_is_used_twice(self, subject: Subject, end: str) -> None:
        """A page behind the last entry has what is written after that entry was removed."""
        channel, other = subject.open(), subject.open()
        ends: dict[str, Callable[[], object]] = {
            "pop": channel.pop,
            "unset": lambda: channel.unset(2),
            "unset_all": lambda: channel.unset_all([2]),
            "destroy": channel.destroy,
        }
        for turn in range(3):
            put_all(channel, [(n, n) for n in range(3)])
            position = next(channel.items(newest_first=True)).position
            ends[end]()
            other.set(f"new {turn}", turn)
            assert [key for key, _ in channel.items(after=position)] == [f"new {turn}"]
            other.unset(f"new {turn}")

    def test_items_fetches_as_many_pages_as_needed(self, channel: Channel) -> None:
        """One iteration yields each entry once, also if the backend returns several pages."""
        put_all(channel, [(n, n) for n in range(1100)])
        for newest_first in (False, True):
            items = islice(channel.items(newest_first=newest_first), 2000)
            values = [value for _, value in items]
            assert values == list(range(1100))[:: -1 if newest_first else 1]
        assert [value for _, value in channel.items(limit=1050)] == list(range(1050))

    def test_unchanged_entries_appear_once(self, channel: Channel) -> None:
        """Entries that change during an iteration may or may not appear."""
        put_all(channel, [(n, n) for n in range(1100)])
        iteration = channel.items()
        seen = [key for key, _ in islice(iteration, 100)]
        for key in range(0, 1100, 21):
            channel.unset(key)
        for key in range(1, 1100, 42):
            channel.set(key, "changed")
        seen += [key for key, value in islice(iteration, 2000) if value != "changed"]
        untouched = [key for key in range(1100) if key % 21 > 1]
        assert [key for key in seen if key % 21 > 1] == untouched

    def test_pop_removes_the_last_entry(self, channel: Channel) -> None:
        """It returns the value that was changed last."""
        put_all(channel, [(key, {"value": key}) for key in "abc"])
        channel.set("a", {"value": "a again"})
        assert channel.pop() == {"value": "a again"}
        assert channel.get("a", default="nothing") == "nothing"
        assert channel.get_keys() == ["b", "c"]
        assert [channel.pop(), channel.pop()] == [{"value": "c"}, {"value": "b"}]

    def test_shift_removes_the_first_entry(self, channel: Channel) -> None:
        """It returns the value whose last change is the oldest."""
        put_all(channel, [(key, {"value": key}) for key in "abc"])
        channel.set("a", {"value": "a again"})
        assert channel.shift() == {"value": "b"}
        assert channel.get("b", default="nothing") == "nothing"
        assert channel.get_keys() == ["c", "a"]
        assert [channel.shift(), channel.shift()] == [{"value": "c"}, {"value": "a again"}]

    def test_pop_and_shift_return_a_stored_null(self, channel: Channel) -> None:
        """They return the default only for an empty channel."""
        channel.set("key", None)
        assert channel.pop(default="nothing") is None
        assert channel.pop(default="nothing") == "nothing"
        channel.set("key", None)
        assert channel.shift(default="nothing") is None
        assert channel.shift(default="nothing") == "nothing"
        assert channel.size() == 0

    @pytest.mark.usefixtures("races")
    def test_every_entry_is_removed_only_once(
        self, subject: Subject, background: Background
    ) -> None:
        """Concurrent `pop` and `shift` never return the same entry twice."""
        handles = [subject.open() for _ in range(4)]
        put_all(handles[0], [(n, n) for n in range(120)])

        def take(number: int) -> list[int]:
            handle = handles[number % 4]
            taken = []
            for take_one in cycle((handle.pop, handle.shift)):
                value = take_one(default=MISSING)
                if value is MISSING:
                    break
                taken.append(value)
            return taken

        shares = background.together(*(lambda n=n: take(n) for n in range(8)))
        assert sorted(value for share in shares for value in share) == list(range(120))
        assert handles[0].size() == 0
