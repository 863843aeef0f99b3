"""Matches: maps as subsets, recursively, and everything else exactly."""

from __future__ import annotations

from collections.abc import Callable

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document, matches
from ojobchannels.hookspecs import MISSING
from ojobchannels.testing.contracts.base import Contract, put_all
from ojobchannels.testing.kit.samples import MATCHES
from ojobchannels.testing.kit.subject import Subject


class MatchContract(Contract):
    """A server may preselect entries, but `ojobchannels.matches` decides."""

    def test_get_all_returns_what_matches(self, channel: Channel) -> None:
        """It returns exactly the values for which `ojobchannels.matches` is true."""
        channel.set("other", {"unrelated": True})
        for match, value, expected in MATCHES:
            assert matches(match, value) is expected
            channel.set("key", value)
            found = value in channel.get_all(match=match)
            assert found is expected, f"match {match!r} of {value!r}"

    def test_items_yields_what_matches(self, channel: Channel) -> None:
        """In both directions."""
        channel.set("other", {"unrelated": True})
        for match, value, expected in MATCHES:
            channel.set("key", value)
            for newest_first in (False, True):
                items = channel.items(match=match, newest_first=newest_first)
                found = "key" in [key for key, _ in items]
                assert found is expected, f"match {match!r} of {value!r}"

    def test_get_set_uses_the_same_matching_rule(self, channel: Channel) -> None:
        """It stores exactly if `ojobchannels.matches` is true."""
        for match, value, expected in MATCHES:
            channel.set("key", value)
            before = channel.get_set(match, "key", "new", default=MISSING)
            assert (before is not MISSING) is expected, f"match {match!r} of {value!r}"
            assert repr(channel.get("key")) == repr("new" if expected else value)

    def test_no_match_returns_all_entries(self, channel: Channel) -> None:
        """The match None means no match, not null."""
        put_all(channel, {"a": None, "b": 1, "c": {"d": None}})
        assert channel.get_all() == channel.get_all(match=None) == [None, 1, {"d": None}]
        assert [key for key, _ in channel.items(match=None)] == ["a", "b", "c"]

    def test_matches_are_in_the_order_of_change(self, channel: Channel) -> None:
        """The order does not depend on an index."""
        put_all(channel, [(number, {"n": number, "even": number % 2 == 0}) for number in range(20)])
        channel.set(4, {"n": 4, "even": True})
        channel.set(5, {"n": 5, "even": True})
        found = [value["n"] for value in channel.get_all(match={"even": True})]
        assert found == [0, 2, *range(6, 20, 2), 4, 5]

    def test_a_match_uses_the_present_value(self, channel: Channel) -> None:
        """Overwritten and removed values do not match any more."""
        channel.set("key", {"state": "new", "tags": {"a": 1}})
        channel.set("key", {"state": "done"})
        assert channel.get_all(match={"state": "new"}) == []
        assert channel.get_all(match={"tags": {}}) == []
        assert channel.get_all(match={"state": "done"}) == [{"state": "done"}]
        channel.unset("key")
        assert channel.get_all(match={"state": "done"}) == []

    def test_an_index_changes_no_result(self, subject: Subject) -> None:
        """Entries from before and after it, of handles with and without it, are found alike."""
        channel, other = subject.open(), subject.open()
        texts = ["new", "n\u00e9w", 'it\'s \\ {"new"}', "with\0nul", "", "new"]
        before = [{"state": text, "rest": {"state": "new\0"}} for text in texts]
        others: list[Document] = [None, "new", ["new"], {"state": 1}, {"state": None}, {"a": "new"}]
        put_all(channel, {f"before {n}": value for n, value in enumerate([*before, *others])})
        for _ in range(2):
            channel.hook.index(fields=("state", "rest"))
        put_all(other, {f"after {n}": value for n, value in enumerate(before)})
        other.set("before 0", {"state": "old"})
        channel.unset("before 5")
        stored = list(other.items())
        for text in {*texts, "old", "absent"}:
            match = {"state": text}
            expected = [item for item in stored if matches(match, item[1])]
            assert list(channel.items(match)) == expected
            assert list(channel.items(match, newest_first=True)) == expected[::-1]
            assert (
                list(channel.items({**match, "rest": {}}, limit=1))
                == [item for item in expected if isinstance(item[1], dict) and "rest" in item[1]][
                    :1
                ]
            )
            if expected:
                after = expected[0].position
                assert list(channel.items(match, after=after)) == expected[1:]

    def test_numbers_below_a_bound_are_found(self, subject: Subject) -> None:
        """Of both kinds of numbers, and of nothing else; a backend may leave this out."""
        channel, other = subject.open(), subject.open()
        numbers = [-5, 0, 4.5, 5, 5.5, 2**53 + 1, -1e300]
        rest: list[Document] = ["1", None, True, [1], {"at": 1}, "with\0nul"]
        put_all(channel, {f"before {n}": {"at": at} for n, at in enumerate([*numbers, *rest])})
        if channel.hook.below(field="at", bound=5, limit=100) is None:
            return
        put_all(other, {f"after {n}": {"at": at} for n, at in enumerate([*rest, *numbers])})
        other.set("before 0", {"at": 6})
        channel.unset("before 1")
        channel.set("null", None)
        below = {2: 4.5, 6: -1e300}
        expected = {f"before {n}": {"at": at} for n, at in below.items()}
        expected |= {f"after {6 + n}": {"at": at} for n, at in {0: -5, 1: 0, **below}.items()}
        assert dict(channel.hook.below(field="at", bound=5, limit=100)) == expected
        part = dict(channel.hook.below(field="at", bound=5, limit=2))
        assert len(part) == 2
        assert part.items() <= expected.items()

    def test_the_size_until_a_position_counts_what_is_read_up_to_it(self, subject: Subject) -> None:
        """Also after changes and removals by any handle; a backend may leave this out."""
        channel, other = subject.open(), subject.open()
        put_all(channel, {n: n for n in range(6)})
        if channel.hook.size_until(position=0) is None:
            return
        changes: list[Callable[[], object]] = [
            lambda: other.set(2, "again"),
            lambda: channel.unset(0),
            lambda: other.set(6, "new"),
            channel.pop,
            lambda: channel.get_set("again", 2, "compared"),
            channel.shift,
            lambda: put_all(other, {1: "in a batch", 7: 7}),
            lambda: channel.unset_all([3]),
            channel.destroy,
            lambda: channel.set(8, 8),
        ]
        for change in changes:
            change()
            positions = [item.position for item in channel.items()]
            assert channel.size() == len(positions)
            for handle in (channel, other):
                for number, position in enumerate(positions):
                    assert handle.hook.size_until(position=position) == number + 1
                    assert handle.hook.size_until(position=position - 1) == number
